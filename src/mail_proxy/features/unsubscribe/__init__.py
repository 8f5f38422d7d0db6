"""Hosted page on which a recipient unsubscribes with one click (RFC 8058)."""
