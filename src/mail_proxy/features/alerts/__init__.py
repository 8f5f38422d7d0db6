"""Alerts: report to a person what needs attention, by mail and by HTTP POST."""

from mail_proxy.features.alerts import operations
from mail_proxy.features.alerts.table import AlertSecretTable, AlertsTable
from mail_proxy.features.alerts.watch import AlertWatch
from mail_proxy.features.feature import Feature, Route

ALERTS = Feature(
    name="alerts",
    tables=(AlertsTable, AlertSecretTable),
    operations=operations.ALL,
    routes=(Route("POST", "/alerts/test", operations.test),),
    service=AlertWatch,
)
