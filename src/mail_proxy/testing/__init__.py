"""Fakes and real throw-away servers for tests, also for those of people who use the proxy."""
