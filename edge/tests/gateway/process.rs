//! The program as systemd runs it.

use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::house::{House, ledger};

const PATIENCE: Duration = Duration::from_secs(60);

/// What a process tells systemd.
struct Systemd {
    socket: UnixDatagram,
    path: PathBuf,
    heard: Vec<String>,
}

impl Systemd {
    fn new(path: PathBuf) -> Self {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            socket,
            path,
            heard: Vec::new(),
        }
    }

    fn hear(&mut self) {
        let mut message = [0; 1024];
        while let Ok(length) = self.socket.recv(&mut message) {
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            self.heard.extend(text.lines().map(str::to_owned));
        }
    }

    fn count(&mut self, word: &str) -> usize {
        self.hear();
        self.heard.iter().filter(|heard| *heard == word).count()
    }
}

struct Program {
    child: Child,
    reports: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(house: &House, systemd: &Systemd) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_edge"))
            .arg("run")
            .arg("--config")
            .arg(house.config())
            .arg("--watchdog")
            .arg(house.path("watchdog"))
            .arg("--report")
            .env("NOTIFY_SOCKET", &systemd.path)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        Self {
            child,
            reports: BufReader::new(stdout).lines(),
        }
    }

    async fn report(&mut self) -> serde_json::Value {
        let line = timeout(PATIENCE, self.reports.next_line()).await;
        serde_json::from_str(&line.expect("no report").unwrap().unwrap()).unwrap()
    }

    async fn terminate(&mut self) -> ExitStatus {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").arg("-TERM").arg(id).status().await;
        assert!(kill.unwrap().success());
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it does not end").unwrap()
    }
}

/// Samples of a report: made durable, and only in memory.
fn samples(report: &serde_json::Value) -> (i64, i64) {
    let streams = report["streams"].as_array().unwrap();
    let produced = streams.iter().map(|one| one["produced"].as_i64().unwrap());
    (produced.sum(), report["pending"].as_i64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_seals_and_commits_and_lets_the_watchdogs_go() {
    let house = House::new().await;
    std::fs::write(house.path("watchdog"), "").unwrap();
    let mut systemd = Systemd::new(house.path("notify"));
    let mut program = Program::start(&house, &systemd);
    // Until bulk samples are open, which are sealed after a minute only.
    let mut last = (0, 0);
    let mut reports = 0;
    while reports < 6 || last.0 + last.1 < 100 {
        last = samples(&program.report().await);
        reports += 1;
        assert!(reports < 60, "{last:?}");
    }
    assert_eq!(systemd.count("READY=1"), 1);
    assert!(systemd.count("WATCHDOG=1") >= 4, "{:?}", systemd.heard);
    assert_eq!(systemd.count("STOPPING=1"), 0);
    let status = program.terminate().await;
    assert!(status.success(), "{status}");
    assert_eq!(systemd.count("STOPPING=1"), 1);
    let fed = std::fs::read(house.path("watchdog")).unwrap();
    assert_eq!(fed.last(), Some(&b'V'));
    assert!(fed.len() > 4);
    let [produced, open, buffered, acknowledged, dropped] = ledger(&house.path("buffer"));
    assert!(produced >= last.0 + last.1, "{produced} of {last:?}");
    // All sealed, and the cloud was there to take it.
    assert_eq!((open, buffered, dropped), (0, 0, 0));
    assert_eq!(produced, acknowledged);
}

/// What became of a gateway of which threads were frozen.
struct Frozen {
    /// Its exit status; -1 when it went on for all of the time.
    status: i64,
    /// How long it lived on.
    seconds: f64,
    /// How often the hardware watchdog was fed in all.
    fed: usize,
    /// Whether it wrote that the disk holds up its writer.
    said_so: bool,
}

/// Threads of the gateway are frozen from outside, as if the kernel did not let them go on. `None` where that cannot be done.
async fn frozen(thread: &str, patience: u32) -> Option<Frozen> {
    let house = House::new().await;
    std::fs::write(house.path("watchdog"), "").unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/freeze.py");
    let output = Command::new("python3")
        .arg(script)
        .arg(thread)
        .arg(patience.to_string())
        .arg(env!("CARGO_BIN_EXE_edge"))
        .arg("run")
        .arg("--config")
        .arg(house.config())
        .arg("--watchdog")
        .arg(house.path("watchdog"))
        .kill_on_drop(true)
        .output();
    let Ok(output) = output.await else {
        eprintln!("skipped: no python3");
        return None;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    if let Some(why) = said.strip_prefix("cannot: ") {
        eprintln!("skipped: {}", why.trim());
        return None;
    }
    // Nobody lets the hardware watchdog go: should the process not come back, the machine starts anew.
    let fed = std::fs::read(house.path("watchdog")).unwrap();
    assert!(!fed.is_empty() && !fed.contains(&b'V'), "{fed:?}");
    let words: Vec<f64> = said
        .split_whitespace()
        .map(|word| word.parse().unwrap_or_else(|_| panic!("{said} {log}")))
        .collect();
    Some(Frozen {
        status: words[0] as i64,
        seconds: words[1],
        fed: fed.len(),
        said_so: log.contains("the disk holds up whoever writes to it"),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_stand_still_end_the_process_to_be_started_again() {
    let began = Instant::now();
    let Some(found) = frozen("tokio", 60).await else {
        return;
    };
    println!(
        "the loops' threads frozen: the process ended itself with {} after {:.1} s",
        found.status, found.seconds
    );
    assert_eq!(found.status, 70);
    assert!(found.seconds <= 30.0, "{} s", found.seconds);
    assert!(began.elapsed() > Duration::from_secs(10));
}

/// The database's writer alone stands still: another one takes its place, and the gateway goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_stands_still_gets_a_successor() {
    let Some(found) = frozen("buffer", 45).await else {
        return;
    };
    assert!(
        found.said_so,
        "it ended with {} after {} s",
        found.status, found.seconds
    );
    assert_eq!(found.status, -1, "after {} s", found.seconds);
    // The watchdogs went hungry for a while, and not for long.
    assert!(found.fed > 25, "fed {} times", found.fed);
}
