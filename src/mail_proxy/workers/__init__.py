"""Worker processes: they deliver messages, next to the process with the API."""
