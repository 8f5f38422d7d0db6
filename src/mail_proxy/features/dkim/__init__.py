"""DKIM signatures (RFC 6376, RFC 8463) for mails whose From domain has keys."""

from mail_proxy.features.dkim import operations
from mail_proxy.features.dkim.step import NAME, signing_step
from mail_proxy.features.dkim.table import DkimKeysTable, renew_keys
from mail_proxy.features.feature import Feature, Route

DKIM = Feature(
    name=NAME,
    tables=(DkimKeysTable,),
    directory=renew_keys,
    operations=operations.ALL,
    routes=(
        Route("POST", "/dkim", operations.create),
        Route("GET", "/dkim", operations.list_keys),
        Route("DELETE", "/dkim/{domain}/{selector}", operations.delete),
        Route("POST", "/dkim/{domain}/{selector}/check", operations.check),
    ),
    steps={"signing": signing_step},
)
