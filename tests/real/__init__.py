"""Real parts for the tests: HAProxy 2.6 and 3.4, a Docker engine, Compose and images, made on a bare Debian machine.

`python3 -m tests.real up` provides what is missing, `env` prints where it is, `down` stops what `up` started.

Rules of this package: Python's standard library only, since it runs before any virtual environment exists; mirrors,
proxies and certificates come from the machine's own apt and pip settings when it runs, never from a file here;
everything it makes lies under `.cache/` of the checkout, except what apt-get installs.
"""
