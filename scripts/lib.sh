# shellcheck shell=bash
# What every script here shares. Source it, do not run it:
#
#     . "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
#
# lib.sh            messages, folders, becoming root, which Debian this is, free ports
# lib/packages.sh   ensure_packages: Debian packages, each with the reason it is needed
# lib/rust.sh       ensure_rust: a toolchain that is new enough
# lib/servers.sh    which PostgreSQL serves a flavour, and where its programs run
# lib/root13.sh     the private Debian 13 root that gives Debian 12 its TimescaleDB
# lib/cluster.sh    the life of a private PostgreSQL cluster: up, down, url
# lib/report.sh     the groups of scripts/test: results, table, closing line
#
# Messages go to standard error; standard output belongs to a script's result.

PATIO_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
# Everything the scripts make at run time stands here, and git ignores it.
PATIO_STATE=$PATIO_ROOT/.patio

say() { printf '%s\n' "$*" >&2; }
warn() { printf 'warning: %s\n' "$*" >&2; }
die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

# need_root WHAT: ends the script, before anything is begun, where WHAT cannot be done as root.
# sudo may ask for a password only where a person sits at a terminal.
need_root() {
    is_root && return
    have sudo || die "$1 needs root, and there is no sudo: run this script as root once"
    sudo -n true 2>/dev/null || [ -t 0 ] ||
        die "$1 needs root, and sudo asks for a password without a terminal: run this script as root once"
}

# as_root COMMAND…
as_root() { if is_root; then "$@"; else sudo -- "$@"; fi; }

# debian_release: 12, 13, … ; empty on anything else.
debian_release() {
    # shellcheck source=/dev/null
    (ID='' VERSION_ID='' && . /etc/os-release 2>/dev/null && [ "$ID" = debian ] && printf '%s' "$VERSION_ID") || true
}

# os_name: the machine's system as people say it.
os_name() {
    # shellcheck source=/dev/null
    (PRETTY_NAME='' && . /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME:-an unknown system}") || printf 'an unknown system'
}

# make_state_folder FOLDER: a folder under .patio, with a clear word when it is somebody else's.
make_state_folder() {
    mkdir -p "$1" 2>/dev/null && [ -w "$1" ] && return
    die "cannot write to $1: it belongs to $(stat -c %U "$PATIO_STATE" 2>/dev/null || echo 'another user'). Run this as that user, or remove $PATIO_STATE"
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port: a loopback port nobody listens on, below the range the kernel hands out to clients.
free_port() {
    local port tries
    for ((tries = 0; tries < 200; tries++)); do
        port=$((20000 + RANDOM % 10000))
        if port_is_free "$port"; then
            printf '%s' "$port"
            return
        fi
    done
    die "no free port on 127.0.0.1 between 20000 and 30000"
}

# shellcheck source=lib/packages.sh
. "$PATIO_ROOT/scripts/lib/packages.sh"
# shellcheck source=lib/rust.sh
. "$PATIO_ROOT/scripts/lib/rust.sh"
# shellcheck source=lib/servers.sh
. "$PATIO_ROOT/scripts/lib/servers.sh"
# shellcheck source=lib/root13.sh
. "$PATIO_ROOT/scripts/lib/root13.sh"
# shellcheck source=lib/cluster.sh
. "$PATIO_ROOT/scripts/lib/cluster.sh"
