"""Bounces and complaints: read from a mailbox, recorded at messages, reported."""

from mail_proxy.features.bounces import operations
from mail_proxy.features.bounces.receiver import BounceReceiver
from mail_proxy.features.bounces.return_path import return_path_step
from mail_proxy.features.bounces.table import (
    NAME,
    BounceMailboxTable,
    SoftBouncesTable,
    renew_mailbox,
)
from mail_proxy.features.feature import Feature, Route

BOUNCES = Feature(
    name=NAME,
    tables=(BounceMailboxTable, SoftBouncesTable),
    directory=renew_mailbox,
    operations=operations.ALL,
    routes=(
        Route("GET", "/instance/bounce", operations.get),
        Route("PUT", "/instance/bounce", operations.save),
        Route("POST", "/instance/bounce/reload", operations.reload),
        Route("POST", "/instance/reload-bounce", operations.reload, is_alias=True),
        Route("POST", "/instance/bounce/test", operations.test),
    ),
    service=BounceReceiver,
    steps={"recipients": return_path_step},
)
