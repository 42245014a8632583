//! A test's body in a guest.

use std::{path::Path, time::Duration};

use crate::{Guest, Plan};

const VARIABLE: &str = "PATIO_IN_GUEST";

/// Runs the body of the test called `name` (its whole path) in a guest: outside of one this boots it with the test's own
/// program and prints what it says; inside it is the body that runs. What the guest cannot be had for is said as `skipped`.
///
/// `modules` are loaded, `programs` of `scripts/guest` are under `/bin`, and `before` is a script that runs first.
///
/// # Panics
/// When the body does.
pub fn inside(
    name: &str,
    modules: &[&str],
    programs: &[&str],
    before: &str,
    within: Duration,
    body: impl FnOnce(),
) {
    if std::env::var_os(VARIABLE).is_some() {
        return body();
    }
    let budget = std::env::var("PATIO_TEST_SECONDS").unwrap_or_default();
    let script = format!(
        "set -e\n{before}\nexport {VARIABLE}=1 PATIO_TEST_SECONDS={budget} RUST_BACKTRACE=1\n\
         /test --exact {name} --nocapture --test-threads 1 2>&1\n"
    );
    let mut plan = match Plan::new(modules, script) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("skipped: {why}");
            return;
        }
    };
    let done = (|| {
        plan.memory = 512;
        plan.archive
            .program(&std::env::current_exe()?, Path::new("/test"))?;
        for program in programs {
            plan.debian_program(program)?;
        }
        Guest::boot(plan)?.ended(within)
    })();
    match done {
        Ok((status, said)) => {
            println!("{}", said.join("\n"));
            assert_eq!(status, 0, "the body has failed in the guest");
            // A name that is no test's runs nothing, and well.
            assert!(
                said.iter().any(|line| line.contains("1 passed")),
                "no test called {name} ran in the guest"
            );
        }
        Err(error) => panic!("{error:#}"),
    }
}
