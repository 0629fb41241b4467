"""The HAProxy that runs: program, sockets, and the files it is started from."""
