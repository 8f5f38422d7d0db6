"""Italian certified mail (PEC, RFC 6109): checks, receipts, missing acceptances."""

from mail_proxy.features.feature import Feature, Route
from mail_proxy.features.pec import operations
from mail_proxy.features.pec.accounts import NAME, renew_accounts
from mail_proxy.features.pec.receiver import PecReceiver
from mail_proxy.features.pec.step import certified_step

PEC = Feature(
    name=NAME,
    directory=renew_accounts,
    operations=operations.ALL,
    routes=(Route("GET", "/messages/{id}/receipts", operations.list_receipts),),
    service=PecReceiver,
    steps={"signing": certified_step},
)
