# shellcheck shell=bash
# Rust: the toolchain the workspace asks for. Debian's own rustc is too old for it.

# rust_needed: the `rust-version` of the workspace.
rust_needed() { sed -n 's/^rust-version *= *"\(.*\)"/\1/p' "$PATIO_ROOT/Cargo.toml"; }

# rust_found: the version of the rustc on the path; empty when there is none that runs.
rust_found() { rustc --version 2>/dev/null | cut -d' ' -f2 || true; }

rust_is_new_enough() {
    local found
    found=$(rust_found)
    [ -n "$found" ] && have cargo && printf '%s\n%s\n' "$(rust_needed)" "${found%%-*}" | sort -V -C
}

# ensure_rust: afterwards cargo and rustc are on the path and new enough, or the script has
# ended with the one thing to do.
ensure_rust() {
    rust_is_new_enough && return
    # Where rustup puts it; a shell that was open before the install does not look there.
    PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    rust_is_new_enough && return

    local found
    found=$(rust_found)
    if ! have rustup && [ "$(debian_release)" = 13 ]; then
        ensure_packages "rustup: Debian 13's way to a Rust newer than its own"
    fi
    if have rustup; then
        say "installing Rust $(rust_needed) or newer with rustup (found: ${found:-none})"
        rustup toolchain install stable --profile minimal --component clippy --component rustfmt >&2 &&
            rustup default stable >&2 && hash -r && rust_is_new_enough && return
        die "rustup brought no Rust >= $(rust_needed). Its messages above say why; 'rustup update stable' is the command to repeat"
    fi
    die "Rust >= $(rust_needed) is needed, found: ${found:-none}; Debian's own is too old. Install it as https://rustup.rs says,
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal -c clippy -c rustfmt
then run this script again"
}
