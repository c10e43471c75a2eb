#!/bin/sh
# `haproxy ...` and bare options start the server in the foreground with a master that takes signals.
set -e
[ "${1#-}" = "$1" ] || set -- haproxy "$@"
if [ "$1" = haproxy ]; then
    shift
    set -- haproxy -W -db "$@"
fi
exec "$@"
