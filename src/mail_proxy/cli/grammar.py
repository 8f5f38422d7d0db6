"""Order of the words on a command line: instance, tenant, command.

    mail-proxy NAME TENANT messages list
    mail-proxy NAME/TENANT messages list
    mail-proxy messages list NAME TENANT

The name may be left out: then it is that of ``current``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mail_proxy.cli.commands import COMMANDS, Scope
from mail_proxy.cli.current import current
from mail_proxy.cli.names import exists, is_name
from mail_proxy.errors import Malformed, NotFound

_HELP = {"-h", "--help"}
_ANY = (Scope.INSTANCE, Scope.TENANT)


def arranged(words: Sequence[str], environ: Mapping[str, str]) -> list[str]:
    """Return the words in one order: ``NAME[/TENANT] COMMAND``, or ``COMMAND``.

    Raises NotFound if the words need an instance that does not exist, and Malformed if they name
    none and there is not one.
    """
    first, second, third = [*words, "", "", ""][:3]
    if not words or first.startswith("-"):
        return list(words)
    if first in COMMANDS and _HELP.intersection(words):
        return list(words)
    if first in COMMANDS:
        return _command_first(list(words), environ)
    if _scope(second) is Scope.NAME and is_name(first):
        return [second, first, *words[2:]]
    name, slash, _ = first.partition("/")
    is_known = exists(name, environ)
    if slash or is_known:
        if not is_known:
            raise _no_instance(name)
        if slash or second in COMMANDS or not _leads_to_tenant(third):
            return [_with_tenant(first, words[1:], environ), *words[1:]]
        return [f"{first}/{second}", *words[2:]]
    if _scope(second) is Scope.TENANT:
        return _of_current(first, list(words[1:]), environ)
    if _scope(second) is Scope.INSTANCE or _leads_to_tenant(third):
        raise _no_instance(first)
    return list(words)


def _command_first(words: list[str], environ: Mapping[str, str]) -> list[str]:
    """Move the names of instance and tenant in front of the command."""
    entry = COMMANDS[words[0]]
    if entry.scope not in _ANY:
        return words
    places = [1] if entry.may_precede_name else []
    if entry.plain is not None and len(words) > 2 and words[1] in entry.plain:
        places.append(2)
    for place in places:
        name, slash, tenant = [*words, ""][place].partition("/")
        if not exists(name, environ):
            continue
        rest = words[place + 1 :]
        is_last = place == (1 if entry.plain is None else 2)
        takes_tenant = entry.scope is Scope.TENANT and is_last and not slash
        if takes_tenant and rest and not rest[0].startswith("-"):
            slash, tenant, rest = "/", rest[0], rest[1:]
        moved = [*words[:place], *rest]
        return [_with_tenant(f"{name}{slash}{tenant}", moved, environ), *moved]
    found = current(environ)
    has_tenant = entry.scope is Scope.TENANT and found.tenant
    return [f"{found.name}/{found.tenant}" if has_tenant else found.name, *words]


def _of_current(tenant: str, words: list[str], environ: Mapping[str, str]) -> list[str]:
    """Return the words for a tenant of the current instance."""
    try:
        return [f"{current(environ).name}/{tenant}", *words]
    except Malformed:
        raise _no_instance(tenant) from None


def _with_tenant(first: str, words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Add the tenant of the environment to a name, if the command is about a tenant."""
    tenant = environ.get("GMP_TENANT")
    is_wanted = tenant and "/" not in first and words and _scope(words[0]) is Scope.TENANT
    return f"{first}/{tenant}" if is_wanted else first


def _leads_to_tenant(word: str) -> bool:
    return _scope(word) is Scope.TENANT or word == "info"


def _scope(word: str) -> Scope | None:
    entry = COMMANDS.get(word)
    return entry.scope if entry else None


def _no_instance(name: str) -> NotFound:
    return NotFound(f"no instance {name!r}; `mail-proxy list` shows all instances")
