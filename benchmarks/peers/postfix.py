"""Postfix as a durable relay: its queue file is synced before the client gets its 250."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.harness.errors import HarnessError, NotAvailable
from tests.harness.processes import free_port
from tests.harness.sinks import wait_for_port

from benchmarks.peers.peer import Peer, program
from benchmarks.smtp_sink import postfix_tool

_SESSIONS = 20
_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix n - n 60    1 pickup
cleanup   unix n - n -     0 cleanup
qmgr      unix n - n 300   1 qmgr
rewrite   unix - - n -     - trivial-rewrite
bounce    unix - - n -     0 bounce
defer     unix - - n -     0 bounce
trace     unix - - n -     0 bounce
verify    unix - - n -     1 verify
flush     unix n - n 1000? 0 flush
proxymap  unix - - n -     - proxymap
smtp      unix - - n -     - smtp
relay     unix - - n -     - smtp
error     unix - - n -     - error
retry     unix - - n -     - error
anvil     unix - - n -     1 anvil
scache    unix - - n -     1 scache
tlsmgr    unix - - n 1000? 1 tlsmgr
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Peer):
    name = "postfix"
    about = "Postfix, defaults; smtp-source hands over in 20 sessions"
    settings: ClassVar[dict[str, str]] = {}

    def provide(self, *, install: bool) -> None:
        program("postfix", "postfix", install=install)
        if os.geteuid() != 0:
            raise NotAvailable("Postfix starts as root only")

    def versions(self) -> str:
        return f"Postfix {_default('mail_version')}"

    def start(self) -> None:
        self._port = free_port()
        configuration = self.directory / "conf"
        for name in ("conf", "queue", "data"):
            (self.directory / name).mkdir()
        shutil.chown(self.directory / "data", "postfix")
        self._write(configuration)
        check = subprocess.run(
            [program("postfix", "postfix", install=False), "-c", configuration, "check"],
            capture_output=True,
            text=True,
        )
        if check.returncode:
            raise HarnessError(f"postfix check: {check.stderr.strip()}")
        # In the foreground, so that it ends with the benchmark.
        self.start_process("master", [self._daemons() / "master", "-c", configuration, "-d"])
        wait_for_port(self._port, self.processes[0])

    def submit(self, total: int) -> None:
        size = ["-m", str(total), "-l", str(self.bench.options.size_bytes)]
        sessions = ["-s", str(min(_SESSIONS, total))]
        address = f"127.0.0.1:{self._port}"
        self.run_client([postfix_tool("smtp-source"), "-d", *sessions, *size, address])

    def _daemons(self) -> Path:
        return Path(_default("daemon_directory"))

    def _write(self, configuration: Path) -> None:
        settings = {
            "compatibility_level": "3.6",
            "queue_directory": str(self.directory / "queue"),
            "data_directory": str(self.directory / "data"),
            "daemon_directory": str(self._daemons()),
            "command_directory": _default("command_directory"),
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "maillog_file": str(self.directory / "data" / "log"),
            "maillog_file_prefixes": str(self.directory),
            "inet_interfaces": "loopback-only",
            "inet_protocols": "ipv4",
            "myhostname": "relay.bench.invalid",
            "mydestination": "",
            "local_recipient_maps": "",
            "alias_maps": "",
            "mynetworks": "127.0.0.0/8",
            "smtpd_relay_restrictions": "permit_mynetworks, reject",
            "disable_dns_lookups": "yes",
            "relayhost": f"[127.0.0.1]:{self.sink.port}",
            **self.settings,
        }
        lines = [f"{name} = {value}\n" for name, value in settings.items()]
        (configuration / "main.cf").write_text("".join(lines))
        (configuration / "master.cf").write_text(_SERVICES.format(port=self._port))


class PostfixTuned(Postfix):
    name = "postfix-tuned"
    about = "Postfix, tuned: no inflow delay, high concurrency, long-lived processes"
    settings: ClassVar[dict[str, str]] = {
        "in_flow_delay": "0",
        "initial_destination_concurrency": "20",
        "default_destination_concurrency_limit": "50",
        "default_process_limit": "200",
        "qmgr_message_active_limit": "100000",
        "max_use": "10000",
        "smtpd_client_connection_count_limit": "0",
        "smtpd_delay_reject": "no",
        "receive_override_options": "no_address_mappings, no_header_body_checks",
    }


def _default(name: str) -> str:
    command = [program("postconf", "postfix", install=False), "-d", "-h", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
