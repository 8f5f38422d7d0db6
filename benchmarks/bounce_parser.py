"""Accuracy and speed of the parsers of mail that comes back.

    python -m benchmarks.bounce_parser [FOLDER] [--seconds 10]

FOLDER has mails (.eml), each with its expected result (.json) beside it, as `tests/corpus/bounces`
has. Kind, recipients, class and category are counted for each expected recipient; a recipient that
is not expected counts as wrong. Speed is processor time of one thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from tests.harness.corpus import BOUNCES, RECEIPTS, bounce, expected, receipt

from mail_proxy.inbound.bounces.parser import BounceParser
from mail_proxy.inbound.pec.receipt import PecReceiptParser


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounce_parser", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="instead of tests/corpus/bounces")
    parser.add_argument("--seconds", type=float, default=10.0, help="processor time of the speed")
    options = parser.parse_args()
    console = Console(highlight=False)
    mails = sorted(options.folder.glob("*.eml")) if options.folder else BOUNCES
    right, total = _bounces(mails, console)
    console.print(f"{len(mails)} bounces and other mails")
    for name in ("kind", "recipient", "class", "category"):
        share = 100 * right[name] / max(1, total[name])
        console.print(f"{name:<10} {right[name]} of {total[name]} ({share:.1f} %)")
    if not options.folder:
        same = sum(receipt(mail.read_bytes()) == expected(mail) for mail in RECEIPTS)
        console.print(f"receipts   {same} of {len(RECEIPTS)}")
    _speed([mail.read_bytes() for mail in mails], options.seconds, console)
    return int(any(right[name] < total[name] for name in total))


def _bounces(mails: list[Path], console: Console) -> tuple[Counter[str], Counter[str]]:
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for mail in mails:
        found, wanted = bounce(mail.read_bytes()), expected(mail)
        total["kind"] += 1
        right["kind"] += found["kind"] == wanted["kind"]
        theirs = {one["address"].casefold(): one for one in wanted["recipients"]}
        ours = {one["address"].casefold(): one for one in found["recipients"]}
        total["recipient"] += len(theirs | ours)
        right["recipient"] += len(theirs.keys() & ours.keys())
        for address, one in theirs.items():
            _compare(ours.get(address, {}), one, right, total)
        if found != {key: wanted[key] for key in found}:
            console.print(f"differs: {mail.name}")
    return right, total


def _compare(
    found: dict[str, Any], wanted: dict[str, Any], right: Counter[str], total: Counter[str]
) -> None:
    for name, field in (("class", "type"), ("category", "category")):
        if wanted[field] is not None:
            total[name] += 1
            right[name] += found.get(field) == wanted[field]


def _speed(mails: list[bytes], seconds: float, console: Console) -> None:
    for name, parser in (("bounce", BounceParser()), ("PEC", PecReceiptParser())):
        begin, count = time.process_time(), 0
        while time.process_time() - begin < seconds:
            for octets in mails:
                parser.parse(octets)
            count += len(mails)
        rate = count / (time.process_time() - begin)
        console.print(f"{name} parser: {rate:.0f} of these mails per second of processor time")
    console.print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    sys.exit(main())
