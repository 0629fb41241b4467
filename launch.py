#!/usr/bin/python3 -P
"""The command `proxy` of the image. It is no shell script: dash drops variables whose names hold a dot or a dash."""

import sys

from proxy.cli import main

sys.exit(main())
