"""Statements over the table ``message``: one module for each thing that happens to it."""
