"""The wrapper of the shell reaches open members, and no others."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from mail_proxy.cli.repl import REPLWrapper, is_reserved, repl_wrap, reserved
from mail_proxy.cli.repl.console import display


class _Account(BaseModel):
    id: str
    active: bool = True
    limits: list[int] = []
    error: str | None = None


class _Box:
    def __init__(self) -> None:
        self.connection = "secret"
        self.inner = repl_wrap([1, 2])

    def look(self, times: int = 1) -> str:
        """Look inside."""
        return "seen" * times

    @reserved
    def close(self) -> None:
        """Close the box."""

    def _hidden(self) -> None: ...


def test_open_members_work_and_have_their_docs() -> None:
    box = repl_wrap(_Box())
    assert box.look(2) == "seenseen"
    assert box.look.__doc__ == "Look inside."
    assert box.inner.index(2) == 1
    assert dir(box) == ["inner", "look"]
    assert repr(box) == ".inner\n.look"


@pytest.mark.parametrize("name", ["close", "connection", "_hidden", "_target", "missing"])
def test_other_members_cannot_be_reached(name: str) -> None:
    box = repl_wrap(_Box())
    with pytest.raises(AttributeError, match=rf"no '{name}' here; there is: inner, look"):
        getattr(box, name)


def test_members_cannot_be_replaced_or_removed() -> None:
    box = repl_wrap(_Box())
    with pytest.raises(AttributeError):
        box.look = None
    with pytest.raises(AttributeError):
        del box.look
    assert box.look() == "seen"


def test_reserved_is_a_mark() -> None:
    assert is_reserved(_Box.close)
    assert is_reserved(_Box().close)
    assert not is_reserved(_Box().look)
    assert isinstance(repl_wrap(repl_wrap(_Box())), REPLWrapper)


def test_models_are_shown_as_tables(capsys: pytest.CaptureFixture[str]) -> None:
    display([_Account(id="[red]a", limits=[1, 2]), _Account(id="b", active=False)])
    display(_Account(id="c"))
    display(None)
    display([])
    display(3)
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines() if line.strip()]
    assert lines[0] == ["Id", "Active", "Limits", "Error"]
    assert ["[red]a", "yes", "1,", "2"] in lines
    assert ["b", "no"] in lines
    assert ["id", "c"] in lines
    assert shown.endswith("[]\n3\n")
