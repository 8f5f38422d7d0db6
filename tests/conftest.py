"""Databases for tests: every test that asks for ``db`` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.harness.compiled_statements import CompiledStatements
from tests.harness.errors import NotAvailable
from tests.harness.order import slow_first
from tests.harness.postgres import postgres_server

import mail_proxy.features.registry  # noqa: F401  # declares the tables of features
from mail_proxy.sql import SqlDb
from mail_proxy.sql.migrations import upgrade
from mail_proxy.sql.tables import Tables

if TYPE_CHECKING:
    from tests.harness.reused_databases import ReusedDatabases

KEY = bytes(range(32))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
    if processes > 1:
        items[:] = slow_first(items, processes)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keep the garbage collector from going through thousands of tests again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a server whose database ``template_mail`` has the newest schema."""
    import psycopg

    try:
        server = postgres_server()
        url = server.__enter__()
    except NotAvailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_mail")
        template = SqlDb(_database(url, "template_mail"))
        upgrade(template)
        template.dispose()
        yield url
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres_databases(postgres: str) -> ReusedDatabases:
    from tests.harness.reused_databases import ReusedDatabases

    return ReusedDatabases(postgres)


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the newest schema, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    template = SqlDb(f"sqlite:///{file}")
    upgrade(template)
    template.dispose()
    return file


@pytest.fixture(scope="session")
def compiled_statements() -> CompiledStatements:
    return CompiledStatements()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, compiled_statements: CompiledStatements
) -> Iterator[str]:
    """An empty database with the newest schema, one for each test."""
    with compiled_statements.shared():
        yield from _database_url(request, tmp_path)


def _database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        template: Path = request.getfixturevalue("sqlite")
        yield f"sqlite:///{shutil.copy(template, tmp_path / 'mail.db')}"
        return
    databases: ReusedDatabases = request.getfixturevalue("postgres_databases")
    url = databases.take()
    yield url
    databases.give_back(url)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[SqlDb]:
    database = SqlDb(database_url)
    upgrade(database)
    yield database
    await database.close()


@pytest.fixture
def tables(db: SqlDb) -> Tables:
    return Tables.of(db, KEY)


def _database(url: str, name: str) -> str:
    return f"{url.rsplit('/', 1)[0]}/{name}"
