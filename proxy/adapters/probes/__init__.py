"""Probes that find out whether containers can answer."""
