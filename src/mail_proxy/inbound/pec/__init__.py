"""Readers of receipts of Italian certified mail, PEC (RFC 6109)."""
