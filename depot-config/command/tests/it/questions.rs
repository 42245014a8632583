//! `depot-config new`, through a pipe and through a terminal.

use std::{
    io::{ErrorKind, Write},
    process::{Command, Output, Stdio},
};

use depot_config::depot::Depot;

use crate::Folder;

const ANSWERS: [&str; 27] = [
    "Sur",
    "sur",
    "Depósito Sur",
    "",
    "19.3",
    "99.1",
    "",
    "",
    // The sign of the longitude was wrong: once more.
    "sur",
    "Depósito Sur",
    "",
    "19.3",
    "-99.1",
    "",
    "",
    // Contract.
    "150",
    "",
    "Valle de Mexico Sur",
    "",
    // Supply.
    "500",
    "20",
    "",
    "gw-sur",
    "",
    // Stations.
    "2",
    "200 A",
    "200",
];
const REST: [&str; 6] = ["25", "L-L", "Type 1, NACS", "32", "40", ""];

fn answers() -> String {
    let lines: Vec<_> = ANSWERS.iter().chain(&REST).copied().collect();
    lines.join("\n") + "\n"
}

fn run(program: &mut Command, answers: &str) -> Output {
    let mut child = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let written = child.stdin.take().unwrap().write_all(answers.as_bytes());
    // One that refuses before its first question is gone without having read.
    if let Err(error) = written {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{error}");
    }
    child.wait_with_output().unwrap()
}

#[test]
fn the_answers_become_a_depot_that_passes_its_check() {
    let folder = Folder::new();
    let file = folder.write("x", "").with_file_name("new.toml");
    let program = || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_depot-config"));
        program.args(["new", file.to_str().unwrap()]);
        program
    };
    let output = run(&mut program(), &answers());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}\n{output:?}");
    assert!(
        said.contains("! expected an id (1 to 64 of a-z 0-9 . - _), found \"Sur\""),
        "{said}"
    );
    assert!(
        said.contains("! depot.longitude: expected a longitude near -90°"),
        "{said}"
    );
    assert!(
        said.contains("! expected an integer from 6 to 6300 A, found \"200 A\""),
        "{said}"
    );
    assert!(
        said.contains("25 of 25 stations still charge without their gateway"),
        "{said}"
    );
    let depot = Depot::read(&file).unwrap();
    assert_eq!(
        (
            depot.stations.len(),
            depot.parkings.len(),
            depot.circuits.len()
        ),
        (25, 25, 28)
    );
    assert_eq!(depot.stations[24].circuit.as_str(), "branch-25");
    // What stands there is not written over.
    assert_eq!(run(&mut program(), &answers()).status.code(), Some(2));
}

#[test]
fn answers_that_end_write_nothing() {
    let folder = Folder::new();
    let file = folder.write("x", "").with_file_name("new.toml");
    let mut program = Command::new(env!("CARGO_BIN_EXE_depot-config"));
    program.args(["new", file.to_str().unwrap()]);
    let output = run(&mut program, "sur\nSur\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "the answers ended before the last question: nothing is written\n"
    );
    assert!(!file.exists());
}

#[test]
fn the_questions_are_asked_on_a_terminal() {
    let folder = Folder::new();
    let file = folder.write("x", "").with_file_name("new.toml");
    if Command::new("script").arg("--version").output().is_err() {
        eprintln!("skipped: no program `script`, which gives a terminal");
        return;
    }
    let command = format!(
        "{} new {}",
        env!("CARGO_BIN_EXE_depot-config"),
        file.display()
    );
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &command, "/dev/null"]);
    let output = run(&mut terminal, &answers());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(Depot::read(&file).unwrap().stations.len(), 25);
}
