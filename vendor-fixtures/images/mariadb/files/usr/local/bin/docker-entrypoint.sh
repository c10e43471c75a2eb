#!/bin/bash
# First start: makes the database that MYSQL_* describe, then runs *.sql and *.sh of /docker-entrypoint-initdb.d.
# Every start: execs the server, as user mysql.
set -eu

data=/var/lib/mysql
socket=/run/mysqld/mysqld.sock

say() { echo "entrypoint: $*"; }

# A word in SQL quotes.
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g")"; }

accounts() {
    local root=${MYSQL_ROOT_PASSWORD:-} name=${MYSQL_DATABASE:-} user=${MYSQL_USER:-}
    # Accounts that the installation made without a password.
    echo "DELETE FROM global_priv WHERE User = '' OR Host <> 'localhost'; FLUSH PRIVILEGES;"
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quoted "$root");"
    echo "CREATE USER 'root'@'%' IDENTIFIED BY $(quoted "$root"); GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    [ -z "$name" ] || echo "CREATE DATABASE IF NOT EXISTS \`$name\`;"
    [ -z "$user" ] || echo "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "${MYSQL_PASSWORD:-}");"
    [ -z "$user" ] || [ -z "$name" ] || echo "GRANT ALL ON \`$name\`.* TO $(quoted "$user")@'%';"
    echo "FLUSH PRIVILEGES;"
}

first_start() {
    if [ -z "${MYSQL_ROOT_PASSWORD:-}" ] && [ -z "${MYSQL_ALLOW_EMPTY_PASSWORD:-}" ]; then
        echo >&2 "entrypoint: set MYSQL_ROOT_PASSWORD or MYSQL_ALLOW_EMPTY_PASSWORD"
        exit 1
    fi
    say "making the database in $data"
    # Interrupted before: begin again. The mark is made last.
    find "$data" -mindepth 1 -delete
    mariadb-install-db --user=mysql --datadir="$data" --skip-test-db --auth-root-authentication-method=normal >/dev/null
    mariadbd --skip-networking --socket="$socket" &
    local server=$! tries=0
    until mariadb-admin --socket="$socket" ping >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] && kill -0 $server || { echo >&2 "entrypoint: the first server did not start"; exit 1; }
        sleep 0.05
    done
    accounts | mariadb --socket="$socket" mysql
    local client=(mariadb --socket="$socket" -uroot ${MYSQL_DATABASE:+"$MYSQL_DATABASE"}) script
    export MYSQL_PWD=${MYSQL_ROOT_PASSWORD:-}
    for script in /docker-entrypoint-initdb.d/*; do
        case $script in
        *.sql) say "running $script"; "${client[@]}" <"$script" ;;
        *.sh) say "running $script"; . "$script" ;;
        esac
    done
    mariadb-admin --socket="$socket" -uroot shutdown
    unset MYSQL_PWD
    wait $server
    touch "$data/.ready"
    say "ready for the first real start"
}

if [ "${1:-}" = mariadbd ] || [ "${1:-}" = mysqld ]; then
    mkdir -p /run/mysqld "$data"
    chown mysql:mysql /run/mysqld "$data"
    [ -e "$data/.ready" ] || first_start
fi
exec "$@"
