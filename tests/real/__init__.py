"""Real parts for the tests: HAProxy 2.6 and 3.4, a Docker engine, Compose and images, made on a bare Debian machine.

`python3 -m tests.real up` provides what is missing, `env` prints where it is, `down` stops what `up` started.

Rules of this package: it uses only Python's standard library, because it runs before any virtual environment exists. The
addresses of mirrors, proxies and certificates come from the machine's own apt and pip settings when it runs, never from a
file here. Everything that it makes is below `.cache/` of the checkout, except for what apt-get installs.
"""
