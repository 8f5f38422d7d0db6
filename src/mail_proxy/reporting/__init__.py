"""Telling tenants what happened to their messages."""
