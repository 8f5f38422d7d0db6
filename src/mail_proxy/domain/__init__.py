"""Frozen values and pure rules about mail, on the standard library alone."""
