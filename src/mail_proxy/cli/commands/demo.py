"""Command ``demo``: sends one mail through everything, on this machine only."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from email import message_from_bytes, policy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import typer

from mail_proxy.cli import control
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.output import print_json, print_line, talk
from mail_proxy.encryption import KEY_VARIABLE
from mail_proxy.errors import MailProxyError

if TYPE_CHECKING:
    from mail_proxy.testing.smtp_server import ScriptedSmtpServer

_LIMIT_SECONDS = 30.0
_POLL_SECONDS = 0.05
_LOG_LINES_SHOWN = 20
_NAME = "trial"
_MESSAGE = {
    "id": "welcome-1",
    "account_id": "provider",
    "from": "The Shop <shop@example.com>",
    "to": ["Ann Example <ann@example.org>"],
    "subject": "Your order is on its way",
    "body": "Hello Ann,\n\nit left our house this morning.\n",
}
#: Recipients of the provider that do not just take their mail.
_RETURNED = {
    "no-such-user": "unknown@example.net",
    "spam-button": "complaint@example.net",
    "question": "answer@example.net",
}


#: Certified mail to two recipients, of whom the provider does not know the second.
_CERTIFIED: dict[str, Any] = {
    "id": "registered-1",
    "to": ["mario@pec.example.org", "unknown@pec.example.net"],
    "subject": "Fattura n. 17",
    "body": "In allegato la fattura n. 17.\n",
}


class DemoFailed(MailProxyError):
    """A step of the demo failed or took too long."""

    code = "demo_failed"


def demo(
    bounce: Annotated[
        bool, typer.Option("--bounce", help="Also send mails that come back.")
    ] = False,
    pec: Annotated[
        bool, typer.Option("--pec", help="Also send certified mail (PEC), and show its receipts.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Go on until Ctrl-C, for calls of your own.")
    ] = False,
) -> None:
    """Send one mail through a temporary proxy, SMTP server and application.

    All three run on this machine in a temporary folder, which is removed at the end.
    """
    try:
        asyncio.run(_demo(bounce=bounce, pec=pec, keep=keep))
    except KeyboardInterrupt:
        raise DemoFailed("interrupted") from None


async def _demo(*, bounce: bool, pec: bool, keep: bool) -> None:
    # The one place outside the tests that imports mail_proxy.testing: its servers are the provider.
    from mail_proxy.testing.bouncing_provider import BouncingProvider
    from mail_proxy.testing.pec_provider import PecProvider

    reports: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    with TemporaryDirectory(prefix="mail-proxy-demo-") as folder:
        home = Path(folder)
        async with (
            BouncingProvider() as provider,
            PecProvider() as certified,
            _application(reports) as application_url,
            _proxy(home) as proxy,
        ):
            smtp = provider.smtp
            talk(f"Proxy        {proxy.base_url}")
            talk(f"SMTP server  {smtp.host}:{smtp.port}")
            talk(f"Application  {application_url}")
            await _set_up(proxy, smtp.host, smtp.port, application_url)
            await _show_one(proxy, smtp, reports)
            if bounce:
                await _show_returned(proxy, provider.bounce_mailbox(), reports)
            if pec:
                await _show_certified(proxy, certified.account(), reports)
            if keep:
                await _keep(proxy)
    talk("Everything is stopped and removed. `mail-proxy start NAME` makes a permanent instance.")


async def _show_one(
    proxy: httpx.AsyncClient, smtp: ScriptedSmtpServer, reports: asyncio.Queue[dict[str, Any]]
) -> None:
    """Send a mail; print it as the SMTP server has it, and the report about it."""
    begin = time.perf_counter()
    await _post(proxy, "/commands/add-messages", {"messages": [_MESSAGE]})
    queued = time.perf_counter()
    async with _in_time("the mail did not reach the SMTP server"):
        [mail] = await smtp.received(1)
    delivered = time.perf_counter()
    talk(f"\n[bold green]The SMTP server has the mail[/] for {mail.recipients[0]}:\n")
    _print_headers(mail.data)
    async with _in_time("no delivery report reached the application"):
        report = await _report(reports)
    reported = time.perf_counter()
    talk("\n[bold green]The application has the report[/]:\n")
    print_json(report)
    talk(
        f"\nQueued on disk in {_ms(queued - begin)}, delivered after "
        f"{_ms(delivered - begin)}, reported after {_ms(reported - begin)}"
    )


async def _show_returned(
    proxy: httpx.AsyncClient, mailbox: dict[str, Any], reports: asyncio.Queue[dict[str, Any]]
) -> None:
    """Send mails that come back; print reports and suppressed addresses."""
    _refuse_errors(await proxy.put("/instance/bounce", json=mailbox))
    messages = [{**_MESSAGE, "id": id_, "to": [to]} for id_, to in _RETURNED.items()]
    await _post(proxy, "/commands/add-messages", {"messages": messages})
    found: list[dict[str, Any]] = []
    async with _in_time("the mails did not come back"):
        while len(found) < len(messages):
            entries = (await _report(reports))["delivery_report"]
            found += [entry for entry in entries if "sent_ts" not in entry]
    talk("\n[bold green]Mails came back, and the application has the reports[/]:\n")
    print_json(found)
    answer = await proxy.get("/suppressions")
    _refuse_errors(answer)
    talk("\n[bold green]These addresses get no mail any more[/]:\n")
    print_json(answer.json()["suppressions"])


async def _show_certified(
    proxy: httpx.AsyncClient, account: dict[str, Any], reports: asyncio.Queue[dict[str, Any]]
) -> None:
    """Send a certified mail to two; print the reports of its receipts, and its state."""
    await _post(proxy, "/account", account)
    message = {**_CERTIFIED, "account_id": account["id"], "from": account["user"]}
    await _post(proxy, "/commands/add-messages", {"messages": [message]})
    found: list[dict[str, Any]] = []
    async with _in_time("the receipts did not come"):
        while len(found) < 1 + len(message["to"]):
            entries = (await _report(reports))["delivery_report"]
            found += [entry for entry in entries if "pec_event" in entry]
    talk("\n[bold green]Receipts came, and the application has the reports[/]:\n")
    print_json(found)
    answer = await proxy.get(f"/messages/{message['id']}")
    _refuse_errors(answer)
    talk("\n[bold green]So the certified mail stands[/]:\n")
    print_json(answer.json()["message"]["pec"])


async def _keep(proxy: httpx.AsyncClient) -> None:
    """Wait for Ctrl-C."""
    token = proxy.headers["X-API-Token"]
    talk("\n[bold green]All goes on until Ctrl-C.[/] To send another message:\n")
    talk(
        f"curl -H 'X-API-Token: {token}' -H 'Content-Type: application/json' \\\n"
        f"     {proxy.base_url}/commands/add-messages \\\n"
        """     -d '{"messages": [{"id": "2", "from": "a@example.com", "to": """
        """"unknown@example.net", "subject": "Hello", "body": "Hello"}]}'"""
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()


