"""Commands ``dkim``: list, add, delete, check."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mail_proxy.cli.options import Csv, Json
from mail_proxy.cli.output import moment, print_facts, print_model, print_rows, talk
from mail_proxy.cli.target import Target
from mail_proxy.errors import MailProxyError

commands = typer.Typer(help="DKIM keys that mails are signed with.")
Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="Domain of the From addresses.")]
Selector = Annotated[str, typer.Argument(metavar="SELECTOR", help="Name of the key in the DNS.")]


class Algorithm(StrEnum):
    """Algorithm of a DKIM key."""

    RSA = "rsa-sha256"
    ED25519 = "ed25519-sha256"


@commands.command("list")
def list_(context: typer.Context, json: Json = False, csv: Csv = False) -> None:
    """List the DKIM keys; without a tenant, those of all."""
    with Target.of(context).client() as client:
        found = client.dkim.list()
    columns = ["Tenant", "Domain", "Selector", "Algorithm", "Added"]
    rows = [
        (key.tenant_id, key.domain, key.selector, key.algorithm, moment(key.created_at))
        for key in found
    ]
    print_rows(columns, rows, found, as_json=json, as_csv=csv, cut=("Domain",))


@commands.command()
def add(
    context: typer.Context,
    domain: Domain,
    selector: Annotated[
        str | None, typer.Option(help="Name of the key in the DNS.", show_default="gmp1, gmp2, ...")
    ] = None,
    algorithm: Annotated[Algorithm, typer.Option(help="Algorithm of the key.")] = Algorithm.RSA,
    private_key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="A key of your own, PKCS#8 PEM.", show_default="a new key"
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Add a DKIM key to a domain, and show the DNS record to publish."""
    try:
        pem = private_key.read_text() if private_key else None
    except (OSError, UnicodeDecodeError) as error:
        raise MailProxyError(f"{private_key}: cannot be read: {error}") from None
    with Target.of(context).client() as client:
        saved = client.dkim.add(
            domain, selector=selector, algorithm=algorithm.value, private_key=pem
        )
    if json:
        print_model(saved)
        return
    print_facts([("name", saved.dns.name), ("type", saved.dns.type), ("value", saved.dns.value)])
    words = f"{Target.of(context).words} dkim check {saved.domain} {saved.selector}"
    talk(f"Publish this record in the DNS, then `{words}`")


@commands.command()
def delete(context: typer.Context, domain: Domain, selector: Selector) -> None:
    """Remove a DKIM key; later mails are not signed with it."""
    with Target.of(context).client() as client:
        client.dkim.delete(domain, selector)
    talk(f"The key {selector} of {domain} is deleted")


@commands.command()
def check(context: typer.Context, domain: Domain, selector: Selector, json: Json = False) -> None:
    """Compare a DKIM key with the DNS. Exit code 1 if the record is not there."""
    with Target.of(context).client() as client:
        found = client.dkim.check(domain, selector)
    if json:
        print_model(found)
    elif found.matches:
        talk("The DNS publishes this key")
    else:
        talk(found.error or "The DNS does not publish this key")
        print_facts([("expected", found.expected), *(("found", text) for text in found.found)])
    if not found.matches:
        raise typer.Exit(1)
