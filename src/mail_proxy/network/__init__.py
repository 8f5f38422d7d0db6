"""Connections to places that a tenant chose: which addresses they may have."""
