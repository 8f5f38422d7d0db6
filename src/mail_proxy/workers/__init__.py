"""Processes that deliver beside the one with the API."""
