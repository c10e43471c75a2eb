#!/bin/sh
# Scripts in /docker-entrypoint.d run before the server, as in the image on Docker Hub.
set -e
for script in /docker-entrypoint.d/*.sh; do
    [ -x "$script" ] && "$script"
done
exec "$@"
