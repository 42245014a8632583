# shellcheck shell=bash
# Debian packages: installs what is missing, says why, asks nothing, starts no service.

# ensure_packages "NAME: WHY"…
ensure_packages() {
    local entry name missing=()
    for entry in "$@"; do
        name=${entry%%:*}
        package_is_installed "$name" && continue
        missing+=("$name")
        say "installing $name:${entry#*:}"
    done
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}

package_is_installed() {
    have dpkg-query || die "$(os_name) is not Debian: install by hand what corresponds to the Debian package $1"
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# Some of these packages would start a server of their own, now and at every boot. Patio
# starts what it needs by itself, so the install is shielded: policy-rc.d keeps services from
# starting, createcluster.d keeps PostgreSQL from making a cluster, and services that arrive
# are disabled. Both files are gone afterwards.
install_packages() {
    local log
    need_root "apt-get install $*"
    log=$(mktemp)
    if ! as_root bash -s -- "$@" >"$log" 2>&1 <<'ROOT'; then
        set -euo pipefail
        export DEBIAN_FRONTEND=noninteractive
        policy=/usr/sbin/policy-rc.d
        cluster=/etc/postgresql-common/createcluster.d/patio.conf
        shields=()
        trap 'rm -f "${shields[@]}"' EXIT
        case " $* " in *" postgresql-"*)
            shields+=("$cluster")
            mkdir -p "${cluster%/*}"
            echo 'create_main_cluster = false' >"$cluster"
            ;;
        esac
        if [ ! -e "$policy" ]; then
            shields+=("$policy")
            printf '#!/bin/sh\nexit 101\n' >"$policy"
            chmod 755 "$policy"
        fi
        new=()
        for service in mosquitto postgresql; do
            [ -e "/etc/init.d/$service" ] || new+=("$service")
        done

        apt-get update -q </dev/null
        apt-get install -q -y --no-install-recommends "$@" </dev/null

        for service in "${new[@]}"; do
            [ ! -e "/etc/init.d/$service" ] || update-rc.d "$service" disable
        done
ROOT
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "apt-get could not install: $*"
    fi
    rm -f "$log"
}
