"""Haraka, the SMTP server in Node, as a durable relay: it syncs its queue file before the 250."""

import json
import shutil
from pathlib import Path

from benchmarks.peers.peer import Peer, node_modules, program
from benchmarks.processes import free_port
from benchmarks.sinks import postfix_tool, wait_for_port

_PACKAGE = "Haraka@3.3.4"
_SESSIONS = 20
_PLUGIN = """\
exports.hook_connect = (next, connection) => {{ connection.relaying = true; next(); }};
exports.hook_rcpt = (next) => next(OK);
exports.hook_get_mx = (next) => next(OK, {{ exchange: "127.0.0.1", port: {sink}, priority: 0 }});
"""


class Haraka(Peer):
    name = "haraka"
    about = "Haraka, a process a core; smtp-source hands over in 20 sessions"
    share = 0.5

    def provide(self, *, install: bool) -> None:
        self._node = program("node", "nodejs", install=install)
        postfix_tool("smtp-source")
        self._place = node_modules("haraka", _PACKAGE, install=install)

    def versions(self) -> str:
        package = self._place / "node_modules" / "Haraka" / "package.json"
        return f"Haraka {json.loads(package.read_text())['version']}"

    def start(self) -> None:
        self._port = free_port()
        files = {
            "config/smtp.ini": f"listen=127.0.0.1:{self._port}\nnodes=2\n",
            "config/outbound.ini": "enable_tls=false\nconcurrency_max=100\n",
            "config/log.ini": "[main]\nlevel=warn\n",
            "config/me": "relay.bench.invalid\n",
            "config/plugins": "to_sink\n",
            "plugins/to_sink.js": _PLUGIN.format(sink=self.sink.port),
        }
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        (self.directory / "queue").mkdir()
        package = self._place / "node_modules" / "Haraka"
        # It takes no defaults for this file from the package.
        shutil.copy(package / "config" / "connection.ini", self.directory / "config")
        command: list[str | Path] = [self._node, package / "bin" / "haraka", "-c", self.directory]
        self.start_process("server", command)
        wait_for_port(self._port, self.processes[0])

    def submit(self, total: int) -> None:
        size = ["-m", str(total), "-l", str(self.bench.options.size_bytes)]
        sessions = ["-s", str(min(_SESSIONS, total))]
        address = f"127.0.0.1:{self._port}"
        self.run_client([postfix_tool("smtp-source"), "-d", *sessions, *size, address])
