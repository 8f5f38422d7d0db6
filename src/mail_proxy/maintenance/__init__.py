"""Duties of a running instance besides delivering: retention, suspension, clock repair."""
