"""Parsers of mail that comes back: bounces, complaints, PEC receipts."""
