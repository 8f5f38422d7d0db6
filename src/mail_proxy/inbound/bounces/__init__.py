"""Readers of bounces, complaints and automatic answers."""
