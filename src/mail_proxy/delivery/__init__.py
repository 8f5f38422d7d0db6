"""From a due message to its recorded outcome."""
