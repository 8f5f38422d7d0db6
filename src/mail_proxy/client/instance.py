"""Calls about the running service: state, settings, health, metrics."""

from __future__ import annotations

from mail_proxy.client.calls import Given, Group, Mode, call
from mail_proxy.client.fields import SettingFields
from mail_proxy.client.reading import field_of, model, text
from mail_proxy.wire.instance import InstanceAnswer
from mail_proxy.wire.service import Status
from mail_proxy.wire.tenants import Done
from mail_proxy.wire.ui_sessions import UiLinkOut, UiSessionsEnded


class Instance(Group[Mode]):
    """Calls about the running service."""

    @call("GET", "/status", model(Status))
    def status(self, *, full: bool = False, tenant_id: str | None = None) -> Given:
        """Return the state of the instance; with ``full``, also its troubles."""
        return Given(query={"full": full or None}, tenant_id=tenant_id)

    @call(
        "GET",
        "/instance",
        field_of(InstanceAnswer, lambda answer: answer.instance),
        names_tenant=False,
    )
    def get(self) -> Given:
        """Return the instance with its run-time settings, as they are in effect."""
        return Given()

    @call(
        "PUT",
        "/instance",
        field_of(InstanceAnswer, lambda answer: answer.instance),
        names_tenant=False,
    )
    def update(self, *, name: str | None = None, settings: SettingFields | None = None) -> Given:
        """Change the name or settings that may change at run time; None leaves them."""
        given = {"name": name, "settings": settings}
        return Given(body={k: v for k, v in given.items() if v is not None})

    @call("POST", "/ui-link", model(UiLinkOut), names_tenant=False, repeatable=False)
    def ui_link(self) -> Given:
        """Return a link that logs the administrator in to the dashboard, once."""
        return Given()

    @call("POST", "/ui-sessions/end", model(UiSessionsEnded))
    def end_ui_sessions(self, *, tenant_id: str | None = None) -> Given:
        """End all dashboard sessions of a tenant; without one, those of everybody."""
        return Given(tenant_id=tenant_id)

    @call("GET", "/health", model(Done), names_tenant=False)
    def health(self) -> Given:
        """Return if the process is alive; neither database nor dispatcher is asked."""
        return Given()

    @call("GET", "/ready", model(Done), names_tenant=False)
    def ready(self) -> Given:
        """Return if database and dispatcher work; else NotReady is raised."""
        return Given()

    @call("GET", "/metrics", text, names_tenant=False)
    def metrics(self) -> Given:
        """Return the metrics in the Prometheus text format."""
        return Given()
