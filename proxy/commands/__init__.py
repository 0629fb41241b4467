"""The commands behind `proxy NAME` and what only they need; `proxy/cli.py` has their names."""
