"""The features of the service, listed one by one, and what they bring together."""

from __future__ import annotations

from typing import Any

from mail_proxy.delivery.pipeline import FeatureSteps, Slot, Step
from mail_proxy.features.alerts import ALERTS
from mail_proxy.features.attachments import ATTACHMENTS
from mail_proxy.features.bounces import BOUNCES
from mail_proxy.features.dkim import DKIM
from mail_proxy.features.feature import Feature, ListenerParts, StepParts
from mail_proxy.features.large_files import LARGE_FILES
from mail_proxy.features.oauth2 import OAUTH2
from mail_proxy.features.pec import PEC
from mail_proxy.features.replies import REPLIES
from mail_proxy.features.smtp_in import SMTP_IN
from mail_proxy.features.storages import STORAGES
from mail_proxy.features.suppressions import SUPPRESSIONS
from mail_proxy.features.ui_sessions import UI_SESSIONS
from mail_proxy.kit.service import Service
from mail_proxy.operations import registry
from mail_proxy.operations.operation import Operation
from mail_proxy.operations.parts import Parts
from mail_proxy.sql.directory import DirectoryPart

FEATURES: tuple[Feature, ...] = (
    ATTACHMENTS,
    DKIM,
    ALERTS,
    SUPPRESSIONS,
    STORAGES,
    LARGE_FILES,
    BOUNCES,
    OAUTH2,
    PEC,
    REPLIES,
    SMTP_IN,
    UI_SESSIONS,
)

#: Those of the service itself and those of its features.
OPERATIONS: tuple[Operation[Any, Any], ...] = (
    *registry.OPERATIONS,
    *(operation for feature in FEATURES for operation in feature.operations),
)
#: By the names of their features.
DIRECTORY: dict[str, DirectoryPart] = {
    feature.name: feature.directory for feature in FEATURES if feature.directory is not None
}


def delivery_steps(parts: StepParts) -> FeatureSteps:
    """Return the steps of all features for each slot, in the order of the features."""
    steps: dict[Slot, list[Step]] = {}
    for feature in FEATURES:
        for slot, make in feature.steps.items():
            steps.setdefault(slot, []).append(make(parts))
    return steps


def services(parts: Parts) -> tuple[Service, ...]:
    """Return the services of all features, in the order of the features."""
    return tuple(feature.service(parts) for feature in FEATURES if feature.service is not None)


def listeners(parts: ListenerParts) -> tuple[Service, ...]:
    """Return the listeners of all features, in the order of the features."""
    return tuple(feature.listener(parts) for feature in FEATURES if feature.listener is not None)
