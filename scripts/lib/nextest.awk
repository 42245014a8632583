# Reads what `cargo nextest run` printed; writes one result a line (see report.sh).
# Failed tests are repeated in full on standard error.
#
# A status line is right-aligned, so that its bracket always stands in column 14, and what
# the test itself printed follows indented:
#
#         PASS [   0.006s] (6/9) crate::binary module::test
#     stderr ───
#       skipped: no /data

function finish() {
    if (status == "") return
    if (status == "pass" && reasons != "") status = "skip"
    printf "%s\t%s\t%s\t%s\t%s\n", status, group, test, seconds, status == "skip" ? reasons : ""
    if (status == "fail") printf "%s", block > "/dev/stderr"
    status = ""
}

/^ *Summary \[/ { finish(); over = 1 }
over { next }

index($0, "[") == 14 && /^ *[A-Z][A-Z0-9 -]* \[/ {
    word = $1
    if (word == "SLOW" || word == "TERMINATING" || word == "TRY") next
    finish()
    status = word ~ /^(PASS|LEAK|FLAKY)$/ ? "pass" : word == "SKIP" ? "skip" : "fail"
    seconds = substr($0, 15, 9) + 0
    name = substr($0, 26)
    sub(/^\([^)]*\) */, "", name)
    group = test = name
    sub(/ .*/, "", group)
    sub(/::.*/, "", group)
    sub(/^[^ ]* /, "", test)
    reasons = status == "skip" ? "marked #[ignore]: scripts/test --deep runs it" : ""
    block = $0 "\n"
    next
}

{ block = block $0 "\n" }

/^ *skipped: / {
    line = $0
    sub(/^ *skipped: */, "", line)
    reasons = reasons (reasons == "" ? "" : "; ") line
}

END { finish() }
