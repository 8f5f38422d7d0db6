"""A Redis that has everything on disk before it answers."""

import subprocess

from benchmarks.peers.peer import Peer, program
from benchmarks.processes import free_port
from benchmarks.sinks import wait_for_port


class RedisPeer(Peer):
    """A peer whose queue is a Redis of its own."""

    def provide(self, *, install: bool) -> None:
        program("redis-server", "redis-server", install=install)

    def versions(self) -> str:
        server = program("redis-server", "redis-server", install=False)
        run = subprocess.run([server, "--version"], capture_output=True, text=True, check=True)
        return "Redis " + run.stdout.split("v=")[1].split()[0]

    def start_redis(self) -> int:
        """Start it; its port."""
        port = free_port()
        server = program("redis-server", "redis-server", install=False)
        address = ["--bind", "127.0.0.1", "--port", str(port)]
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self.start_process("redis", [server, *address, *durable, "--dir", self.directory])
        wait_for_port(port, self.processes[-1])
        return port
