//! Processes, ports, and waiting for things to happen.

use std::{
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The program under test.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloud-ingest"));
    // Nothing of the developer's own database may leak in.
    command
        .env_remove("PATIO_DATABASE_URL")
        .stdin(Stdio::null());
    command
}

/// Runs the program to its end; it has to end by itself.
pub(crate) fn run(args: &[&str]) -> Output {
    program().args(args).output().unwrap()
}

/// What a command wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A loopback address that nobody listens on now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Sends a signal (`KILL`, `STOP`, `TERM`).
pub(crate) fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .unwrap();
    assert!(sent.success(), "kill -{name} {pid}");
}

/// The embedded broker that listens there, when there is one.
pub(crate) fn broker_pid(listen: SocketAddr) -> Option<u32> {
    let wanted = format!("broker\0--listen\0{listen}\0");
    std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
        // A zombie has no command line.
        let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        line.contains(&wanted).then_some(pid)
    })
}

/// Waits until something holds; says what did not when it does not.
pub(crate) async fn until<F: Future<Output = bool>>(
    what: &str,
    seconds: u64,
    holds: impl Fn() -> F,
) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A folder with `pg_dump` and `pg_restore` for a server of this version: the machine's own, or those that came with the
/// private Debian root of `scripts/db`, by their own loader. `None`, said on standard error: there are none that are new enough.
pub(crate) fn pg_programs(folder: &Path, server: u32) -> Option<PathBuf> {
    let major = server / 10_000;
    let said = Command::new("pg_dump").arg("--version").output();
    let said = said.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    );
    let own = said
        .split(|c: char| !c.is_ascii_digit())
        .find_map(|word| word.parse::<u32>().ok());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.patio/root13");
    let bin = root.join(format!("usr/lib/postgresql/{major}/bin"));
    let start = if own.is_some_and(|own| own >= major) {
        String::new()
    } else if bin.join("pg_dump").exists() {
        format!(
            "{0}/usr/lib64/ld-linux-x86-64.so.2 --library-path {0}/usr/lib/x86_64-linux-gnu {1}/",
            root.display(),
            bin.display()
        )
    } else {
        eprintln!("skipped: no pg_dump of PostgreSQL {major}");
        return None;
    };
    let made = folder.join("programs");
    std::fs::create_dir_all(&made).unwrap();
    for name in ["pg_dump", "pg_restore"] {
        let script = format!("#!/bin/sh\nexec {start}{name} \"$@\"\n");
        let path = made.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    Some(made)
}
