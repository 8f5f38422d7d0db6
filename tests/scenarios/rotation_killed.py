"""Rotates the key of an instance and kills its own process at one of the steps."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import mail_proxy.features.registry  # noqa: F401  # declares the tables of features
from mail_proxy.cli.instance import Instance
from mail_proxy.operations.keys import Rotation
from mail_proxy.sql import SqlDb


def main(name: str, step: str) -> None:
    instance = Instance(name, Path(os.environ["GMP_HOME"]))
    config = instance.load_config(None, os.environ).config

    def reach(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    rotation = Rotation(config, SqlDb(config.database_url))
    reach("begun")
    rotation.prepare()
    reach("prepared")
    rotation.commit(time.time(), lambda done, total: reach("in the transaction"))
    reach("committed")
    rotation.finish()
    reach("finished")


if __name__ == "__main__":
    main(*sys.argv[1:])
