"""One function for each thing a caller can ask for, behind a single door."""
