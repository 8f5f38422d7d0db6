"""Statements over the table ``message`` and its payloads and events, by purpose."""
