"""Benchmarks: `python -m bench` measures every budget of the design and prints Markdown."""
