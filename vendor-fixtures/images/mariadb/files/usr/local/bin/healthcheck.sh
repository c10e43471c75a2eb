#!/bin/bash
# Healthy when the real server (the first one listens on no network) answers over TCP.
exec env MYSQL_PWD="${MYSQL_ROOT_PASSWORD:-}" mariadb -h 127.0.0.1 -uroot -e 'SELECT 1' >/dev/null
