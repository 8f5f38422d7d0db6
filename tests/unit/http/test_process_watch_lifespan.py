"""Watch of the process in the lifespan of the application"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

from fastapi import FastAPI
from starlette.types import Message

from mail_proxy.config import ProxyConfig
from mail_proxy.http.uvicorn_server import Application


async def test_the_watch_of_the_process_ends_before_the_proxy() -> None:
    seen = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.proxy = SimpleNamespace(config=ProxyConfig(), release_memory=lambda: None)
        yield
        seen.append(_is_watching())

    app = Application(lifespan=lifespan)
    asked = asyncio.Queue[Message]()
    answers = asyncio.Queue[Message]()
    asked.put_nowait({"type": "lifespan.startup"})
    running = asyncio.create_task(app({"type": "lifespan"}, asked.get, answers.put))
    assert (await answers.get())["type"] == "lifespan.startup.complete"
    seen.append(_is_watching())
    asked.put_nowait({"type": "lifespan.shutdown"})
    await running
    assert seen == [True, False]


def _is_watching() -> bool:
    return any(task.get_name() == "process watch" for task in asyncio.all_tasks())
