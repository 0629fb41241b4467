"""`make run`: the real proxy on its embedded default, a file of services, with three small backends of its own."""
