# shellcheck shell=bash
# The life of a private PostgreSQL cluster. One folder per flavour, .patio/db/<flavour>:
#
#   data/      the cluster           run/       the Unix socket
#   port       its loopback port     password   of the role `patio`
#   log        what the server says, log.old before its last start
#
# The server runs as the user who calls or, for root (PostgreSQL refuses root), as `postgres`
# or, where there is none, as a system user `patio`. Where that user cannot come down to the
# repository, the folder stands in /var/lib/patio and .patio/db/<flavour> is a link to it.

ROLE=patio

# cluster_open FLAVOUR: sets owner_uid and owner_gid, home (the cluster's folder), inside (the
# same as the server sees it) and socket_link (a short path: a socket's may have 107 bytes).
cluster_open() {
    flavour=$1
    link=$PATIO_STATE/db/$flavour
    cluster_owner
    home=$(readlink -f "$link") || die "$link leads nowhere"
    if [ "$server_where" = root13 ]; then inside=$ROOT13_HOME; else inside=$home; fi
    socket_link=/tmp/patio-$(printf '%s' "$link" | cksum | cut -d' ' -f1)
}

# cluster_owner: sets owner_uid and owner_gid. Whoever owns the folder goes on doing so.
cluster_owner() {
    owner_uid=$(id -u) owner_gid=$(id -g)
    is_root || return 0
    if [ -d "$link" ] && [ "$(stat -L -c %u "$link")" != 0 ]; then
        owner_uid=$(stat -L -c %u "$link") owner_gid=$(stat -L -c %g "$link")
        return
    fi
    local name=postgres
    id "$name" >/dev/null 2>&1 || name=patio
    id "$name" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$name"
    owner_uid=$(id -u "$name") owner_gid=$(id -g "$name")
}

# as_owner COMMAND…: on the host, as the cluster's owner.
as_owner() {
    local drop=()
    is_root && drop=(setpriv "--reuid=$owner_uid" "--regid=$owner_gid" --clear-groups)
    (cd / && exec "${drop[@]}" env HOME="$home" LC_ALL=C.UTF-8 "$@")
}

# server PROGRAM ARGUMENTS…: one of PostgreSQL's programs, where the server runs, as its owner.
server() {
    local program=$server_bin/$1
    shift
    if [ "$server_where" = root13 ]; then
        in_root13 "$home" "$program" "$@"
    else
        as_owner "$program" "$@"
    fi
}

# query SQL [DATABASE]: over the socket, rows without ornament.
query() {
    local where=$socket_link
    [ "$server_where" = root13 ] && where=$inside/run
    server psql -XAtq -v ON_ERROR_STOP=1 -h "$where" -p "$(<"$home/port")" -U "$ROLE" -d "${2:-postgres}" -c "$1"
}

# cluster_pid: the postmaster's process; fails when the cluster is down. A number that
# survived a crash or a reboot may belong to a stranger by now, so it must be at home in the
# data folder.
cluster_pid() {
    local pid
    pid=$(head -n 1 "$home/data/postmaster.pid" 2>/dev/null) && [ -n "$pid" ] &&
        kill -0 "$pid" 2>/dev/null && [ "/proc/$pid/cwd" -ef "$home/data" ] && printf '%s' "$pid"
}

cluster_url() {
    printf 'postgres://%s:%s@127.0.0.1:%s/%s\n' "$ROLE" "$(<"$home/password")" "$(<"$home/port")" "$ROLE"
}

cluster_up() {
    cluster_link_socket
    cluster_pid >/dev/null && return
    [ "$server_where" = host ] || root13_knows_owner
    [ -e "$home/data/PG_VERSION" ] || cluster_create
    local made found
    made=$(<"$home/data/PG_VERSION")
    found=$(server postgres --version | grep -oE '[0-9]+' | head -n 1)
    [ "$made" = "$found" ] ||
        die "the $flavour data was made by PostgreSQL $made and this machine now has $found: scripts/db down --wipe --flavour $flavour makes room for new data"

    say "starting $flavour (PostgreSQL $found)"
    [ ! -s "$home/log" ] || mv -f "$home/log" "$home/log.old"
    local tries
    for ((tries = 1; tries <= 20; tries++)); do
        rm -f "$home/data/postmaster.pid" "$home"/run/.s.PGSQL.*
        cluster_choose_port
        cluster_configure
        : >"$home/log"
        server pg_ctl start -s -w -t 120 -D "$inside/data" -l "$inside/log" </dev/null >/dev/null 2>&1 9>&- && break
        # After a kill the last back ends take a moment to go; a port may have been taken.
        if [ "$tries" -eq 20 ] || ! grep -qE 'pre-existing shared memory|could not bind' "$home/log"; then
            tail -n 20 "$home/log" >&2
            die "the $flavour cluster did not start; its log is $home/log"
        fi
        sleep 1
    done
    [ "$(query "SELECT count(*) FROM pg_database WHERE datname = '$ROLE'")" = 1 ] || query "CREATE DATABASE $ROLE"
}

