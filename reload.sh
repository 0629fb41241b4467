#!/usr/bin/python3 -P
"""docker exec <proxy> /reload.sh: look at everything again and reload HAProxy; exits 0 when the new worker serves."""

import sys

from proxy.cli import main

sys.exit(main(["reload", *sys.argv[1:]]))
