"""JSON shapes of storage mounts. Secrets are accepted and never returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mail_proxy.wire.fields import Answer, Identifier, Matching, Name, OneLine, Request
from mail_proxy.wire.mistakes import malformed, mistake, mistakes_of
from mail_proxy.wire.secrets import MASK

_MOST_CONFIG_BYTES = 65_536
#: Names that begin other kinds of references and URLs.
_RESERVED = frozenset(
    {"base64", "http", "https", "file", "s3", "gs", "gcs", "az", "azure", "abfs", "abfss", "data"}
)
_CONFIG = {"bucket": "acme-mail", "prefix": "attachments", "key": "********", "secret": "********"}
_STORAGE = {
    "tenant_id": "acme",
    "name": "docs",
    "protocol": "s3",
    "config": _CONFIG,
    "damaged": False,
    "created_at": 1_790_000_000,
    "updated_at": 1_790_000_000,
}


def _example(example: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [example]})


def _name(pattern: str) -> Any:
    return Matching(pattern, "has characters that such a name cannot have")


MountName = Annotated[
    str,
    Matching(
        rf"(?i:(?!(?:{'|'.join(sorted(_RESERVED))})\Z)[a-z0-9][a-z0-9_.-]{{0,63}})",
        "allowed: 1 to 64 letters, digits, '-', '_' and '.', the first one a letter or digit; "
        "not the name of a URL scheme such as s3 or file",
    ),
]
Protocol = Annotated[
    str, Matching(r"[a-z][a-z0-9+_-]{0,31}", "allowed: local, s3, gcs, azure, memory, ...")
]
_Bucket = Annotated[str, _name(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")]
_Prefix = Annotated[str, Matching(r"(?!.*(?:^|/)\.\.(?:/|\Z))[^\x00-\x1f]{0,512}", "has ..")]
_Url = Annotated[
    str, Matching(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?", "must be an http:// or https:// URL")
]


class _Config(Request):
    """Configuration of a mount."""


class LocalConfig(_Config):
    """A folder of the host."""

    base_path: Annotated[str, Matching(r"/[^\x00-\x1f]{0,1000}", "must be an absolute path")]


class S3Config(_Config):
    """A bucket of Amazon S3, or of a server that speaks its protocol."""

    bucket: _Bucket
    prefix: _Prefix | None = None
    endpoint_url: _Url | None = None
    key: Name | None = None
    secret: Name | None = None
    region: Annotated[str, _name(r"[a-z0-9-]{1,32}")] | None = None


class GcsConfig(_Config):
    """A bucket of Google Cloud Storage, with the JSON of a service account."""

    bucket: _Bucket
    prefix: _Prefix | None = None
    credentials: dict[str, Any] | None = None


class AzureConfig(_Config):
    """A container of Azure Blob Storage."""

    container: _Bucket
    prefix: _Prefix | None = None
    connection_string: Annotated[OneLine, Field(max_length=4000)] | None = None


class MemoryConfig(_Config):
    """Files in the memory of one process, for tests."""


class OtherConfig(_Config):
    """Any other filesystem of fsspec: its URL and its options."""

    url: Annotated[OneLine, Field(min_length=1, max_length=2000)]
    options: dict[str, Any] | None = None


_CONFIGS: Mapping[str, type[_Config]] = {
    "local": LocalConfig,
    "s3": S3Config,
    "gcs": GcsConfig,
    "azure": AzureConfig,
    "memory": MemoryConfig,
}


def checked_config(protocol: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration of a protocol without empty fields; raises Malformed."""
    if len(orjson.dumps(config)) > _MOST_CONFIG_BYTES:
        raise malformed(mistake("config", f"too long; at most {_MOST_CONFIG_BYTES} bytes"))
    model = _CONFIGS.get(protocol, OtherConfig)
    try:
        checked = model.model_validate(config)
    except ValidationError as error:
        found = mistakes_of(error.errors(include_url=False, include_input=False), model)
        wrong = [{**each, "field": f"config.{each['field']}"} for each in found]
        raise malformed(*wrong) from None
    return checked.model_dump(exclude_none=True)


class StorageIn(Request):
    """A storage to create, or the fields of a storage to change."""

    model_config = _example(
        {
            "tenant_id": "acme",
            "name": "docs",
            "protocol": "s3",
            "config": {"bucket": "acme-mail", "prefix": "attachments"},
        }
    )

    tenant_id: Identifier | None = Field(
        None, description="Optional with a tenant key, or if there is only one tenant."
    )
    name: MountName = Field(description="Name of the storage, unique in its tenant.")
    protocol: Protocol | None = Field(
        None,
        description="local, s3, gcs, azure, memory, or another one of fsspec that is installed; "
        "required for a new storage.",
    )
    config: dict[str, Any] | None = Field(
        None,
        description="local: base_path. s3: bucket, prefix, endpoint_url, key, secret, region. gcs: "
        "bucket, prefix, credentials. azure: container, prefix, connection_string. Others: url, "
        "options. Replaces the stored one as a whole; ******** keeps a stored secret. Secrets are "
        "asked for again if anything else in it changes.",
    )


class StorageRef(Request):
    """A storage of the tenant that the call is about."""

    name: MountName = Field(description="Name of the storage.", examples=["docs"])


class StorageOut(BaseModel):
    """A storage; secrets of its configuration are shown as ``********``."""

    model_config = _example(_STORAGE)

    tenant_id: str = Field(description="Tenant of the storage.")
    name: str = Field(description="Name of the storage, unique in its tenant.")
    protocol: str = Field(description="local, s3, gcs, azure, memory, or another one of fsspec.")
    config: dict[str, Any] = Field(description="The configuration, with secrets masked.")
    damaged: bool = Field(description="Whether the stored configuration cannot be decrypted.")
    created_at: int = Field(description="When the storage was created, in Unix seconds.")
    updated_at: int = Field(description="When the storage was last saved, in Unix seconds.")


class StoragesOut(Answer):
    """The storages of a tenant; for the administrator who names none, of all."""

    model_config = _example({"ok": True, "storages": [_STORAGE]})

    storages: list[StorageOut] = Field(description="In the order of tenants and names.")


class StorageAnswer(Answer):
    """One storage."""

    model_config = _example({"ok": True, "storage": _STORAGE})

    storage: StorageOut = Field(description="The storage.")


class StorageSaved(Answer):
    """The storage that was saved."""

    model_config = _example({"ok": True, "name": "docs"})

    name: str = Field(description="Name of the storage.")


def has_mask(value: Any) -> bool:
    """Return whether a configuration has a masked secret."""
    if isinstance(value, Mapping):
        return any(has_mask(inner) for inner in value.values())
    return isinstance(value, str) and MASK in value
