"""HTTP/1.1 connections for uvicorn, with bounds on size, time and number."""
