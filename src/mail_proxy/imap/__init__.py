"""IMAP: watch a mailbox, read its messages, mark, move or delete them."""

from mail_proxy.imap.client import IMAPClient, ImapLogin, IMAPMessage, ImapTrouble, Mailbox

__all__ = ["IMAPClient", "IMAPMessage", "ImapLogin", "ImapTrouble", "Mailbox"]
