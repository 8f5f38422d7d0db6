"""Command line: instances are folders, every command is a client of the service."""
