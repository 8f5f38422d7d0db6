class BenchmarkError(Exception):
    """A measurement could not be made; the text says why."""


class NotAvailable(BenchmarkError):
    """Something this machine lacks; the measurement is skipped, not failed."""
