"""Wrapper of an object that a user of a Python shell can reach.

It protects from mistakes, such as closing the connection, and keeps completion short. It does not
protect from a user who wants to get around it, who can read the instance's files anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mail_proxy.errors import MailProxyError

Member = TypeVar("Member", bound=Callable[..., Any])
_MARK = "_is_reserved_in_repl"


def reserved(member: Member) -> Member:
    """Mark a method or class that a shell must not reach."""
    setattr(member, _MARK, True)
    return member


def is_reserved(member: object) -> bool:
    """Return whether ``reserved`` marks a member."""
    return bool(getattr(member, _MARK, False))


class NotReachable(MailProxyError, AttributeError):
    """The shell has no such member, or does not let it be replaced."""

    code = "not_reachable"


class REPLWrapper:
    """The methods and wrapped members of an object that have a public name.

    Members that are reserved, or that are data such as a connection, cannot be reached, replaced
    or completed.
    """

    __slots__ = ("_target",)

    def __init__(self, target: object) -> None:
        object.__setattr__(self, "_target", target)

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        found = _open_members(object.__getattribute__(self, "_target"))
        if name not in found:
            raise NotReachable(f"no {name!r} here; there is: {', '.join(found)}")
        return found[name]

    def __setattr__(self, name: str, value: object) -> None:
        raise NotReachable(f"{name!r} cannot be replaced")

    def __delattr__(self, name: str) -> None:
        raise NotReachable(f"{name!r} cannot be removed")

    def __dir__(self) -> list[str]:
        return list(_open_members(object.__getattribute__(self, "_target")))

    def __repr__(self) -> str:
        return "\n".join(f".{name}" for name in dir(self))


def repl_wrap(target: object) -> REPLWrapper:
    """Wrap an object for a shell; one that is wrapped already stays as it is."""
    return target if isinstance(target, REPLWrapper) else REPLWrapper(target)


def _open_members(target: object) -> dict[str, Any]:
    named = {name: getattr(target, name) for name in dir(target) if not name.startswith("_")}
    return {
        name: member
        for name, member in named.items()
        if not is_reserved(member) and (callable(member) or isinstance(member, REPLWrapper))
    }
