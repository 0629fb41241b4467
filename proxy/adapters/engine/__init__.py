"""Containers of a Docker engine, or of its links."""
