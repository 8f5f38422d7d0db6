"""JSON shapes of the bounce mailbox."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mail_proxy.wire.accounts import Host, MailAddress, Port
from mail_proxy.wire.bound_secrets import SentTo, usual_host
from mail_proxy.wire.fields import Answer, Matching, Name, NotBool, Request, Secret

ImapTls = Literal["ssl", "starttls", "none"]
ImapPassword = Annotated[Secret, SentTo("imap_port", "imap_tls", imap_host=usual_host)]
AfterProcessing = Annotated[
    str,
    Field(max_length=200),
    Matching(r"(delete|seen|move:[^\x00-\x1f]+)", "allowed: delete, seen, move:<folder>"),
]
_STATE: dict[str, Any] = {
    "checked_ts": 1_790_000_000,
    "error": "login: Authentication failed.",
    "error_since_ts": 1_790_000_300,
}
_PLACE: dict[str, Any] = {
    "enabled": True,
    "imap_host": "imap.example.org",
    "imap_port": 993,
    "imap_user": "bounces@example.org",
    "imap_folder": "INBOX",
    "imap_tls": "ssl",
    "poll_interval": 60,
    "return_path": "bounces@example.org",
    "after_processing": "delete",
    "detect_replies": False,
}

_SHOWN: dict[str, Any] = {**_PLACE, "imap_password": "********", "state": _STATE}


class BounceMailboxIn(Request):
    """The fields of the bounce mailbox that can be set; fields that are left out stay."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**_PLACE, "imap_password": "the password"}]}
    )

    enabled: bool | None = Field(None, description="Whether the mailbox is watched.")
    imap_host: Host | None = Field(None, description="IMAP server.")
    imap_port: Port | None = Field(None, description="TCP port; default 993.")
    imap_user: Name | None = Field(None, description="User name.")
    imap_password: ImapPassword | None = Field(
        None, description="Password; stored encrypted, never returned."
    )
    imap_folder: Name | None = Field(None, description="Folder to watch; default INBOX.")
    imap_tls: ImapTls | None = Field(None, description="ssl (default), starttls or none.")
    poll_interval: Annotated[int, NotBool, Field(ge=5, le=3600)] | None = Field(
        None, description="Longest time between two looks, seconds; default 60. IDLE is used too."
    )
    return_path: MailAddress | None = Field(
        None, description="Envelope sender of messages that name none, so that bounces arrive here."
    )
    after_processing: AfterProcessing | None = Field(
        None, description="What happens to bounces: delete (default), seen or move:<folder>."
    )
    detect_replies: bool | None = Field(
        None,
        description="Whether answers of people are recorded as the event `reply`; default false.",
    )


class MailboxStateOut(BaseModel):
    """State of the bounce mailbox. Times are Unix seconds."""

    model_config = ConfigDict(json_schema_extra={"examples": [_STATE]})

    checked_ts: int | None = Field(None, description="Last time that the mailbox was read.")
    error: str | None = Field(None, description="Why it cannot be read; null if it can.")
    error_since_ts: int | None = Field(None, description="Since when it cannot be read.")


class BounceMailboxOut(BaseModel):
    """The bounce mailbox; a stored password is shown as ``********``."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SHOWN]})

    enabled: bool = Field(False, description="Whether the mailbox is watched.")
    imap_host: str | None = Field(None, description="IMAP server.")
    imap_port: int = Field(993, description="TCP port.")
    imap_user: str | None = Field(None, description="User name.")
    imap_password: str | None = Field(None, description="******** if one is stored.")
    imap_folder: str = Field("INBOX", description="Folder.")
    imap_tls: str = Field("ssl", description="ssl, starttls or none.")
    poll_interval: int = Field(60, description="Longest time between two looks, seconds.")
    return_path: str | None = Field(None, description="Envelope sender of messages.")
    after_processing: str = Field("delete", description="delete, seen or move:<folder>.")
    detect_replies: bool = Field(False, description="Whether answers of people are recorded.")
    state: MailboxStateOut = Field(
        default_factory=MailboxStateOut, description="State of the mailbox."
    )


class BounceMailboxAnswer(Answer):
    """The bounce mailbox."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ok": True, "bounce": _SHOWN}]})

    bounce: BounceMailboxOut = Field(description="The mailbox.")


class BounceMailboxTested(Answer):
    """The result of a test of the bounce mailbox; `ok` is false if it cannot be used."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "ok": False,
                    "stage": "login",
                    "error": "[AUTHENTICATIONFAILED] Authentication failed.",
                    "messages": 0,
                }
            ]
        }
    )

    stage: str | None = Field(
        description="Stage that failed: connect, tls, login, select; null if all is well."
    )
    error: str | None = Field(description="The server's words, or what happened.")
    messages: int | None = Field(description="Mails in the folder.")
