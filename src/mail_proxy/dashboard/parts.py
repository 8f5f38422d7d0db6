"""Parts of the service that the dashboard uses."""

from __future__ import annotations

from dataclasses import dataclass

from mail_proxy.config import ProxyConfig
from mail_proxy.features.ui_sessions.sessions import UiSessions
from mail_proxy.operations.audit_refusals import AuditedRefusals
from mail_proxy.operations.callers import Authenticator
from mail_proxy.operations.door import Door
from mail_proxy.operations.quotas import CallRates


@dataclass(frozen=True)
class UiParts:
    """Parts of the running service: the door for pages, the others for log-in.

    ``is_local`` is True for a request that the API takes without a token.
    """

    door: Door
    authenticator: Authenticator
    refusals: AuditedRefusals
    rates: CallRates
    sessions: UiSessions
    config: ProxyConfig
    is_local: bool
