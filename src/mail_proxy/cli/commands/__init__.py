"""The table of all commands. Their modules are loaded when a command is used."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Scope(Enum):
    """Subject of a command, which its word may follow or precede."""

    #: This machine's user.
    NOTHING = "nothing"
    #: An instance, as an argument of the command; it need not exist.
    NAME = "name"
    INSTANCE = "instance"
    #: A tenant of an instance; without one, the only tenant, or all of them in listings.
    TENANT = "tenant"


@dataclass(frozen=True)
class Entry:
    """A command, or a group of commands.

    ``target`` is the module and function in this package, ``help`` the line in the overview,
    ``words`` the arguments in it. Behind a command without arguments, the name of an instance may
    follow. In a group, ``plain`` are the commands without arguments.
    """

    target: str
    help: str
    scope: Scope
    words: str = ""
    plain: tuple[str, ...] | None = None

    @property
    def may_precede_name(self) -> bool:
        """True if the name may follow the command's own word: ``keys shop rotate``."""
        return not self.words or self.plain is not None


COMMANDS = {
    "list": Entry("instances:list_", "List the instances of this machine's user.", Scope.NOTHING),
    "start": Entry(
        "lifecycle:start", "Start an instance; a new name makes a new instance.", Scope.NAME
    ),
    "stop": Entry("lifecycle:stop", "Stop an instance after deliveries in progress.", Scope.NAME),
    "restart": Entry(
        "lifecycle:restart", "Stop an instance and start it in the background.", Scope.NAME
    ),
    "status": Entry(
        "instances:status", "Show if an instance is ready and what needs attention.", Scope.NAME
    ),
    "delete": Entry(
        "instances:delete", "Remove an instance with its settings and database.", Scope.NAME
    ),
    "restore": Entry(
        "backup:restore", "Make an instance from the file of a backup.", Scope.NAME, "NAME FILE"
    ),
    "use": Entry(
        "context:use",
        "Remember an instance and a tenant for later commands.",
        Scope.NOTHING,
        "NAME[/TENANT]",
    ),
    "current": Entry(
        "context:current", "Show the instance and tenant of commands that name none.", Scope.NOTHING
    ),
    "demo": Entry(
        "demo:demo", "Send one mail through everything, on this machine only.", Scope.NOTHING
    ),
    "bounce": Entry(
        "parsers:bounce",
        "Show which recipients a bounce names, and why.",
        Scope.NOTHING,
        "FILE...",
    ),
    "pec": Entry(
        "parsers:pec",
        "Show which event a receipt of certified mail (PEC) is.",
        Scope.NOTHING,
        "FILE...",
    ),
    "info": Entry(
        "info:info", "Show every setting and its origin; of a tenant, its fields.", Scope.INSTANCE
    ),
    "stats": Entry("stats:stats", "Show messages taken in, sent and given up.", Scope.INSTANCE),
    "top": Entry("top:top", "Watch queue, rates and accounts in trouble, live.", Scope.INSTANCE),
    "log": Entry("log:log", "Show the service's own log.", Scope.INSTANCE),
    "audit": Entry("audit:audit", "Show the audit log: changes and refused calls.", Scope.INSTANCE),
    "open": Entry("open:open_", "Print a one-time link to the dashboard.", Scope.INSTANCE),
    "connect": Entry("connect:connect", "Open a Python shell with `proxy`.", Scope.TENANT),
    "token": Entry("token:token", "Show the admin token, or make a new one.", Scope.INSTANCE),
    "doctor": Entry(
        "doctor:doctor", "Look for faults, and say what to do about each.", Scope.INSTANCE
    ),
    "backup": Entry(
        "backup:backup",
        "Write database, settings and files to one file.",
        Scope.INSTANCE,
        "FILE",
    ),
    "tenants": Entry(
        "tenants:commands",
        "Organisations that use the instance, and their keys.",
        Scope.INSTANCE,
        "list | show | add | update | delete | key",
        ("list", "add"),
    ),
    "alerts": Entry(
        "alerts:commands",
        "Alerts to a person about what needs attention.",
        Scope.INSTANCE,
        "test",
        ("test",),
    ),
    "bounces": Entry(
        "bounces:commands",
        "The mailbox that mail comes back to.",
        Scope.INSTANCE,
        "show | set | test | reload",
        ("show", "test", "reload"),
    ),
    "keys": Entry(
        "keys:commands",
        "Change the key that encrypts the stored secrets.",
        Scope.INSTANCE,
        "rotate",
        ("rotate",),
    ),
    "db": Entry(
        "db:commands",
        "The schema of the instance's database.",
        Scope.INSTANCE,
        "upgrade",
        ("upgrade",),
    ),
    "accounts": Entry(
        "accounts:commands",
        "SMTP accounts that messages are sent through.",
        Scope.TENANT,
        "list | show | add | delete | test | auth | authorize",
        ("list", "add"),
    ),
    "messages": Entry(
        "messages:commands",
        "Messages: waiting, sent, and given up.",
        Scope.TENANT,
        "list | show | receipts | replies | delete | retry | cleanup",
        ("list", "cleanup"),
    ),
    "dkim": Entry(
        "dkim:commands",
        "DKIM keys that mails are signed with.",
        Scope.TENANT,
        "list | add | delete | check",
        ("list",),
    ),
    "suppressions": Entry(
        "suppressions:commands",
        "Addresses that a tenant does not send to any more.",
        Scope.TENANT,
        "list | add | delete | import | export",
        ("list", "export"),
    ),
    "send": Entry(
        "send:send",
        "Queue a message from a file or prompts, and follow it.",
        Scope.TENANT,
        "[FILE.eml]",
    ),
    "storages": Entry(
        "storages:commands",
        "Named places of attachments, such as buckets.",
        Scope.TENANT,
        "list | show | add | delete",
        ("list",),
    ),
    "run-now": Entry("sending:run_now", "Deliver and report what is due now.", Scope.TENANT),
    "suspend": Entry(
        "sending:suspend", "Stop sending for a tenant, or for one batch.", Scope.TENANT, "[BATCH]"
    ),
    "activate": Entry(
        "sending:activate", "Resume sending for a tenant, or one batch.", Scope.TENANT, "[BATCH]"
    ),
}
#: Words that cannot name an instance, so that ``mail-proxy NAME ...`` never means two things.
RESERVED_NAMES = frozenset(COMMANDS)
