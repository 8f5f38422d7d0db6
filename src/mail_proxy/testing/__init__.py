"""Throw-away servers and clocks for tests, also for tests of your own application."""