@asynccontextmanager
async def _application(reports: asyncio.Queue[dict[str, Any]]) -> AsyncIterator[str]:
    """Run an application that takes delivery reports; yield its base URL."""
    import uvicorn
    from fastapi import FastAPI

    class Server(uvicorn.Server):
        def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
            # Ctrl-C is for the whole demo.
            return nullcontext()

    app = FastAPI()

    @app.post("/mail-proxy/sync")
    async def sync(body: dict[str, Any]) -> dict[str, Any]:
        await reports.put(body)
        return {"ok": True}

    server = Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@asynccontextmanager
async def _proxy(home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Run the proxy in a process of its own; yield a client with the admin token."""
    own = {k: v for k, v in os.environ.items() if not k.startswith("GMP_") and k != KEY_VARIABLE}
    environ = {**own, "GMP_HOME": str(home)}
    instance = Instance(_NAME, home)
    log_file = home / "log"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mail_proxy", "start", _NAME, "--port", "0"),
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with _in_time("the proxy did not become ready"):
            url = await _ready_url(instance, process)
        token = instance.token() or ""
        headers = {"X-API-Token": token}
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
            yield client
    except DemoFailed as error:
        lines = log_file.read_text(errors="replace").splitlines()[-_LOG_LINES_SHOWN:]
        raise DemoFailed("\n".join([error.message, "End of the proxy's log:", *lines])) from None
    finally:
        await _end(process)


async def _ready_url(instance: Instance, process: asyncio.subprocess.Process) -> str:
    while process.returncode is None:
        running = instance.find_running() if instance.exists() else None
        if running is not None and not await asyncio.to_thread(control.why_not_ready, running):
            return running.url
        await asyncio.sleep(_POLL_SECONDS)
    raise DemoFailed(f"the proxy ended with exit code {process.returncode}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise DemoFailed("the proxy did not stop after SIGTERM and was killed") from None
    if process.returncode:
        raise DemoFailed(f"the proxy ended with exit code {process.returncode}")


async def _set_up(proxy: httpx.AsyncClient, host: str, port: int, application_url: str) -> None:
    account = {"id": _MESSAGE["account_id"], "host": host, "port": port, "tls": "none"}
    await _post(proxy, "/account", account)
    answer = await proxy.put("/tenant/default", json={"client_base_url": application_url})
    _refuse_errors(answer)


async def _post(proxy: httpx.AsyncClient, path: str, body: dict[str, Any]) -> None:
    _refuse_errors(await proxy.post(path, json=body))


def _refuse_errors(answer: httpx.Response) -> None:
    if answer.is_error or answer.json().get("rejected"):
        request = answer.request
        raise DemoFailed(f"{request.method} {request.url.path}: {answer.text}")


async def _report(reports: asyncio.Queue[dict[str, Any]]) -> dict[str, Any]:
    """Wait for the first call with a report; earlier calls may have an empty list."""
    while True:
        body = await reports.get()
        if body["delivery_report"]:
            return body


@asynccontextmanager
async def _in_time(complaint: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(_LIMIT_SECONDS):
            yield
    except TimeoutError:
        raise DemoFailed(f"{complaint} within {_LIMIT_SECONDS:.0f} s") from None


def _print_headers(data: bytes) -> None:
    for name, value in message_from_bytes(data, policy=policy.default).items():
        print_line(f"{name}: {value}")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
