"""The commands behind `proxy NAME`, and modules that only they need. `proxy/cli.py` lists their names."""
