//! Says when this build was made: no gateway's clock is believed that is behind it. And how it is linked.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok();
    let seconds = given.and_then(|text| text.parse::<u64>().ok());
    let seconds = seconds.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        now.map_or(0, |now| now.as_secs())
    });
    println!("cargo:rustc-env=PATIO_BUILT_S={seconds}");

    // 400 kB of what is flashed say where addresses stand; packed, they are 5. The loaders of Debian 12 read both forms.
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
