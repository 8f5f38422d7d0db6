"""Every operation can be reached in every documented way, or it says why not."""

from __future__ import annotations

from typing import Any

import pytest
from tests.protocols.rest.parity import client_calls, commands_calls, doors, operations_of

from mail_proxy.api.app import routes
from mail_proxy.api.deps import Token
from mail_proxy.features.registry import OPERATIONS
from mail_proxy.operations.operation import Operation, Scope

#: Operations without a name in ``handle_command``, and why. Each way to call operations has one
#: such list here; what is in none of them must be there.
_NO_COMMAND = {
    "ui_sessions.link": "for the dashboard",
    "ui_sessions.end_all": "for the dashboard",
    "service.status": "an embedding program asks MailProxy",
    "stats.list": "an embedding program asks MailProxy",
    "messages.get": "listMessages with an id",
    "messages.events": "the embedding program gets reports",
    "receipts.list": "the embedding program gets reports",
    "receipts.get": "the embedding program gets reports",
    "messages.retry": "not among the documented commands",
    "accounts.get": "listAccounts shows it",
    "accounts.test": "not among the documented commands",
    "accounts.test_unsaved": "not among the documented commands",
    "tenants.make_key": "an embedding program needs no key",
    "tenants.revoke_key": "an embedding program needs no key",
    "alerts.test": "for operators",
    "bounces.get": "for operators",
    "bounces.save": "for operators",
    "bounces.reload": "for operators",
    "bounces.test": "for operators",
    "replies.list": "the embedding program gets reports",
    "dkim.create": "not among the documented commands",
    "dkim.list": "not among the documented commands",
    "dkim.delete": "not among the documented commands",
    "dkim.check": "not among the documented commands",
    "storages.save": "not among the documented commands",
    "storages.list": "not among the documented commands",
    "storages.get": "not among the documented commands",
    "storages.delete": "not among the documented commands",
    "suppressions.add": "not among the documented commands",
    "suppressions.list": "not among the documented commands",
    "suppressions.delete": "not among the documented commands",
    "suppressions.import": "not among the documented commands",
    "suppressions.export": "not among the documented commands",
    "sync_log.list": "the embedding program makes the calls itself",
    "instance.get": "an embedding program has the settings",
    "instance.update": "an embedding program has the settings",
    "command_log.list": "for operators",
    "command_log.get": "for operators",
    "command_log.export": "for operators",
    "command_log.purge": "for operators",
    "command_log.replay": "for operators",
}
#: Operations without a command of ``mail-proxy``, and why.
_NOT_ON_THE_COMMAND_LINE = {
    "ui_sessions.end_all": "the dashboard has a button",
    "accounts.test_unsaved": "accounts add saves first, then tests",
    "tenants.sync_status": "status names applications that fail",
    "sync_log.list": "status names applications that fail",
    "instance.get": "info shows the settings of the start",
    "instance.update": "config.toml has the settings",
    "command_log.get": "audit shows whole entries",
    "command_log.purge": "audit_retention_days removes old entries",
}
#: Routes that are no operations: they need no token and ask no tenant's data.
_NO_OPERATION = {"/health", "/ready", "/metrics", "/files/{token}/{filename}", "/u/{token}"}
each_operation = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: o.name)


def test_names_are_given_once() -> None:
    names = [operation.name for operation in OPERATIONS]
    commands = [operation.command for operation in OPERATIONS if operation.command]
    assert len(set(names)) == len(names)
    assert len(set(commands)) == len(commands)


@each_operation
def test_an_operation_has_one_route_which_asks_for_the_token_of_its_scope(
    operation: Operation[Any, Any],
) -> None:
    (door,) = doors()[operation.name]
    assert (door.token is Token.ADMIN) == (operation.scope is Scope.ADMIN)
    assert door.token is not Token.NONE
    assert (door.method != "GET") == operation.mutates


@each_operation
def test_an_operation_has_a_command_name_or_a_reason(operation: Operation[Any, Any]) -> None:
    assert (operation.command is None) == (operation.name in _NO_COMMAND)


@each_operation
def test_an_operation_has_one_call_of_the_client_library(operation: Operation[Any, Any]) -> None:
    (door,) = doors()[operation.name]
    assert len(client_calls()[door.method, door.path]) == 1


@each_operation
def test_an_operation_is_on_the_command_line_or_there_is_a_reason(
    operation: Operation[Any, Any],
) -> None:
    (door,) = doors()[operation.name]
    (name,) = client_calls()[door.method, door.path]
    # ``iterate`` follows the pages of ``list``.
    names = {name, name.replace(".list", ".iterate")}
    assert names.isdisjoint(commands_calls()) == (operation.name in _NOT_ON_THE_COMMAND_LINE)


def test_every_call_of_the_client_library_leads_to_a_route() -> None:
    known = {(method, route.path_format) for route in routes() for method in route.methods or ()}
    assert client_calls().keys() <= known


@each_operation
def test_an_operation_is_described_and_typed(operation: Operation[Any, Any]) -> None:
    assert (operation.run is None) != (operation.batch is None)
    assert operation.answer is not type(None)
    if operation.replayable:
        assert operation.mutates
        assert operation.request.model_validate


def test_no_exemption_is_left_over() -> None:
    names = {operation.name for operation in OPERATIONS}
    assert names >= {*_NO_COMMAND, *_NOT_ON_THE_COMMAND_LINE}


def test_every_route_leads_to_one_operation() -> None:
    for route in routes():
        expected = 0 if route.path_format in _NO_OPERATION else 1
        assert len(list(operations_of(route))) == expected
