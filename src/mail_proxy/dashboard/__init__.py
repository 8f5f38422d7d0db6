"""The dashboard under ``/ui``: pages for people, made of the operations of the API."""
