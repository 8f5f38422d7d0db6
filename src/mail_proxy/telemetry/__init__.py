"""Telemetry: Prometheus metrics and log lines."""
