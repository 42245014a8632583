# shellcheck shell=bash
# The checks of scripts/test that are more than one command. Each passes, fails, or prints
# `skipped: why` and returns 3.

LONGEST_FILE=600

check_lines() {
    local long
    long=$(find "$PATIO_ROOT" \( -name target -o -name .patio -o -name generated -o -name .git \) -prune -o -name '*.rs' -print0 |
        xargs -0 wc -l | awk -v most="$LONGEST_FILE" '$2 != "total" && $1 > most')
    [ -z "$long" ] && return
    printf 'files of more than %s lines; split each by subject:\n%s\n' "$LONGEST_FILE" "$long"
    return 1
}

check_shell() {
    local files
    mapfile -t files < <(grep -rlE '^#!/usr/bin/env bash|^# shellcheck shell=bash' "$PATIO_ROOT/scripts" "$PATIO_ROOT/.ci")
    shellcheck -x "${files[@]}"
}

# check_licences: deny.toml, with what of cargo-deny is on this machine.
check_licences() {
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"
        return 3
    fi
    cargo deny --locked check --hide-inclusion-graph bans licenses sources
}

check_advisories() {
    if ! cargo deny --version >/dev/null 2>&1; then
        echo "skipped: cargo-deny is not installed (cargo install cargo-deny --locked)"
        return 3
    elif ! compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-dbs/*" >/dev/null; then
        echo "skipped: the advisory database is not on this machine (cargo deny fetch db brings it)"
        return 3
    fi
    cargo deny --locked check --disable-fetch advisories
}

# check_cross TARGET COMPILER [EMULATOR LIBRARIES]: the gateway builds for a machine in a box, and its program runs where the
# emulator of that machine is installed.
check_cross() {
    local target=$1 compiler=$2 emulator=$3 libraries=$4 library program
    library=$(rustc --print target-libdir --target "$target") || return 1
    if ! compgen -G "$library/libstd-*.rlib" >/dev/null; then
        echo "skipped: Rust's library for $target is not installed (rustup target add $target)"
        return 3
    elif ! have "$compiler"; then
        echo "skipped: $compiler is not installed (edge/README.md names its packages)"
        return 3
    fi
    local name=${target//-/_}
    env "CARGO_TARGET_${name^^}_LINKER=$compiler" cargo build --locked -p edge --target "$target" || return 1
    program=$PATIO_ROOT/target/$target/debug/edge
    if have "$emulator"; then
        "$emulator" -L "$libraries" "$program" --version
    else
        echo "built, not run: $emulator is not installed"
    fi
}
