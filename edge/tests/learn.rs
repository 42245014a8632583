//! `edge learn` as a technician runs it: a car is recorded and its ECU scanned, the dash is read, a draft is written.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use firmware_config::profiles::PROFILES;

fn edge(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    command.current_dir(folder).arg("learn").args(arguments);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    text
}

/// An adapter with the LAWICEL commands in a car that talks: state of charge in byte 1, and an ECU at 7E4 that knows
/// 22 0103 and refuses the others. It serves as many connections as are asked for.
fn car(connections: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let interface = format!("slcan://{}", listener.local_addr().unwrap());
    let car = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            stream
                .set_read_timeout(Some(Duration::from_millis(10)))
                .unwrap();
            let (mut text, mut count) = (String::new(), 0u8);
            loop {
                let mut bytes = [0; 256];
                match stream.read(&mut bytes) {
                    Ok(0) => break,
                    Ok(length) => text.push_str(&String::from_utf8_lossy(&bytes[..length])),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
                let mut lines = format!("t3008{count:02X}A20000000000{:02X}\r", !count);
                count = count.wrapping_add(1);
                while let Some((line, rest)) = text.split_once('\r') {
                    if let Some(request) = line.strip_prefix("t7E480322") {
                        let id = request[..4].to_owned();
                        if id == "0103" {
                            write!(lines, "t7EC80562{id}1234AAAA\r").unwrap();
                        } else {
                            lines.push_str("t7EC8037F2231AAAAAAAA\r");
                        }
                        asked.push(id);
                    } else {
                        lines.push('\r');
                    }
                    text = rest.to_owned();
                }
                if stream.write_all(lines.as_bytes()).is_err() {
                    break;
                }
            }
        }
        asked
    });
    (interface, car)
}

#[test]
fn an_ecu_is_scanned_politely_and_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (interface, car) = car(3);
    let scan = |to: &str| {
        let scan = ["scan", &interface, "--request", "7E4", "--from", "0100"];
        let rest = ["--to", to, "--pause", "20", "--out", "ecu.txt"];
        said(&edge(folder.path(), &[&scan[..], &rest[..]].concat()))
    };
    assert!(scan("0102").starts_with("3 asked, 0 answered"));
    // A power cut in the middle of a line.
    let path = folder.path().join("ecu.txt");
    let text = std::fs::read_to_string(&path).unwrap() + "22010";
    std::fs::write(&path, text).unwrap();
    assert!(scan("0104").starts_with("2 asked, 1 answered"));
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains(' ')).collect();
    assert_eq!(
        lines,
        [
            "220100 7F2231",
            "220101 7F2231",
            "220102 7F2231",
            "220103 6201031234",
            "220104 7F2231"
        ]
    );
    // Once more, only what was answered.
    let again = ["scan", &interface, "--request", "7E4", "--only", "ecu.txt"];
    let again = said(&edge(
        folder.path(),
        &[&again[..], &["--out", "two.txt"]].concat(),
    ));
    assert!(again.starts_with("1 asked, 1 answered"), "{again}");
    let asked = car.join().unwrap();
    assert_eq!(asked, ["0100", "0101", "0102", "0103", "0104", "0103"]);
    // What may write is not scanned.
    let write = [
        "scan",
        "slcan://127.0.0.1:1",
        "--request",
        "7E4",
        "--service",
        "2E",
        "--out",
        "w.txt",
    ];
    assert!(!edge(folder.path(), &write).status.success());
}

