"""Integrations with web frameworks: Django, Flask, FastAPI, SQLAlchemy.

They use the client library, and load no code of the server.
"""
