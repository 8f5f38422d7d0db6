"""Storages over REST: save, list, get, delete; secrets and places of tenants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.protocols.rest.client import ONE_DATABASE, Client, serving

from mail_proxy.config import AttachmentConfig, ConcurrencyConfig, ProxyConfig
from mail_proxy.features.registry import DIRECTORY
from mail_proxy.features.storages.table import NAME
from mail_proxy.sql import SqlDb
from mail_proxy.sql.directory import Directory
from mail_proxy.sql.tables import Tables
from mail_proxy.storage.mount import Mounts
from mail_proxy.storage.protocols import PROVIDERS, Provider

URL = {"url": "zip://files.zip", "options": {"fo": "/srv/files.zip", "password": "hunter22"}}
ZIP = {"name": "docs", "protocol": "zip", "config": URL}
SHOWN = {"url": "zip://files.zip", "options": {"fo": "/srv/files.zip", "password": "********"}}
S3 = {"bucket": "acme-mail", "key": "AKIA", "secret": "hunter22", "endpoint_url": "http://s3.test"}
SERVICE_ACCOUNT = {
    "type": "service_account",
    "client_email": "a@b.iam.gserviceaccount.com",
    "private_key": "hunter22",
    "token_uri": "https://oauth2.googleapis.com/token",
}


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    folder = tmp_path / "roots"
    (folder / "acme").mkdir(parents=True)
    return folder


@pytest.fixture
async def service(config: ProxyConfig, roots: Path) -> AsyncIterator[Client]:
    """A service whose tenants may have local storages below ``roots``."""
    attachments = AttachmentConfig(attachment_roots=(roots,))
    changes = {"scheduler_active": False, "attachments": attachments}
    async with serving(config.model_copy(update=changes)) as client:
        yield client


@pytest.fixture
def directory(db: SqlDb) -> Directory:
    """The directory of another process of the service."""
    key = bytes(32)
    return Directory(db, Tables.of(db, key), ConcurrencyConfig(), parts=DIRECTORY)


async def mounts(directory: Directory) -> Mounts:
    found: Mounts = (await directory.current()).features[NAME]
    return found


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the libraries of all providers for installed, as nothing is opened here."""
    for name, provider in PROVIDERS.items():
        found = Provider(provider.fsspec_name, provider.extra, "fsspec", ())
        monkeypatch.setitem(PROVIDERS, name, found)


async def test_a_storage_is_saved_and_shown_without_its_secrets(
    service: Client, db: SqlDb, directory: Directory
) -> None:
    answer = await service.ok("POST", "/storage", ZIP)
    assert answer == {"ok": True, "name": "docs"}
    (listed,) = (await service.ok("GET", "/storages"))["storages"]
    assert listed == (await service.ok("GET", "/storage/docs"))["storage"]
    assert (listed["tenant_id"], listed["protocol"]) == ("default", "zip")
    assert (listed["config"], listed["damaged"]) == (SHOWN, False)
    query = "SELECT config FROM storage"
    (sealed,) = (await db.read(lambda c: c.exec_driver_sql(query).all()))[0]
    assert sealed.startswith("ENC:")
    assert (await mounts(directory))["default", "docs"].config == URL


async def test_a_masked_secret_is_kept_where_it_was_given_for(
    service: Client, db: SqlDb, directory: Directory
) -> None:
    await service.ok("POST", "/storage", ZIP)
    await service.ok("POST", "/storage", {**ZIP, "config": SHOWN})
    elsewhere = {**SHOWN, "options": {**SHOWN["options"], "fo": "http://evil.example/x.zip"}}  # type: ignore[dict-item]
    response = await service("POST", "/storage", {**ZIP, "config": elsewhere})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "config.options"
    assert "give it again" in response.json()["error"]
    assert (await mounts(directory))["default", "docs"].config == URL


@ONE_DATABASE
@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize(
    "changed",
    [
        {"endpoint_url": "http://evil.example"},
        {"bucket": "others"},
        {"prefix": "others"},
        {"region": "eu-south-1"},
    ],
)
async def test_another_place_asks_for_the_secret_again(
    service: Client, changed: dict[str, str]
) -> None:
    key = await service.tenant("acme")
    await service.ok("POST", "/storage", {"name": "a", "protocol": "s3", "config": S3}, token=key)
    masked = {**S3, "key": "********", "secret": "********", **changed}
    response = await service("POST", "/storage", {"name": "a", "config": masked}, token=key)
    assert response.status_code == 422
    fields = {each["field"] for each in response.json()["detail"]}
    assert fields == {"config.key", "config.secret"}
    body = {"name": "a", "config": {**S3, **changed}}
    await service.ok("POST", "/storage", body, token=key)
    (listed,) = (await service.ok("GET", "/storages", token=key))["storages"]
    assert listed["config"] == masked


