"""Maintenance of a running instance: retention, suspension, clock repair."""
