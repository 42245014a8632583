//! The command, as scripts use it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use virtual_depot::{Description, Truth};

struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
    dir: tempfile::TempDir,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_virtual-depot"))
            .arg("--dir")
            .arg(dir.path())
            .args(["--cars", "2", "--chargers", "2"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self { child, out, dir };
        let expected = format!("ready {}", running.dir.path().join("depot.json").display());
        assert_eq!(running.line(), expected);
        running
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
    }

    fn ends(&mut self) {
        let line = self.line();
        assert!(
            line.starts_with("stopped after ") && line.contains(" values given"),
            "{line}"
        );
        assert!(self.child.wait().unwrap().success());
        let truth = Truth::read(&self.dir.path().join("truth.jsonl")).unwrap();
        assert!(!truth.torn && truth.columns.len() > 300);
    }
}

#[test]
fn lines_pause_resume_and_stop() {
    let mut running = Running::start(&["--seed", "9", "--speed", "2", "--faults", "late=0.5"]);
    let description = Description::read(&running.dir.path().join("depot.json")).unwrap();
    assert_eq!((description.seed, description.speed), (9, 2.0));
    assert_eq!(
        (
            description.cars.len(),
            description.chargers.len(),
            description.meters.len()
        ),
        (2, 2, 1)
    );
    assert!(
        description.cars[0].profile.exists() && description.cars[0].dbc.as_ref().unwrap().exists()
    );
    running.say("pause\n");
    assert_eq!(running.line(), "paused");
    running.say("hello\n");
    assert_eq!(
        running.line(),
        "`hello` is not pause, resume, finish, code CAR CODE, codes CAR, cut KEY, power KEY or stop"
    );
    running.say("resume\n");
    assert_eq!(running.line(), "resumed");
    running.say("stop\n");
    running.ends();
}

#[test]
fn it_ends_with_its_input() {
    let mut running = Running::start(&[]);
    drop(running.child.stdin.take());
    running.ends();
}

#[test]
fn it_ends_by_signal() {
    let mut running = Running::start(&[]);
    let id = running.child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    running.ends();
}

#[test]
fn what_cannot_be_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (["--cars", "5000"], "cars: 5000 where 2000 is the most"),
        (
            ["--speed", "0"],
            "speed 0: use a number from 0.001 to 100000",
        ),
        (["--faults", "lat=1"], "`lat` is not a fault"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_virtual-depot"))
            .arg("--dir")
            .arg(dir.path())
            .args(arguments)
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(says), "{error}");
    }
}
