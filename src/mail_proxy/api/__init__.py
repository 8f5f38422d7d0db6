"""REST: thin routes over operations."""
