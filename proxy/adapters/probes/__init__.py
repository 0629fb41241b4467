"""Asking containers whether they can answer."""
