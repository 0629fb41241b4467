"""The HAProxy that runs: its program, its sockets, and the files it is started from."""
