"""mail-proxy NAME TENANT COMMAND, in the orders that are understood"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from mail_proxy.cli.current import current, forget, remember
from mail_proxy.cli.grammar import arranged
from mail_proxy.cli.instance import Instance
from mail_proxy.errors import Malformed, NotFound


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    found = {"GMP_HOME": str(tmp_path)}
    Instance("shop", tmp_path).create(found)
    return found


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("status shop", "status shop"),
        ("shop status", "status shop"),
        ("shop status --json", "status shop --json"),
        ("new start --port 0", "start new --port 0"),
        ("status", "status"),
        ("log", "shop log"),
        ("log --follow", "shop log --follow"),
        ("log shop --follow", "shop log --follow"),
        ("audit", "shop audit"),
        ("audit shop", "shop audit"),
        ("shop audit", "shop audit"),
        ("keys rotate", "shop keys rotate"),
        ("keys rotate shop", "shop keys rotate"),
        ("keys shop rotate", "shop keys rotate"),
        ("shop keys rotate", "shop keys rotate"),
        ("shop", "shop"),
        ("shop --help", "shop --help"),
        ("shop nonsense", "shop nonsense"),
        ("nonsense shop", "nonsense shop"),
        ("list", "list"),
        ("--version", "--version"),
        ("", ""),
        ("messages list", "shop messages list"),
        ("shop messages list", "shop messages list"),
        ("shop acme messages list --csv", "shop/acme messages list --csv"),
        ("shop/acme messages list", "shop/acme messages list"),
        ("acme messages list", "shop/acme messages list"),
        ("messages list shop", "shop messages list"),
        ("messages list shop acme", "shop/acme messages list"),
        ("messages list shop/acme --json", "shop/acme messages list --json"),
        ("messages shop list", "shop messages list"),
        ("messages list --status sent", "shop messages list --status sent"),
        # An id or a batch is never taken for an instance.
        ("messages show shop", "shop messages show shop"),
        ("messages delete shop other", "shop messages delete shop other"),
        ("suspend shop", "shop suspend shop"),
        ("shop suspend", "shop suspend"),
        ("run-now shop acme", "shop/acme run-now"),
        ("info", "shop info"),
        ("shop info", "shop info"),
        ("shop acme info", "shop/acme info"),
        # Tenants with the name of a command.
        ("shop/messages messages list", "shop/messages messages list"),
        ("shop/log info", "shop/log info"),
        ("messages --help", "messages --help"),
    ],
)
def test_the_words_may_stand_in_several_orders(
    environ: dict[str, str], given: str, expected: str
) -> None:
    assert arranged(given.split(), environ) == expected.split()


@pytest.mark.parametrize(
    "given",
    ["shpo keys rotate", "shpo info", "shpo acme messages list", "shpo/acme messages list"],
)
def test_an_instance_that_does_not_exist_is_named(environ: dict[str, str], given: str) -> None:
    with pytest.raises(NotFound, match="no instance 'shpo'"):
        arranged(given.split(), environ)


def test_without_a_single_instance_its_name_is_needed(tmp_path: Path) -> None:
    environ = {"GMP_HOME": str(tmp_path)}
    with pytest.raises(Malformed, match="there is none yet"):
        arranged(["log"], environ)
    assert arranged(["log", "--help"], environ) == ["log", "--help"]
    for name in ("shop", "post"):
        Instance(name, tmp_path).create(environ)
    with pytest.raises(Malformed, match=r"there are 2 \(post, shop\)"):
        arranged(["log"], environ)
    with pytest.raises(NotFound, match="no instance 'acme'"):
        arranged(["acme", "messages", "list"], environ)
    assert arranged(["log", "post"], environ) == ["post", "log"]


def test_the_remembered_instance_and_tenant_are_used_where_none_is_named(tmp_path: Path) -> None:
    environ = {"GMP_HOME": str(tmp_path)}
    for name in ("shop", "post"):
        Instance(name, tmp_path).create(environ)
    remember("post", "acme", environ)
    assert current(environ) == ("post", "acme", "mail-proxy use", "mail-proxy use")
    for given, expected in {
        "messages list": "post/acme messages list",
        "other messages list": "post/other messages list",
        "log": "post log",
        "info": "post info",
        "shop messages list": "shop messages list",
        "messages list shop": "shop messages list",
    }.items():
        assert shlex.join(arranged(given.split(), environ)) == expected
    environ |= {"GMP_INSTANCE": "shop"}
    assert current(environ) == ("shop", None, "GMP_INSTANCE", None)
    environ |= {"GMP_TENANT": "beta"}
    assert arranged(["messages", "list"], environ) == ["shop/beta", "messages", "list"]
    assert arranged(["post", "messages", "list"], environ) == ["post/beta", "messages", "list"]
    assert arranged(["post", "tenants", "list"], environ) == ["post", "tenants", "list"]
    del environ["GMP_INSTANCE"]
    forget(environ)
    with pytest.raises(Malformed, match="there are 2"):
        current(environ)


def test_an_instance_of_the_context_that_is_gone_is_named_with_its_origin(tmp_path: Path) -> None:
    environ = {"GMP_HOME": str(tmp_path), "GMP_INSTANCE": "gone"}
    with pytest.raises(NotFound, match=r"no instance 'gone' \(from GMP_INSTANCE\)"):
        current(environ)
