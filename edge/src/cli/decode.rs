//! `edge decode`: recordings into values, as JSON lines.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use vehicles::offline::{Reassembly, decode_answers, decode_log};

use super::Failure;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// DBC file for a recorded bus.
    #[arg(long, requires = "log", conflicts_with = "profile")]
    dbc: Option<PathBuf>,
    /// Recorded bus: GVRET CSV, candump, Vector ASC or PCAN TRC; `-` is standard input. Prints
    /// {"time_us", "bus", "signal", "value"} for every decoded value.
    #[arg(long, requires = "dbc")]
    log: Option<PathBuf>,
    /// Vehicle profile (TOML) or OBDb signal set (JSON) for recorded answers.
    #[arg(long, requires = "answers")]
    profile: Option<PathBuf>,
    /// Recorded answers of ECUs, one JSON object a line with `cmd` and `frames` (or `lines`); `-` is standard input.
    /// Prints {"cmd", "values"} for each, with `error` where something was wrong.
    #[arg(long, requires = "profile")]
    answers: Option<PathBuf>,
    /// Join the frames of an answer however they come, damaged or not: to compare with tools that do so. Values can be
    /// wrong; without it, what is not whole is an error.
    #[arg(long, requires = "answers")]
    as_recorded: bool,
}

pub(super) fn decode(arguments: &Arguments) -> Result<(), Failure> {
    let out = BufWriter::new(io::stdout().lock());
    let written = match (
        &arguments.dbc,
        &arguments.log,
        &arguments.profile,
        &arguments.answers,
    ) {
        (Some(dbc), Some(log), ..) => bus(dbc, log, out)?,
        (.., Some(profile), Some(answers)) => ecus(profile, answers, arguments.as_recorded, out)?,
        _ => {
            return Err(Failure::Input(
                "give --dbc and --log, or --profile and --answers".into(),
            ));
        }
    };
    match written {
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::running),
    }
}

fn bus(dbc: &Path, log: &Path, mut out: impl Write) -> Result<io::Result<()>, Failure> {
    let definition = fs::read(dbc).map_err(|error| named(dbc, &error))?;
    let values = decode_log(&definition, lines(log)?);
    for warning in values.warnings() {
        eprintln!("{}: {warning}", dbc.display());
    }
    for value in values {
        let line = match value {
            Ok(value) => serde_json::json!({
                "time_us": value.time_us, "bus": value.bus, "signal": &*value.signal, "value": value.value
            }),
            Err(error) => {
                eprintln!("{}: {error}", log.display());
                continue;
            }
        };
        if let Err(error) = writeln!(out, "{line}") {
            return Ok(Err(error));
        }
    }
    Ok(out.flush())
}

fn ecus(
    profile: &Path,
    answers: &Path,
    as_recorded: bool,
    mut out: impl Write,
) -> Result<io::Result<()>, Failure> {
    let text = fs::read_to_string(profile).map_err(|error| named(profile, &error))?;
    let name = profile.display().to_string();
    let reassembly = if as_recorded {
        Reassembly::AsRecorded
    } else {
        Reassembly::Strict
    };
    let results =
        decode_answers(&name, &text, reassembly, lines(answers)?).map_err(Failure::input)?;
    for line in results {
        if let Err(error) = writeln!(out, "{line}") {
            return Ok(Err(error));
        }
    }
    Ok(out.flush())
}

fn named(path: &Path, error: &io::Error) -> Failure {
    Failure::Input(format!("{}: {error}", path.display()))
}

/// The lines of a file, whatever bytes are in them; reading ends where the file cannot be read any further.
fn lines(path: &Path) -> Result<impl Iterator<Item = String>, Failure> {
    let input: Box<dyn io::Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(path).map_err(|error| named(path, &error))?)
    };
    let path = path.to_owned();
    Ok(BufReader::with_capacity(1 << 16, input)
        .split(b'\n')
        .map_while(move |line| match line {
            Ok(line) => Some(String::from_utf8_lossy(&line).into_owned()),
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                None
            }
        }))
}
