# shellcheck shell=bash
# Which PostgreSQL serves a flavour.
#
#   timescale   TimescaleDB, Apache edition: hypertables
#   plain       the distribution's PostgreSQL, without TimescaleDB
#   community   TimescaleDB Community: columnstore, continuous aggregates, policies; where the machine has it, or
#               in the folder of programs that PATIO_COMMUNITY_BIN names
#
# find_server sets, for the flavour it is given:
#   server_where   host, or root13 (the private Debian 13 root)
#   server_bin     the folder of postgres, initdb and pg_ctl, as seen from server_where
#   server_preload the library to preload, or nothing
#   server_license the value of timescaledb.license, or nothing
# They are read in cluster.sh.

FLAVOURS=(timescale plain community)
OLDEST_POSTGRES=15

# The exit status that says "not to be had on this machine"; tests then say `skipped`.
NOT_HERE=3

# host_postgres [LIBRARY]: the bin folder of the newest PostgreSQL of this machine that has
# LIBRARY (a file name pattern) among its modules; nothing when there is none.
host_postgres() {
    local folder version
    while read -r version folder; do
        if [ "$version" -lt "$OLDEST_POSTGRES" ] || [ ! -x "$folder/bin/initdb" ]; then continue; fi
        if [ $# -eq 0 ] || compgen -G "$folder/lib/$1" >/dev/null; then
            printf '%s/bin' "$folder"
            return
        fi
    done < <(for folder in /usr/lib/postgresql/*; do
        version=${folder##*/}
        [[ ! $version =~ ^[0-9]+$ ]] || printf '%s %s\n' "$version" "$folder"
    done | sort -rn)
}

# debian_postgres: the major version this Debian packages.
debian_postgres() {
    case $(debian_release) in
    12) printf 15 ;;
    13) printf 17 ;;
    *) die "$(os_name) is neither Debian 12 nor 13: name a PostgreSQL of your own in PATIO_DATABASE_URL" ;;
    esac
}

# find_server FLAVOUR [install]: with `install`, brings what is missing. server_bin stays
# empty where the flavour is not to be had.
find_server() {
    server_where=host server_bin='' server_preload='' server_license=''
    case $1 in
    plain) find_plain "${2:-}" ;;
    timescale) find_timescale "${2:-}" ;;
    community) find_community ;;
    esac
}

find_plain() {
    server_bin=$(host_postgres)
    if [ -z "$server_bin" ] && [ "$1" = install ]; then
        local version
        version=$(debian_postgres)
        ensure_packages "postgresql-$version: the database, plain PostgreSQL"
        server_bin=$(host_postgres)
    fi
}

find_timescale() {
    server_preload=timescaledb server_license=apache
    server_bin=$(host_postgres 'timescaledb-[0-9]*.so')
    [ -z "$server_bin" ] || return 0
    if [ "$(debian_release)" = 12 ]; then
        # Debian 12 packages no TimescaleDB, and Debian 13's packages would replace its libc.
        [ "$1" != install ] || root13_build
        if root13_is_built; then
            server_where=root13 server_bin=/usr/lib/postgresql/17/bin
        fi
    elif [ "$1" = install ]; then
        local version
        version=$(debian_postgres)
        ensure_packages \
            "postgresql-$version: the database" \
            "postgresql-$version-timescaledb: hypertables for telemetry"
        server_bin=$(host_postgres 'timescaledb-[0-9]*.so')
    fi
}

find_community() {
    server_preload=timescaledb server_license=timescale
    server_bin=${PATIO_COMMUNITY_BIN:-}
    [ -n "$server_bin" ] || server_bin=$(host_postgres 'timescaledb-tsl-*.so')
    [ -z "$server_bin" ] || [ -x "$server_bin/initdb" ] || die "PATIO_COMMUNITY_BIN: there is no initdb in $server_bin"
}

# why_not_here FLAVOUR
why_not_here() {
    case $1 in
    community) printf 'no PostgreSQL of this machine has TimescaleDB Community (its module timescaledb-tsl); Debian packages the Apache edition only' ;;
    *) printf 'not installed yet: scripts/db up --flavour %s brings it' "$1" ;;
    esac
}
