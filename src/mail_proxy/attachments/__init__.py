"""Attachments: read them from their sources, and keep them in a cache."""
