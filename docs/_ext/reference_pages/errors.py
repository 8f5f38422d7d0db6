"""Generates the reference of errors from ``mail_proxy.errors``."""

from __future__ import annotations

from collections.abc import Iterator

from mail_proxy import errors
from mail_proxy.wire.new_messages import RejectionCode
from reference_pages.markdown import code, table


def render() -> str:
    rows = [
        (
            code(error.__name__),
            code(error.code),
            str(error.http_status),
            str(error.exit_code),
            (error.__doc__ or "").split("\n\n")[0].replace("``", "`"),
        )
        for error in found()
    ]
    rejections = [(code(found), found.meaning) for found in RejectionCode]
    return "\n\n".join(
        (
            table(["Class", "Code", "HTTP", "Exit", "Meaning"], rows),
            "## Codes of rejected messages",
            table(["Code", "Meaning"], rejections),
        )
    )


def found(
    root: type[errors.MailProxyError] = errors.MailProxyError,
) -> Iterator[type[errors.MailProxyError]]:
    """List the error classes in the order of the tree."""
    yield root
    for error in root.__subclasses__():
        if error.__module__ == errors.__name__:
            yield from found(error)
