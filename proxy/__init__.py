"""A routing proxy for containers. It reads labels and keeps a real HAProxy routing to the containers that can answer."""

__version__ = "1.1.0"
"""The only place of the version. setup.cfg, `proxy --version`, the log, and a test of the image's label read it."""
