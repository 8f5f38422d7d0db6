"""Transactional outbox for SQLAlchemy, on SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, MetaData, create_engine, func, select
from tests.contrib.conftest import TOKEN, Service

from mail_proxy.client import MailProxyClient, NoAnswer, Retries
from mail_proxy.contrib.sqlalchemy import Outbox, outbox_table

METADATA = MetaData()
TABLE = outbox_table(METADATA)


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'app.db'}"
    else:
        url = request.getfixturevalue("postgres").replace("postgresql://", "postgresql+psycopg://")
    engine = create_engine(url)
    METADATA.create_all(engine)
    yield engine
    METADATA.drop_all(engine)
    engine.dispose()


def _mail(id_: str, to: str) -> dict[str, Any]:
    return {"id": id_, "from": "s@example.com", "to": [to], "subject": "S", "body": "B"}


def _rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(TABLE)).scalar_one()


def test_messages_go_with_the_transaction(engine: Engine, service: Service) -> None:
    outbox = Outbox(TABLE, engine, service.client)
    name = engine.dialect.name
    with pytest.raises(RuntimeError), engine.begin() as connection:
        outbox.add(connection, [_mail(f"{name}-lost", "lost@example.org")])
        raise RuntimeError
    with engine.begin() as connection:
        messages = [_mail(f"{name}-{n}", f"{name}{n}@example.org") for n in range(150)]
        outbox.add(connection, [*messages, _mail(f"{name}-bad", "no address")])
    with MailProxyClient("http://127.0.0.1:1", TOKEN, retries=Retries(attempts=1)) as gone:
        with pytest.raises(NoAnswer):
            Outbox(TABLE, engine, gone).send()
    assert _rows(engine) == 151
    assert outbox.send() == 150
    assert outbox.send() == 0
    with engine.connect() as connection:
        (refused,) = connection.execute(select(TABLE.c.message_id, TABLE.c.refused)).all()
    assert refused.message_id == f"{name}-bad"
    assert "no address" in refused.refused
    service.mail_to(f"{name}149@example.org")
