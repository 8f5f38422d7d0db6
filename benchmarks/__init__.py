"""Measures Genro Mail Proxy from outside: `python -m benchmarks` (see README.md)."""
