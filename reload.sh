#!/bin/sh
# docker exec <proxy> /reload.sh: look at everything again and reload HAProxy; exits 0 when the new worker serves.
exec proxy reload "$@"