#[test]
fn from_a_bus_and_the_dash_to_a_draft_that_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (interface, car) = car(2);
    for _ in 0..2 {
        let record = ["record", &interface, "--out", "short.log", "--seconds", "2"];
        assert!(said(&edge(folder.path(), &record)).contains("frames in short.log"));
    }
    assert_eq!(car.join().unwrap(), [] as [&str; 0], "nothing is sent");
    let guards = said(&edge(folder.path(), &["guards", "short.log"]));
    assert!(guards.contains("300: counter of "), "{guards}");

    // Nobody waits for half an hour: the long recording is written down.
    let mut log = String::new();
    let (soc, odometer, voltage) = (
        |second: u32| 80.0 - f64::from(second) / 100.0,
        |second: u32| 34_512.0 + f64::from(second) / 60.0,
        |second: u32| 380.0 - f64::from(second) / 75.0 + f64::from(second % 7) / 4.0,
    );
    for second in 0..1800u32 {
        let raw = [
            (soc(second) * 2.0) as u32,
            (odometer(second) * 10.0) as u32,
            (voltage(second) * 10.0) as u32,
        ];
        writeln!(
            log,
            "({second}.0) can0 1A0#{:02X}{:02X}00FF",
            second % 256,
            raw[0]
        )
        .unwrap();
        writeln!(log, "({second}.1) can0 2B4#00{:08X}", raw[1]).unwrap();
        writeln!(log, "({second}.2) can0 3C1#{:04X}5500", raw[2]).unwrap();
        // Somebody asks by the law's diagnostics meanwhile.
        if second % 20 == 0 {
            let told = ((soc(second) * 0.93 + 4.0) / 100.0 * 255.0) as u32;
            writeln!(log, "({second}.3) can0 7E8#03415B{told:02X}AAAAAAAA").unwrap();
        }
    }
    std::fs::write(folder.path().join("drive.log"), log).unwrap();
    let mut arguments = vec!["rank".to_owned(), "drive.log".to_owned()];
    for second in [60u32, 400, 900, 1300, 1750] {
        for (name, value) in [
            ("soc", soc(second)),
            ("odometer", odometer(second)),
            ("voltage", voltage(second)),
        ] {
            arguments.extend([
                "--reading".to_owned(),
                format!("{name}={:.0}@{second}.5", value.floor()),
            ]);
        }
    }
    arguments.extend(["--draft".to_owned(), "learnt".to_owned()]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ranked = said(&edge(folder.path(), &arguments));
    for begin in ["soc: 1A0 bit 8", "odometer: 2B4", "voltage: 3C1"] {
        let (name, _) = begin.split_once(':').unwrap();
        let first = ranked
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")));
        assert!(
            first.is_some_and(|line| line.starts_with(begin)),
            "{begin} in {ranked}"
        );
        let told =
            first.is_some_and(|line| line.ends_with("%; PID 5B agrees: confidence is higher"));
        assert_eq!(told, name == "soc", "{ranked}");
    }
    let draft = folder.path().join("learnt.toml");
    let text = std::fs::read_to_string(&draft).unwrap();
    assert_eq!(text.matches("# Confidence").count(), 3, "{text}");
    assert_eq!(text.matches("PID 5B agrees").count(), 1, "{text}");
    let profile = PROFILES
        .read(&draft)
        .unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(profile.dbc[0].signal.len(), 3);
    // Nothing is overwritten.
    assert!(!edge(folder.path(), &arguments).status.success());
}

#[test]
fn from_scans_and_the_dash_to_a_draft_that_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["rank-answers".to_owned()];
    let seen = [
        (81, 34_512, 371),
        (74, 34_540, 366),
        (66, 34_577, 359),
        (52, 34_640, 351),
        (93, 34_641, 388),
    ];
    for (number, (soc, odometer, voltage)) in seen.into_iter().enumerate() {
        let name = format!("scan-{number}.txt");
        let noise = number * 37 % 256;
        let scan = format!(
            "220100 7F2231\n220101 620101{noise:02X}{:02X}FF{:04X}\n220102 -\n220105 62010500{odometer:06X}{noise:02X}\n2201",
            soc * 2,
            voltage * 10
        );
        std::fs::write(folder.path().join(&name), scan).unwrap();
        let shown = format!("{name}:soc={soc},odometer={odometer},voltage={voltage}");
        arguments.extend(["--scan".to_owned(), shown]);
    }
    let rest = ["--request", "7E4", "--draft", "learnt"];
    arguments.extend(rest.map(str::to_owned));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ranked = said(&edge(folder.path(), &arguments));
    for begin in [
        "soc: 22 0101 bit 8 length 8",
        "odometer: 22 0105 bit ",
        "voltage: 22 0101 bit 24 length 16 Big endian, x 0.1",
    ] {
        let (name, _) = begin.split_once(':').unwrap();
        let first = ranked
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")));
        assert!(
            first.is_some_and(|line| line.starts_with(begin)),
            "{begin} in {ranked}"
        );
    }
    let draft = folder.path().join("learnt.toml");
    let text = std::fs::read_to_string(&draft).unwrap();
    assert_eq!(text.matches("# Confidence").count(), 3, "{text}");
    let profile = PROFILES
        .read(&draft)
        .unwrap_or_else(|faults| panic!("{faults}"));
    let signals = profile.command.iter().map(|command| command.signal.len());
    assert_eq!(signals.collect::<Vec<_>>(), [2, 1]);
    // Nothing is overwritten; what is no scan is told.
    assert!(!edge(folder.path(), &arguments).status.success());
    std::fs::write(folder.path().join("empty.txt"), "220100 7F2231\n").unwrap();
    let none = [
        "rank-answers",
        "--scan",
        "empty.txt:soc=81",
        "--request",
        "7E4",
    ];
    let none = edge(folder.path(), &none);
    let why = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(
        !none.status.success() && why.contains("expected the answers of a scan"),
        "{why}"
    );
}