# cluster_place FLAVOUR: the cluster's folder, where its owner can reach it.
cluster_place() {
    flavour=$1
    link=$PATIO_STATE/db/$flavour
    [ ! -d "$link" ] || return 0
    make_state_folder "$PATIO_STATE/db"
    cluster_owner
    if [ "$server_where" = root13 ]; then
        if [ "$(root13_way)" = chroot ]; then
            ln -sfn "../root13$ROOT13_HOME" "$link"
        else
            mkdir "$link"
        fi
        chown "$owner_uid:$owner_gid" "$link/"
        return
    fi
    mkdir "$link"
    chown "$owner_uid:$owner_gid" "$link"
    home=$link as_owner test -w "$link" && return
    local elsewhere
    elsewhere=/var/lib/patio/$flavour-$(printf '%s' "$link" | cksum | cut -d' ' -f1)
    say "the database's user cannot come down to $link: its data goes to $elsewhere"
    rmdir "$link"
    mkdir -p "$elsewhere"
    chown "$owner_uid:$owner_gid" "$elsewhere"
    ln -sfn "$elsewhere" "$link"
}

cluster_create() {
    say "making the $flavour cluster in $link"
    rm -rf "$home/data.new"
    (umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$home/password")
    chown "$owner_uid:$owner_gid" "$home/password"
    # Whoever reaches the socket is trusted, and its folder lets only the owner in.
    server initdb -D "$inside/data.new" -U "$ROLE" --pwfile="$inside/password" \
        --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C.UTF-8 --data-checksums >"$home/initdb.log" 2>&1 9>&- || {
        tail -n 20 "$home/initdb.log" >&2
        die "initdb failed; its log is $home/initdb.log"
    }
    echo "include = 'patio.conf'" >>"$home/data.new/postgresql.conf"
    mv "$home/data.new" "$home/data"
}

cluster_choose_port() {
    if [ ! -s "$home/port" ] || ! port_is_free "$(<"$home/port")"; then
        free_port >"$home/port"
    fi
}

# cluster_configure: durable as in production (fsync, synchronous commit), modest in memory.
cluster_configure() {
    local sockets=$socket_link
    [ "$server_where" = root13 ] && sockets=$inside/run
    cat >"$home/data/patio.conf" <<SETTINGS
# Written by scripts/db at every start.
listen_addresses = '127.0.0.1'
port = $(<"$home/port")
unix_socket_directories = '$sockets'
unix_socket_permissions = 0700
max_connections = 200
max_locks_per_transaction = 256
max_worker_processes = 64
shared_buffers = 256MB
max_wal_size = 2GB
fsync = on
synchronous_commit = on
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] %d '
shared_preload_libraries = '$server_preload'
SETTINGS
    if [ -n "$server_preload" ]; then
        # The Apache edition has no jobs to run: its one default job only fails in the log.
        local workers=32
        [ "$server_license" = timescale ] || workers=0
        cat >>"$home/data/patio.conf" <<SETTINGS
timescaledb.license = '$server_license'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = $workers
SETTINGS
    fi
    touch "$home/log"
    chown "$owner_uid:$owner_gid" "$home/data/patio.conf" "$home/log"
}

# cluster_link_socket: /tmp is emptied now and then.
cluster_link_socket() {
    mkdir -p "$home/run"
    chmod 700 "$home/run"
    chown "$owner_uid:$owner_gid" "$home/run"
    ln -sfn "$home/run" "$socket_link" 2>/dev/null || true
    [ "$socket_link" -ef "$home/run" ] || die "$socket_link belongs to somebody else: remove it"
}

cluster_down() {
    local pid tenths
    pid=$(cluster_pid) || return 0
    # SIGINT is PostgreSQL's fast shutdown.
    kill -INT "$pid"
    for ((tenths = 0; tenths < 600; tenths++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.1
    done
    cluster_pid >/dev/null && die "the $flavour cluster (process $pid) does not stop; its log is $home/log"
    rm -f "$socket_link"
}

cluster_wipe() {
    find "$home" -mindepth 1 -delete
    [ ! -L "$link" ] || [ "$home" = "$ROOT13$ROOT13_HOME" ] || rmdir "$home"
    if [ -L "$link" ]; then rm "$link"; else rmdir "$link"; fi
}

# describe_server RUNNER…: the version, as the running server says it through RUNNER (a
# command that takes SQL and prints the answer).
describe_server() {
    "$@" "SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)
        || CASE WHEN current_setting('shared_preload_libraries') NOT LIKE '%timescaledb%' THEN ', without TimescaleDB'
           ELSE ', TimescaleDB ' || (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb')
             || CASE current_setting('timescaledb.license', true) WHEN 'timescale' THEN ' Community' ELSE ' Apache edition' END
           END"
}
