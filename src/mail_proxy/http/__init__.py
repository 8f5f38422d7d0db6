"""HTTP/1.1 connections with bounds on size, time and number, for the server uvicorn."""
