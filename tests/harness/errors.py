"""Errors of the harness that tests and benchmarks share."""


class HarnessError(Exception):
    """A server or process did not do what a test or measurement needs."""


class NotAvailable(HarnessError):
    """A program that is not installed here. Tests and measurements that need it are skipped."""
