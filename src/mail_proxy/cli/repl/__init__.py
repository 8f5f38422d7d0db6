"""Python shell about an instance, and the members that it does not reach."""

from mail_proxy.cli.repl.wrapper import REPLWrapper, is_reserved, repl_wrap, reserved

__all__ = ["REPLWrapper", "is_reserved", "repl_wrap", "reserved"]
