# Reads what `cargo test -- --show-output` printed; writes one result a line (see report.sh).
# `group` is the crate, unless a line `Doc-tests crate_name` says it. The seconds of single
# tests are not printed by cargo test: those of a whole binary go to its first test.

function finish(   i, word, name) {
    for (i = 1; i <= count; i++) {
        name = names[i]
        word = words[name]
        if (word == "pass" && name in reasons) word = "skip"
        printf "%s\t%s\t%s\t%s\t%s\n", word, group, name, i == 1 ? seconds : 0, word == "skip" ? reasons[name] : ""
    }
    count = 0
    section = ""
    delete words
    delete reasons
}

/^ *Doc-tests / {
    group = $2
    gsub(/_/, "-", group)
}

/^test .* \.\.\. (ok|FAILED|ignored)/ {
    name = $0
    sub(/^test /, "", name)
    sub(/( - should panic)? \.\.\. (ok|FAILED|ignored).*/, "", name)
    names[++count] = name
    if ($0 ~ / \.\.\. ok$/) words[name] = "pass"
    else if ($0 ~ / \.\.\. FAILED/) words[name] = "fail"
    else {
        words[name] = "skip"
        reasons[name] = "marked #[ignore]: scripts/test --deep runs it"
    }
}

/^---- .* stdout ----$/ {
    section = $0
    sub(/^---- /, "", section)
    sub(/( - should panic)? stdout ----$/, "", section)
}

section != "" && /^ *skipped: / {
    line = $0
    sub(/^ *skipped: */, "", line)
    reasons[section] = reasons[section] (reasons[section] == "" ? "" : "; ") line
}

/^test result: / {
    seconds = $0
    sub(/.*finished in /, "", seconds)
    seconds += 0
    finish()
}

END { finish() }
