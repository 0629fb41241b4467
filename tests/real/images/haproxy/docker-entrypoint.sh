#!/bin/sh
# Options alone are options of haproxy, and haproxy runs in the foreground in master-worker mode, as in the public image.
set -e
case "$1" in
    -*) set -- haproxy "$@" ;;
esac
if [ "$1" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
