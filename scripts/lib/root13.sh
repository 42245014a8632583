# shellcheck shell=bash
# A private Debian 13 root under .patio/root13, for Debian 12: it holds PostgreSQL 17 and
# TimescaleDB, and leaves the host as it is. It is entered with bubblewrap or, where no mount
# namespace can be had (a container without that right), with chroot as root.

ROOT13=$PATIO_STATE/root13
# Where a cluster's folder is seen from inside.
ROOT13_HOME=/patio

root13_is_built() { [ -e "$ROOT13/patio-built" ]; }

root13_build() {
    ! root13_is_built || return 0
    ensure_packages \
        "mmdebstrap: makes the private Debian 13 root that holds TimescaleDB" \
        "bubblewrap: starts the database inside that root"
    make_state_folder "$PATIO_STATE"
    (
        exec 8>"$PATIO_STATE/root13.lock"
        flock 8
        root13_is_built || root13_make
    )
}

root13_make() {
    local new=$ROOT13.new log=$PATIO_STATE/root13.log started=$SECONDS sources options
    need_root "making the Debian 13 root"
    sources=$(root13_sources)
    options=$(mktemp)
    host_apt_options >"$options"
    say "making a Debian 13 root with PostgreSQL 17 and TimescaleDB in $ROOT13 (about a minute, 530 MB)"
    root13_clear "$new"
    # No main cluster is made inside, and nobody reads manuals there.
    # The hook's $1 is the new root: mmdebstrap expands it.
    # shellcheck disable=SC2016
    if ! as_root mmdebstrap --mode=root --variant=essential --aptopt="$options" \
        --include=postgresql-17,postgresql-17-timescaledb \
        --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        --essential-hook='mkdir -p "$1/etc/postgresql-common/createcluster.d" "$1/patio"' \
        --essential-hook='echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.d/patio.conf"' \
        trixie "$new" - >"$log" 2>&1 8>&- <<<"$sources"; then
        tail -n 20 "$log" >&2
        rm -f "$options"
        die "the Debian 13 root could not be made from the mirror in this machine's apt configuration; the log is $log"
    fi
    rm -f "$options"
    # The user who made it can then delete it, and bubblewrap needs no other owner.
    is_root || as_root chown -R --no-dereference "$(id -u):$(id -g)" "$new"
    date -u +%Y-%m-%dT%H:%M:%SZ >"$new/patio-built"
    mv "$new" "$ROOT13"
    say "the Debian 13 root is ready ($((SECONDS - started)) s)"
}

# root13_clear FOLDER: away with what a build left that was killed. It may have the machine's own
# /proc, /sys and /dev/pts mounted still, and nothing in them is to be deleted.
root13_clear() {
    [ -e "$1" ] || return 0
    local mount
    # findmnt writes a space in a path as \x20.
    while IFS= read -r mount; do
        [[ $mount != "$1"/* ]] || as_root umount "$mount"
    done < <(printf '%b\n' "$(findmnt --raw --noheadings --output TARGET)" | sort -r)
    as_root rm -rf --one-file-system "$1"
}

# root13_sources: this machine's own Debian mirrors, one release on.
root13_sources() {
    # The dollar signs in apt's format are apt's.
    # shellcheck disable=SC2016
    local fields='$(REPO_URI)|$(RELEASE)|$(COMPONENT)|$(SIGNED_BY)|$(ORIGIN)'
    local code uri suite component signed origin lines=''
    # shellcheck source=/dev/null
    code=$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")
    while IFS='|' read -r uri suite component signed origin; do
        [ "$component" = main ] || continue
        # apt prints the name of a field that a source does not have.
        # shellcheck disable=SC2016
        case $origin in Debian | '' | '$(ORIGIN)') ;; *) continue ;; esac
        case $suite in "$code" | "$code-updates" | "$code-security") ;; *) continue ;; esac
        case $uri in cdrom:*) continue ;; esac
        [ -r "$signed" ] || signed=/usr/share/keyrings/debian-archive-keyring.gpg
        lines+="deb [signed-by=$signed] $uri trixie${suite#"$code"} main"$'\n'
    done < <(apt-get indextargets --format "$fields" 'Created-By: Packages')
    [ -n "$lines" ] || die "no Debian mirror in this machine's apt configuration (apt-get indextargets names none for $code main), so no Debian 13 root can be made: name a database in PATIO_DATABASE_URL"
    printf '%s' "$lines" | sort -u
}

# host_apt_options: how this machine reaches its mirrors (proxies, certificates, clock checks).
host_apt_options() { apt-config dump | grep -E '^Acquire::(https?|Check-|Retries)' || true; }

# root13_way: bwrap or chroot.
root13_way() {
    if bwrap --ro-bind "$ROOT13" / --dev /dev true 2>/dev/null; then
        printf bwrap
    elif is_root; then
        printf chroot
    else
        die "bubblewrap may not make namespaces for this user (user namespaces are switched off): run scripts/db as root, or name a database in PATIO_DATABASE_URL"
    fi
}

# in_root13 HOME COMMAND…: runs it inside as the cluster's owner, with the cluster's folder
# HOME at /patio.
in_root13() {
    local home=$1 enter drop=()
    shift
    is_root && drop=(setpriv "--reuid=$owner_uid" "--regid=$owner_gid" --clear-groups)
    if [ "$(root13_way)" = bwrap ]; then
        enter=(bwrap --ro-bind "$ROOT13" / --dev /dev --perms 1777 --tmpfs /dev/shm --ro-bind /proc /proc --tmpfs /tmp
            --bind "$home" "$ROOT13_HOME" --chdir /)
    else
        [ "$home" = "$ROOT13$ROOT13_HOME" ] ||
            die "$home was made where bubblewrap works, and here only chroot does: scripts/db down --wipe makes room for a new one"
        root13_make_devices
        enter=(chroot "$ROOT13")
    fi
    "${enter[@]}" "${drop[@]}" env HOME="$ROOT13_HOME" LC_ALL=C.UTF-8 "$@"
}

root13_make_devices() {
    [ -c "$ROOT13/dev/null" ] || mknod -m 666 "$ROOT13/dev/null" c 1 3
    [ -c "$ROOT13/dev/urandom" ] || mknod -m 666 "$ROOT13/dev/urandom" c 1 9
    mkdir -p "$ROOT13/dev/shm"
    chmod 1777 "$ROOT13/dev/shm"
}

# root13_knows_owner: PostgreSQL looks its user up by number and refuses one without a name.
root13_knows_owner() {
    grep -q "^[^:]*:[^:]*:$owner_uid:" "$ROOT13/etc/passwd" ||
        printf 'patio:x:%s:%s::/patio:/bin/sh\n' "$owner_uid" "$owner_gid" >>"$ROOT13/etc/passwd"
}
