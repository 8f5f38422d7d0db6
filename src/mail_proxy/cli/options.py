"""Options and arguments that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV with a line of titles.")]
Force = Annotated[bool, typer.Option("--force", help="Do not ask for confirmation.")]
