"""The dashboard under ``/ui``: pages for people, made of the API's operations."""
