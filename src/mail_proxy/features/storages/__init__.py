"""Storages: named mounts of each tenant for attachments and large files."""

from mail_proxy.features.feature import Feature, Route
from mail_proxy.features.storages import operations
from mail_proxy.features.storages.table import NAME, StoragesTable, renew_mounts

STORAGES = Feature(
    name=NAME,
    tables=(StoragesTable,),
    directory=renew_mounts,
    operations=operations.ALL,
    routes=(
        Route("POST", "/storage", operations.save),
        Route("GET", "/storages", operations.list_storages),
        Route("GET", "/storage/{name}", operations.get),
        Route("DELETE", "/storage/{name}", operations.delete),
    ),
)
