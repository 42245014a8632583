# shellcheck shell=bash
# Results of scripts/test. A result is a line of tab-separated fields in $results:
#
#   pass|fail|skip   group   test   seconds   why (for skip)

# record STATUS GROUP TEST SECONDS [WHY]
record() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "${5:-}" >>"$results"; }

# run_check GROUP COMMAND…: one result for the whole command. It passes, fails, or prints
# `skipped: why` with exit status 3.
run_check() {
    local group=$1 log=$logs/$1.log started=$SECONDS status=0
    shift
    say "== $group: $*"
    "$@" 2>&1 | tee "$log" >&2 || status=$?
    case $status in
    0) record pass "$group" "$*" $((SECONDS - started)) ;;
    3) record skip "$group" "$*" $((SECONDS - started)) "$(sed -n '/^ *skipped: */{s///p;q}' "$log")" ;;
    *) record fail "$group" "$*" $((SECONDS - started)) ;;
    esac
}

# add_results STATUS GROUP LOG: what a runner left in $results.part. A runner that failed
# without a failed test did not get as far as its tests.
add_results() {
    cat "$results.part" >>"$results"
    if [ "$1" -ne 0 ] && ! grep -q '^fail' "$results.part"; then
        tail -n 50 "$3" >&2
        record fail "$2" "did not build or ended in the middle, see $3" 0
    fi
    rm -f "$results.part"
}

# count_results: how many there are by now.
count_results() { wc -l <"$results"; }

# expect_tests GROUP…: a group that ran no test has failed.
expect_tests() {
    local group
    for group in "$@"; do
        grep -q "^[a-z]*"$'\t'"$group"$'\t' "$results" || record fail "$group" "has no test" 0
    done
}

failed_anything() { grep -q '^fail' "$results"; }

# print_report: table, failures, skips with their reasons, and the closing line.
print_report() {
    awk -F '\t' -v elapsed="$SECONDS" '
        { count[$2, $1]++; seconds[$2] += $4; total[$1]++ }
        !($2 in seen) { seen[$2]; groups[++n] = $2 }
        $1 == "fail" { failures = failures "FAILED " $2 ": " $3 "\n" }
        $1 == "skip" { skips = skips "skipped " $2 ": " $3 ": " $5 "\n" }
        END {
            printf "\n%-18s %7s %7s %7s %9s\n", "group", "passed", "failed", "skipped", "seconds"
            for (i = 1; i <= n; i++) {
                g = groups[i]
                printf "%-18s %7d %7d %7d %9.1f\n", g, count[g, "pass"], count[g, "fail"], count[g, "skip"], seconds[g]
            }
            printf "%-18s %7s %7s %7s %9d\n\n%s%s", "(wall clock)", "", "", "", elapsed, failures, skips
            printf "%d passed, %d failed, %d skipped\n", total["pass"], total["fail"], total["skip"]
        }' "$results"
}