@ONE_DATABASE
@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize(
    ("protocol", "place", "field"),
    [
        ("local", {"base_path": "/etc"}, "config.base_path"),
        ("local", {"base_path": "{roots}/../other"}, "config.base_path"),
        ("local", {"base_path": "{roots}/out"}, "config.base_path"),
        ("s3", {"bucket": "of-the-service"}, "config.key"),
        ("gcs", {"bucket": "of-the-service"}, "config.credentials"),
        ("gcs", {"bucket": "b-b", "credentials": {"type": "external_account"}}, None),
        (
            "gcs",
            {"bucket": "b-b", "credentials": {**SERVICE_ACCOUNT, "token_uri": "http://10.0.0.1"}},
            None,
        ),
        (
            "gcs",
            {"bucket": "b-b", "credentials": {**SERVICE_ACCOUNT, "universe_domain": "x.example"}},
            None,
        ),
        ("azure", {"container": "of-the-service"}, "config.connection_string"),
        ("zip", URL, "protocol"),
        ("file", {"url": "file:///etc"}, "protocol"),
    ],
)
async def test_a_tenant_key_reaches_only_what_is_the_tenants_own(
    service: Client, roots: Path, protocol: str, place: dict[str, Any], field: str | None
) -> None:
    (roots / "out").symlink_to("/etc")
    if "base_path" in place:
        place = {"base_path": place["base_path"].format(roots=roots)}
    key = await service.tenant("acme")
    body = {"name": "docs", "protocol": protocol, "config": place}
    response = await service("POST", "/storage", body, token=key)
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == (field or "config.credentials")
    assert (await service.ok("GET", "/storages"))["storages"] == []
    if protocol != "file":
        await service.ok("POST", "/storage", {**body, "tenant_id": "acme"})


@ONE_DATABASE
@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize(
    ("protocol", "place"),
    [
        ("local", {"base_path": "{roots}/acme"}),
        ("s3", S3),
        ("gcs", {"bucket": "b-b", "credentials": SERVICE_ACCOUNT}),
        ("azure", {"container": "c-c", "connection_string": "AccountName=a;AccountKey=hunter22"}),
        ("memory", {}),
    ],
)
async def test_a_tenant_key_saves_the_usual_protocols(
    service: Client, roots: Path, protocol: str, place: dict[str, Any]
) -> None:
    if "base_path" in place:
        place = {"base_path": place["base_path"].format(roots=roots)}
    key = await service.tenant("acme")
    body = {"name": "docs", "protocol": protocol, "config": place}
    await service.ok("POST", "/storage", body, token=key)
    response = await service("GET", "/storage/docs", token=key)
    assert response.json()["storage"]["tenant_id"] == "acme"
    assert "hunter22" not in response.text


async def test_a_tenant_key_that_changes_the_administrators_storage_is_bound_again(
    service: Client, roots: Path
) -> None:
    key = await service.tenant("acme")
    body = {"name": "docs", "protocol": "local", "config": {"base_path": "/srv"}}
    await service.ok("POST", "/storage", {**body, "tenant_id": "acme"})
    await service.ok("POST", "/storage", body, token=key)
    response = await service(
        "POST", "/storage", {"name": "docs", "config": {"base_path": "/srv/other"}}, token=key
    )
    assert response.status_code == 422
    own = {"name": "docs", "config": {"base_path": str(roots / "acme")}}
    await service.ok("POST", "/storage", own, token=key)
    assert (await service("POST", "/storage", body, token=key)).status_code == 422


async def test_every_process_knows_the_mounts(service: Client, directory: Directory) -> None:
    await service.ok("POST", "/storage", ZIP)
    assert (await mounts(directory))["default", "docs"].config == URL
    assert "hunter22" not in repr(await mounts(directory))
    await service.ok("DELETE", "/storage/docs")
    assert await mounts(directory) == {}
    assert (await service("DELETE", "/storage/docs")).status_code == 404
    assert (await service("GET", "/storage/docs")).status_code == 404


@ONE_DATABASE
@pytest.mark.parametrize("name", ["s3", "File", "http", "-a", "a:b", "a/b", "", "a" * 65])
async def test_a_name_that_looks_like_a_url_is_refused(service: Client, name: str) -> None:
    response = await service("POST", "/storage", {**ZIP, "name": name})
    assert response.status_code == 422
    assert response.json()["detail"][0]["field"] == "name"


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "a"}, "protocol"),
        ({"name": "a", "protocol": "memory"}, "config"),
        ({"name": "a", "protocol": "none-such", "config": {"url": "x"}}, "protocol"),
        ({"name": "a", "protocol": "local", "config": {"base_path": "srv"}}, "config.base_path"),
        ({"name": "a", "protocol": "local", "config": {"path": "/srv"}}, "config.path"),
        ({"name": "a", "protocol": "memory", "config": {"x": "y" * 70_000}}, "config"),
    ],
)
async def test_a_wrong_storage_is_refused_by_field(
    service: Client, body: dict[str, Any], field: str
) -> None:
    response = await service("POST", "/storage", body)
    assert response.status_code == 422
    assert field in {each["field"] for each in response.json()["detail"]}


@ONE_DATABASE
async def test_a_missing_extra_names_the_command_that_installs_it(
    service: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = Provider("s3", "s3", "no_such_module", ())
    monkeypatch.setitem(PROVIDERS, "s3", missing)
    response = await service("POST", "/storage", {"name": "a", "protocol": "s3", "config": S3})
    assert response.status_code == 422
    assert "pip install 'genro-mail-proxy[s3]'" in response.json()["error"]


@ONE_DATABASE
async def test_the_number_of_storages_is_bounded(service: Client) -> None:
    for number in range(100):
        body = {"name": f"m{number}", "protocol": "memory", "config": {}}
        await service.ok("POST", "/storage", body)
    response = await service("POST", "/storage", {**ZIP, "name": "one-more"})
    assert response.status_code == 409
