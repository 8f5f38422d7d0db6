"""Commands ``start``, ``stop`` and ``restart``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from mail_proxy.cli import control
from mail_proxy.cli.background import holds_secret, replace_process
from mail_proxy.cli.current import current
from mail_proxy.cli.instance import Instance
from mail_proxy.cli.names import existing_names, home_folder
from mail_proxy.cli.output import talk, waiting
from mail_proxy.cli.process import Running
from mail_proxy.config import ConcurrencyConfig


def _names() -> list[str]:
    return existing_names(os.environ)


Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="Name of the instance.",
        default_factory=lambda: current(os.environ).name,
        show_default="that of `mail-proxy current`",
        autocompletion=_names,
    ),
]


def start(
    name: Name,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Port to listen on; 0: any free port.",
            show_default="8000, or the next free one",
        ),
    ] = None,
    background: Annotated[
        bool,
        typer.Option(
            "--background", help="Run in the background; return once the service is ready."
        ),
    ] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Restart when the source code changes.")
    ] = False,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="postgresql:// URL, or path of a SQLite file. Other users of this machine can see "
            "it in the list of processes; put a URL with a password into GMP_DATABASE_URL.",
            show_default="a SQLite file in the instance's folder",
        ),
    ] = None,
    api_token: Annotated[
        str | None,
        typer.Option(
            help="Admin token. Other users of this machine can see it in the list of processes; "
            "GMP_API_TOKEN in the environment is safer.",
            show_default="the instance's own",
        ),
    ] = None,
    new_database: Annotated[
        bool,
        typer.Option(
            "--new-database",
            help="Change to another database for good. Messages in the one before stay there.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=64,
            help="Number of delivery processes; 0: the API process delivers too.",
            show_default=str(ConcurrencyConfig().workers),
        ),
    ] = None,
) -> None:
    """Start an instance; a new name makes a new instance."""
    command_line = {
        "host": host,
        "port": port,
        "db_path": database_url,
        "api_token": api_token,
        "concurrency.workers": workers,
    }
    instance = Instance(name, home_folder(os.environ))
    instance.refuse_while_running(f"use `mail-proxy restart {name}` to restart it")
    # Before anything is written, so that a wrong setting leaves no half-made instance behind.
    instance.load_own_config(command_line, os.environ, new_database=new_database)
    if not instance.exists():
        instance.create(os.environ)
        talk(f"Made the instance [bold]{name}[/] in {escape(str(instance.folder))}")
    if background:
        _start_in_background(instance, command_line, reload)
    else:
        _serve_here(instance, command_line, reload)


def stop(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Kill the process at once, also during deliveries.")
    ] = False,
) -> None:
    """Stop an instance after it has finished deliveries in progress."""
    instance = Instance.existing(name, os.environ)
    running = instance.find_running()
    if running is None:
        with instance.pid_file.hold():
            pass  # removes the file of a process that died
        talk(f"{name} is not running")
        return
    _end(instance, running, force)
    talk(f"{name} has stopped")


def restart(
    name: Name,
    force: Annotated[
        bool, typer.Option("--force", help="Kill the process at once, also during deliveries.")
    ] = False,
) -> None:
    """Stop an instance and start it in the background with the same options."""
    instance = Instance.existing(name, os.environ)
    running = instance.find_running()
    command_line: Mapping[str, Any] = {}
    if running is not None:
        # Also a port that was chosen automatically: clients use it by now.
        command_line = {**running.options, "port": running.port}
    instance.load_own_config(command_line, os.environ)
    if running is not None:
        _end(instance, running, force)
    _start_in_background(instance, command_line, reload=False)


def _start_in_background(instance: Instance, command_line: Mapping[str, Any], reload: bool) -> None:
    config = instance.load_config(command_line, os.environ).config
    instance.create(os.environ)  # also checks the files before the log is written

    def serve_here() -> None:
        if holds_secret(command_line):
            replace_process(instance, command_line, reload)
        serve(instance, command_line, reload, lambda _: None)

    running = control.launch(instance, serve_here, config.scheduler_active)
    instance.remembered_database.remember(config.db_path)
    _announce(instance, running)
    if not config.scheduler_active:
        talk("[yellow]the dispatcher is switched off (scheduler_active): nothing is sent[/]")
    talk(f"  stop    mail-proxy stop {instance.name}")


def _serve_here(instance: Instance, command_line: Mapping[str, Any], reload: bool) -> None:
    db_path = instance.load_config(command_line, os.environ).config.db_path

    def on_started(running: Running) -> None:
        instance.remembered_database.remember(db_path)
        _announce(instance, running)
        talk("  stop    Ctrl-C")

    serve(instance, command_line, reload, on_started)
    talk(f"{instance.name} has stopped")


def serve(
    instance: Instance,
    command_line: Mapping[str, Any],
    reload: bool,
    on_started: Callable[[Running], None],
) -> None:
    """Serve the instance in this process until a signal ends it."""
    # Imported only when the server runs, so that the other commands start fast.
    from mail_proxy.cli.serving import Serving

    instance.create(os.environ)
    loaded = instance.load_config(command_line, os.environ)
    Serving(instance, loaded, command_line, reload).run(on_started)


def _announce(instance: Instance, running: Running) -> None:
    """Print the URL, the token file, and a call that can be copied."""
    token_file = shlex.quote(str(instance.token_file))
    talk(f"[bold green]{instance.name} is running[/] at [bold]{running.url}[/]")
    talk(f"  token   {escape(str(instance.token_file))}")
    talk(f"  docs    {running.url}/docs")
    talk(f'  try     curl -H "X-API-Token: $(cat {escape(token_file)})" {running.url}/status')


def _end(instance: Instance, running: Running, force: bool) -> None:
    if force:
        control.kill(instance, running)
        return
    with waiting(f"{instance.name} (pid {running.pid}) finishes deliveries in progress"):
        control.end_politely(instance, running)
