# shellcheck shell=bash
# The suites of scripts/test: databases, the tests of crates, the tests in documentation.
# They use $deep, $logs and $results of scripts/test.

workspace_crates() {
    cargo metadata --no-deps --format-version 1 --locked |
        grep -oE '\{"name":"[^"]+","version"' | cut -d'"' -f4 | sort
}

# start_databases: in the background, for making one takes a while and cargo does not need it.
# One after the other: apt runs once at a time.
databases_job='' databases_ready=''
start_databases() {
    [ -z "$databases_job" ] || return 0
    local flavour
    up_before=()
    for flavour in "${FLAVOURS[@]}"; do
        ! "$PATIO_ROOT/scripts/db" url --flavour "$flavour" >/dev/null 2>&1 || up_before+=("$flavour")
    done
    (
        status=0
        for flavour in plain timescale; do
            "$PATIO_ROOT/scripts/db" up --flavour "$flavour" || status=1
        done
        exit "$status"
    ) </dev/null >"$logs/databases.log" 2>&1 &
    databases_job=$!
}

# stop_databases: those that were down before.
stop_databases() {
    [ -n "$databases_job" ] || return 0
    wait "$databases_job" || true
    local flavour
    [ -z "${PATIO_DATABASE_URL:-}" ] || return 0
    for flavour in "${FLAVOURS[@]}"; do
        [[ " ${up_before[*]} " == *" $flavour "* ]] || "$PATIO_ROOT/scripts/db" down --flavour "$flavour" 2>/dev/null || true
    done
}

# needs_databases CRATE: whether it, or a crate it uses, speaks to PostgreSQL.
needs_databases() { cargo tree --locked -p "$1" --prefix none -e normal,dev | grep '^tokio-postgres ' >/dev/null; }

# need_databases: afterwards PATIO_TEST_DATABASE_URLS names all that are up. A flavour that
# should be and is not has failed; one that cannot be had here is skipped.
need_databases() {
    [ -z "$databases_ready" ] || return 0
    databases_ready=yes
    start_databases
    say "waiting for the databases"
    wait "$databases_job" || true
    if [ -n "${PATIO_DATABASE_URL:-}" ]; then
        external_databases
    else
        private_databases
    fi
    export PATIO_TEST_DATABASE_URLS
    say "databases: ${PATIO_TEST_DATABASE_URLS:-none}"
}

private_databases() {
    local flavour url status
    PATIO_TEST_DATABASE_URLS=''
    for flavour in "${FLAVOURS[@]}"; do
        status=0
        "$PATIO_ROOT/scripts/db" up --flavour "$flavour" >"$logs/database-$flavour.log" 2>&1 || status=$?
        case $status in
        0)
            url=$("$PATIO_ROOT/scripts/db" url --flavour "$flavour")
            PATIO_TEST_DATABASE_URLS+="${PATIO_TEST_DATABASE_URLS:+ }$flavour=$url"
            record pass databases "$flavour" 0
            ;;
        "$NOT_HERE") record skip databases "$flavour" 0 "$(why_not_here "$flavour")" ;;
        *)
            cat "$logs/database-$flavour.log" >&2
            record fail databases "$flavour" 0
            ;;
        esac
    done
}

# external_databases: the one of PATIO_DATABASE_URL, under the flavour it turns out to be.
external_databases() {
    local found flavour=plain other
    if ! found=$("$PATIO_ROOT/scripts/db" status); then
        record fail databases PATIO_DATABASE_URL 0
        return
    fi
    case $found in
    *Community*) flavour=community ;;
    *'Apache edition'*) flavour=timescale ;;
    esac
    PATIO_TEST_DATABASE_URLS=$flavour=$PATIO_DATABASE_URL
    record pass databases "$flavour" 0
    for other in "${FLAVOURS[@]}"; do
        [ "$other" = "$flavour" ] || record skip databases "$other" 0 "PATIO_DATABASE_URL names the only database, $flavour"
    done
}

# crate_tests [CARGO ARGUMENTS…]: unit and integration tests, of all crates or of those named.
crate_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        nextest_tests '' "$@"
    elif [ $# -gt 0 ]; then
        libtest_tests "$2"
    else
        local crate
        for crate in $(workspace_crates); do
            libtest_tests "$crate"
        done
    fi
}

# real_data_tests: those over the recordings of PATIO_DATA, in all crates.
real_data_tests() {
    if cargo nextest --version >/dev/null 2>&1; then
        nextest_tests 'test(/(^|::)real_data_/)'
    else
        local crate
        for crate in $(workspace_crates); do
            libtest_tests "$crate" real_data_
        done
    fi
}

# nextest_tests FILTER [CARGO ARGUMENTS…]
nextest_tests() {
    local filter=$1 log=$logs/crates.log status=0 options=()
    shift
    # Without a filter a line SKIP is a test marked #[ignore]; with one it is what was left out.
    if [ -n "$filter" ]; then options+=(-E "$filter" --status-level pass); else options+=(--status-level all); fi
    [ -z "$deep" ] || options+=(--profile deep --run-ignored all)
    [ $# -gt 0 ] || set -- --workspace
    cargo nextest run --config-file "$PATIO_ROOT/scripts/nextest.toml" --locked --no-fail-fast --no-tests pass \
        --color never --success-output immediate --failure-output immediate "${options[@]}" "$@" 2>&1 |
        tee "$log" | sed -unE '1,/^ *Summary \[/ { /^ {0,11}[A-Z][A-Z0-9 -]* \[.{9}\] /p }' >&2 || status=$?
    awk -f "$PATIO_ROOT/scripts/lib/nextest.awk" "$log" >"$results.part"
    add_results "$status" crates "$log"
}

# libtest_tests CRATE [FILTER]: the same with cargo's own runner.
libtest_tests() {
    local log=$logs/$1.log status=0 options=(--show-output)
    [ -z "$deep" ] || options+=(--include-ignored)
    cargo test --locked --no-fail-fast --tests -p "$1" -- "${options[@]}" "${@:2}" >"$log" 2>&1 || status=$?
    awk -v group="$1" -f "$PATIO_ROOT/scripts/lib/libtest.awk" "$log" >"$results.part"
    [ "$status" -eq 0 ] || cat "$log" >&2
    add_results "$status" "$1" "$log"
}

# doc_tests [CARGO ARGUMENTS…]
doc_tests() {
    local log=$logs/docs.log status=0
    [ $# -gt 0 ] || set -- --workspace
    cargo test --locked --no-fail-fast --doc "$@" -- --show-output >"$log" 2>&1 || status=$?
    # A crate that is only a command has no documentation to test.
    ! grep -q '^error: no library targets found' "$log" || return 0
    awk -f "$PATIO_ROOT/scripts/lib/libtest.awk" "$log" >"$results.part"
    [ "$status" -eq 0 ] || cat "$log" >&2
    add_results "$status" docs "$log"
}
