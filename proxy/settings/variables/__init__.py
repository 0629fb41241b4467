"""The table of environment variables."""
