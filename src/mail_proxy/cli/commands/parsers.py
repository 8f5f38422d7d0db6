"""Commands ``bounce`` and ``pec``: show what the parsers find in mails."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from mail_proxy.cli.output import complain, print_facts, print_line

#: The parsers read no more of a mail.
_MOST_BYTES = 64_000_000
_STANDARD_INPUT = "-"

_Files = Annotated[
    list[str], typer.Argument(metavar="FILE", help="Mails as files; `-` is standard input.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print a JSON object per file and line.")]


def bounce(files: _Files, json: _Json = False) -> None:
    """Show which recipients a bounce, complaint or automatic answer names, and why."""
    from mail_proxy.inbound.bounces.parser import BounceParser

    parser = BounceParser()

    def found(octets: bytes) -> dict[str, Any]:
        info = parser.parse(octets)
        return {
            "kind": info.kind.value,
            "message_id": info.message_id,
            "tracking_id": info.tracking_id,
            "recipients": [
                {
                    "address": one.address,
                    "type": one.type,
                    "code": one.code,
                    "category": one.category,
                    "reason": one.reason,
                }
                for one in info.recipients
            ],
        }

    _show(files, found, json, _bounce_facts)


def pec(files: _Files, json: _Json = False) -> None:
    """Show which event a receipt of certified mail (PEC) is, and for which message."""
    from mail_proxy.inbound.pec.receipt import PecReceiptParser

    parser = PecReceiptParser()

    def found(octets: bytes) -> dict[str, Any]:
        info = parser.parse(octets)
        return {
            "event": info.event,
            "receipt_type": info.receipt_type,
            "message_id": info.message_id,
            "recipient": info.recipient,
            "identifier": info.identifier,
            "timestamp": info.timestamp,
            "provider": info.provider,
            "error": info.error,
            "error_reason": info.error_reason,
        }

    _show(files, found, json, _pec_facts)


def _show(
    files: Iterable[str],
    found: Callable[[bytes], dict[str, Any]],
    as_json: bool,
    facts: Callable[[dict[str, Any]], Iterator[tuple[str, str]]],
) -> None:
    """Print the content of each file; exit with 1 if one cannot be read."""
    failed = False
    for file in files:
        try:
            octets = _read(file)
        except OSError as error:
            complain(f"{file}: {error.strerror or error}")
            failed = True
            continue
        content = {"file": file, **found(octets)}
        if as_json:
            print_line(json_module.dumps(content, ensure_ascii=False))
        else:
            print_facts([("file", file), *facts(content)])
    if failed:
        raise typer.Exit(1)


def _read(file: str) -> bytes:
    if file == _STANDARD_INPUT:
        return sys.stdin.buffer.read(_MOST_BYTES)
    with Path(file).open("rb") as stream:
        return stream.read(_MOST_BYTES)


def _bounce_facts(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("kind", "message_id", "tracking_id"):
        if content[name]:
            yield name.replace("_", " "), content[name]
    for one in content["recipients"]:
        words = [one["address"], one["type"], one["code"], one["category"]]
        yield "recipient", "  ".join(word for word in words if word)
        if one["reason"]:
            yield "", one["reason"]


def _pec_facts(content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if content["receipt_type"] is None:
        yield "event", "none: this mail is no PEC receipt"
        return
    for name, value in content.items():
        if name != "file" and value:
            yield name.replace("_", " "), value
