"""Table of tenants."""

from __future__ import annotations

from mail_proxy.sql import schema
from mail_proxy.sql.tables.instance import DirectoryTable


class TenantsTable(DirectoryTable):
    """Table of tenants. ``client_auth`` and ``large_file_config`` are encrypted JSON."""

    schema = schema.tenant
    #: One bad tenant must not stop the others.
    keeps_damaged = True
    sealed_objects = ("client_auth", "large_file_config")
