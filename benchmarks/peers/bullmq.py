"""BullMQ with Redis and nodemailer: how Node applications usually send mail."""

import shutil
from pathlib import Path

from benchmarks.peers.peer import node_modules, program
from benchmarks.peers.redis import RedisPeer

_PACKAGES = ("bullmq@5.63.0", "nodemailer@7.0.10")
_SCRIPT = Path(__file__).with_name("bullmq.cjs")
_WORKERS = 2


class BullMq(RedisPeer):
    name = "bullmq"
    about = "BullMQ with Redis (appendfsync always), nodemailer's pool, 2 workers of 20 jobs"
    share = 0.5

    def provide(self, *, install: bool) -> None:
        super().provide(install=install)
        self._node = program("node", "nodejs", install=install)
        self._place = node_modules("bullmq", *_PACKAGES, install=install)

    def versions(self) -> str:
        return f"{super().versions()}, {', '.join(_PACKAGES)}"

    def start(self) -> None:
        self._script = shutil.copy(_SCRIPT, self.directory)
        self._environment = {
            "NODE_PATH": str(self._place / "node_modules"),
            "PEER_REDIS": str(self.start_redis()),
            "PEER_SINK": str(self.sink.port),
        }
        for number in range(_WORKERS):
            command = [self._node, self._script, "work"]
            self.start_process(f"worker {number + 1}", command, self._environment)

    def submit(self, total: int) -> None:
        size = str(self.bench.options.size_bytes)
        self.run_client([self._node, self._script, "add", str(total), size], self._environment)
