"""Celery with Redis, one Django e-mail a task: how Django applications usually send mail."""

from pathlib import Path

from benchmarks.peers.peer import python_environment
from benchmarks.peers.redis import RedisPeer
from benchmarks.sinks import REPOSITORY

_REQUIREMENTS = ("celery[redis]==5.5.3", "django==5.2.8")
_TASKS = "benchmarks.peers.celery_tasks"


class Celery(RedisPeer):
    name = "celery"
    about = "Celery with Redis (appendfsync always), Django's SMTP backend, 2 prefork workers"
    share = 0.1

    def provide(self, *, install: bool) -> None:
        super().provide(install=install)
        self._python = python_environment("celery", *_REQUIREMENTS, install=install)

    def versions(self) -> str:
        return f"{super().versions()}, {', '.join(_REQUIREMENTS)}"

    def start(self) -> None:
        self._environment = {
            "PYTHONPATH": str(REPOSITORY),
            "PEER_BROKER": f"redis://127.0.0.1:{self.start_redis()}/0",
            "PEER_SINK": str(self.sink.port),
        }
        options = ["--pool", "prefork", "--concurrency", "2", "--loglevel", "WARNING"]
        command: list[str | Path] = [self._python, "-m", "celery", "-A", _TASKS, "worker", *options]
        self.start_process("worker", command, self._environment)

    def submit(self, total: int) -> None:
        size = str(self.bench.options.size_bytes)
        self.run_client([self._python, "-m", _TASKS, str(total), size], self._environment)
