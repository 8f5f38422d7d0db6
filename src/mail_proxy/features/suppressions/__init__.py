"""Suppression lists: addresses that a tenant does not send to any more."""

from mail_proxy.features.feature import Feature, Route
from mail_proxy.features.suppressions import csv_operations, operations
from mail_proxy.features.suppressions.step import NAME, suppression_step
from mail_proxy.features.suppressions.table import SuppressionsTable, renew_lists

SUPPRESSIONS = Feature(
    name=NAME,
    tables=(SuppressionsTable,),
    directory=renew_lists,
    operations=(*operations.ALL, *csv_operations.ALL),
    routes=(
        Route("GET", "/suppressions", operations.list_suppressions),
        Route("POST", "/suppression", operations.add),
        Route("DELETE", "/suppression/{address}", operations.delete),
    ),
    steps={"recipients": suppression_step},
)
