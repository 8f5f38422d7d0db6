"""The schema that migrations make is the one that the code states"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect
from sqlalchemy import text as sql_text

from mail_proxy.errors import EncryptionKeyNotConfigured, SchemaTooNew
from mail_proxy.sql import SqlDb, schema
from mail_proxy.sql.migrations import current, head, upgrade
from mail_proxy.sql.tables import Tables


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mail.db'}"
    import psycopg

    server: str = request.getfixturevalue("postgres")
    name = f"empty_{abs(hash(str(tmp_path))):x}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return f"{server.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
def empty(empty_url: str) -> Any:
    db = SqlDb(empty_url)
    yield db
    db.dispose()


def test_an_empty_database_comes_to_what_the_code_states(empty: SqlDb) -> None:
    assert current(empty) is None
    assert upgrade(empty) == (None, head())
    assert current(empty) == head()
    assert empty.read_now(_differences) == []


def test_indexes_have_the_conditions_that_the_code_states(empty: SqlDb) -> None:
    """``compare_metadata`` looks at the columns of an index only."""
    upgrade(empty)
    dialect = empty.adapter.name
    stated = {
        index.name: _plain(str(index.dialect_options[dialect]["where"]))
        for table in schema.metadata.tables.values()
        for index in table.indexes
        if index.dialect_options[dialect]["where"] is not None
    }
    assert len(stated) >= 8
    found = empty.read_now(_conditions, dialect)
    assert {name: found[name] for name in stated} == stated


def test_upgrading_twice_changes_nothing(empty: SqlDb) -> None:
    upgrade(empty)
    before = empty.read_now(_names)
    assert upgrade(empty) == (head(), head())
    assert empty.read_now(_names) == before


def test_a_database_of_a_newer_program_is_refused_and_left_alone(empty: SqlDb) -> None:
    upgrade(empty)
    newer = "UPDATE alembic_version SET version_num = '9999'"
    empty.write_now(lambda connection: connection.exec_driver_sql(newer).rowcount)
    with pytest.raises(SchemaTooNew, match=f"9999.*{head()}.*newer program"):
        upgrade(empty)
    assert current(empty) == "9999"


def test_processes_that_start_together_upgrade_once(empty_url: str) -> None:
    script = (
        "import sys; from mail_proxy.sql import SqlDb; from mail_proxy.sql.migrations import "
        "upgrade; print(upgrade(SqlDb(sys.argv[1]))[0])"
    )
    command = [sys.executable, "-c", script, empty_url]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert sorted(out.strip() for out, _ in results) == sorted(["None", head(), head()])
    db = SqlDb(empty_url)
    assert db.read_now(_differences) == []
    db.dispose()


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "compare_server_default": True}
    )
    return list(compare_metadata(context, schema.metadata))


def _names(connection: Connection) -> set[str]:
    inspector = inspect(connection)
    tables = inspector.get_table_names()
    indexes = {str(i["name"]) for table in tables for i in inspector.get_indexes(table)}
    return {*tables, *indexes}


def _conditions(connection: Connection, dialect: str) -> dict[str, str]:
    """The WHERE of each partial index, as the database tells it."""
    statement = {
        "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    }[dialect]
    rows = connection.exec_driver_sql(statement).all()
    return {name: _plain(sql.partition(" WHERE ")[2]) for name, sql in rows}


def _plain(condition: str) -> str:
    """Without what PostgreSQL adds when it tells a condition."""
    for noise in ("::text", "[]", "ARRAY[", "= ANY", "(", ")", "]"):
        condition = condition.replace(noise, "")
    return " ".join(condition.replace(" IN ", " ").replace("  ", " ").split())


def test_what_older_programs_left_in_the_clear_is_sealed(empty: SqlDb) -> None:
    upgrade(empty, "0001")
    config = '{"storage_url":"s3://me:hunter22@bucket"}'
    values = {"config": config, "payload": f'{{"id":"t","large_file_config":{config}}}'}
    for statement in (
        "INSERT INTO tenant (id, large_file_config, created_at, updated_at) "
        "VALUES ('t', :config, 1, 1)",
        "INSERT INTO command_log (at, endpoint, actor, status, payload) "
        "VALUES (1, 'POST /tenant', 'admin', 200, :payload)",
    ):
        empty.write_now(lambda c, text=statement: c.execute(sql_text(text), values).rowcount)
    with pytest.raises(EncryptionKeyNotConfigured, match="large_file_config"):
        upgrade(empty)
    assert current(empty) == "0001"
    key = bytes(range(32))
    upgrade(empty, key=key)
    stored = "SELECT large_file_config, payload FROM tenant, command_log"
    assert "hunter22" not in str(empty.read_now(lambda c: c.exec_driver_sql(stored).all()))
    tenants = Tables.of(empty, key).tenants
    row = empty.read_now(lambda c: tenants.get(c, id="t"))
    assert row["large_file_config"] == {"storage_url": "s3://me:hunter22@bucket"}


def test_messages_that_some_recipients_have_are_found_among_old_rows(empty: SqlDb) -> None:
    upgrade(empty, "0005")
    sent, failed = '{"address":"a@x","status":"sent"}', '{"address":"b@x","status":"failed"}'
    results = {"none": None, "failed": f"[{failed}]", "partly": f"[{failed},{sent}]"}
    empty.write_now(_old_messages, results)
    upgrade(empty, key=bytes(range(32)))
    found = empty.read_now(
        lambda c: c.execute(sql_text("SELECT id, partly_sent FROM message")).all()
    )
    assert {id_: bool(is_partly) for id_, is_partly in found} == {
        "none": False,
        "failed": False,
        "partly": True,
    }


def test_large_messages_get_their_heads(empty: SqlDb) -> None:
    upgrade(empty, "0010")
    empty.write_now(_old_messages, {"small": None, "large": None})
    content = '{"subject":"s","body":"x","body_html":null}'
    empty.write_now(_old_content, content, "large")
    upgrade(empty, key=bytes(range(32)))
    statement = "SELECT id, h.content FROM message JOIN message_head AS h ON h.pk = message.pk"
    ((id_, head_),) = empty.read_now(lambda c: c.execute(sql_text(statement)).all())
    assert (id_, json.loads(head_)) == ("large", {"subject": "s"})


def _old_content(connection: Connection, content: str, large: str) -> None:
    connection.execute(
        sql_text(
            "INSERT INTO message_payload (pk, recipients, subject, content) "
            "SELECT pk, '', '', :content FROM message"
        ),
        {"content": content},
    )
    grown = sql_text("UPDATE message SET size = 20000 WHERE id = :id")
    connection.execute(grown, {"id": large})


def _old_messages(connection: Connection, results: dict[str, str | None]) -> None:
    pk = "00000000-0000-7000-8000-00000000000{}".format
    connection.execute(
        sql_text("INSERT INTO tenant (id, created_at, updated_at) VALUES ('t', 1, 1)")
    )
    connection.execute(
        sql_text(
            "INSERT INTO account (pk, tenant_id, id, host, port, tls, verify_cert, "
            "allow_insecure_auth, ttl_seconds, limit_behavior, is_default, is_pec_account, "
            "created_at, updated_at) VALUES (:pk, 't', 'a', 'h', 25, 'none', true, false, 1, "
            "'defer', false, false, 1, 1)"
        ),
        {"pk": pk(0)},
    )
    for number, (id_, stored) in enumerate(results.items(), start=1):
        connection.execute(
            sql_text(
                "INSERT INTO message (pk, tenant_id, id, account_pk, state, priority, due_at, "
                "created_at, size, recipient_results) VALUES (:pk, 't', :id, :account, 'deferred', "
                "2, 1, 1, 1, :results)"
            ),
            {"pk": pk(number), "id": id_, "account": pk(0), "results": stored},
        )
