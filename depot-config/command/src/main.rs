//! The command `depot-config`: checks depot files, tariffs and device maps, draws and compares depots, and tells what
//! may stand in the files; reads depots from the cloud and writes them to it.

mod commands;
mod installer;
mod probe;
mod simulate;
mod sync;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use depot_config::{
    depot::Depot,
    diff::diff,
    draw::{svg, terminal},
};
use shared_protocol::VerifyingKey;

/// Checks, draws and compares depot files; keeps tariffs and device maps.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks files; prints every fault as file:line:column and ends with status 2 when there is one.
    Check {
        /// What the files are.
        #[arg(long, value_enum, default_value = "depot")]
        kind: Kind,
        /// Prints what every circuit carries when all stations fall back by themselves.
        #[arg(long)]
        sums: bool,
        /// The installer's public key (64 hexadecimal digits): a depot whose ratings are not signed by it has a fault.
        #[arg(long, value_parser = VerifyingKey::from_hex)]
        installer: Option<VerifyingKey>,
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Signs what the breakers, transformers and stations of a depot are, into DEPOT.ratings beside the depot file; says
    /// what is signed anew. A gateway that is told the installer's key takes no depot with more than that.
    Sign {
        /// File with the installer's secret key (edge keygen makes one). It belongs to no cloud and to no gateway.
        #[arg(long)]
        key: PathBuf,
        /// The depot.
        file: PathBuf,
    },
    /// Draws the single-line diagram of a depot.
    Draw {
        /// As SVG; without it, for the terminal.
        #[arg(long)]
        svg: bool,
        /// Writes the drawing to a file.
        #[arg(long)]
        out: Option<PathBuf>,
        /// The depot.
        file: PathBuf,
    },
    /// Tries a depot against a recorded day, with the manager that holds the limits at the depot: peak demand, minutes at
    /// limit, cars that were not full. Ends with status 1 when a car was not, or a limit was not held. What stands in the
    /// file of a day is told in depot-config/days/README.md.
    Simulate {
        /// The depot.
        #[arg(long)]
        depot: PathBuf,
        /// The day, a CSV file.
        #[arg(long)]
        day: PathBuf,
        /// The manager knows when cars leave and what they want.
        #[arg(long)]
        departures: bool,
        /// Prints JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tells by key what changed between two depots; ends with status 1 when something did.
    Diff {
        /// The old one.
        old: PathBuf,
        /// The new one.
        new: PathBuf,
    },
    /// Asks the questions for a new depot and writes its file.
    New {
        /// The file to write; it must not be there yet.
        file: PathBuf,
    },
    /// Writes a depot of the cloud to a file, with the files that it names beside it. A file that is there is
    /// replaced only if the cloud had it as it is. Which version it goes back to is kept in FILE.cloud.
    Import {
        /// The depot's id.
        name: String,
        /// The file to write; NAME.toml if absent.
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        cloud: sync::Where,
    },
    /// Writes a depot file to the cloud, if the cloud still has the version that the file goes back to; ends with
    /// status 1, and shows what differs, when somebody else wrote meanwhile.
    Push {
        /// The depot.
        file: PathBuf,
        /// Replaces this version of the cloud though the file does not go back to it.
        #[arg(long)]
        over: Option<u32>,
        #[command(flatten)]
        cloud: sync::Where,
    },
    /// Shows and imports tariffs.
    Tariffs {
        #[command(subcommand)]
        command: commands::Tariffs,
    },
    /// Prints what may stand in a file.
    Schema {
        /// Of which file.
        #[arg(value_enum, default_value = "depot")]
        kind: Kind,
        /// As JSON Schema, for editors.
        #[arg(long, conflicts_with = "example")]
        json: bool,
        /// As a file that uses every key once.
        #[arg(long)]
        example: bool,
    },
    /// Reads a device with each map that ships, writes nothing, and says which fits; ends with status 1 when none does.
    Probe {
        #[command(flatten)]
        place: probe::Where,
    },
    /// Lists the device maps that ship, or prints one.
    Devices {
        /// The one to print.
        name: Option<String>,
    },
}

/// A kind of file.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A depot: circuits, stations, meters.
    Depot,
    /// The map of a Modbus device.
    Device,
    /// A tariff book: hours and charges.
    Tariff,
    /// A holiday calendar.
    Holidays,
    /// A price table.
    Prices,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run(command: Command) -> Result<ExitCode, Box<dyn std::error::Error>> {
    match command {
        Command::Check {
            kind,
            sums,
            installer,
            files,
        } => Ok(commands::check(kind, sums, installer.as_ref(), &files)),
        Command::Sign { key, file } => {
            installer::sign(&file, &key)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Draw {
            svg: as_svg,
            out,
            file,
        } => {
            let depot = Depot::read(&file)?;
            let drawing = if as_svg {
                svg(&depot)
            } else {
                terminal(&depot)
            };
            match out {
                Some(out) => std::fs::write(&out, drawing)
                    .map_err(|error| format!("{}: it cannot be written: {error}", out.display()))?,
                None => print!("{drawing}"),
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Simulate {
            depot,
            day,
            departures,
            json,
        } => simulate::simulate(&depot, &day, departures, json),
        Command::Diff { old, new } => {
            let changes = diff(&Depot::read(&old)?, &Depot::read(&new)?);
            for change in &changes {
                println!("{change}");
            }
            Ok(ExitCode::from(u8::from(!changes.is_empty())))
        }
        Command::New { file } => {
            if file.exists() {
                return Err(
                    format!("{}: expected a file that is not there yet", file.display()).into(),
                );
            }
            let depot = depot_config::new::new(&mut io::stdin().lock(), &mut io::stdout().lock())?;
            commands::write_new(&file, &depot.print())?;
            println!("{}: written: {}", file.display(), commands::summary(&depot));
            Ok(ExitCode::SUCCESS)
        }
        Command::Import { name, out, cloud } => sync::import(&name, out, &cloud),
        Command::Push { file, over, cloud } => sync::push(&file, over, &cloud),
        Command::Tariffs { command } => commands::tariffs(command),
        Command::Schema {
            kind,
            json,
            example,
        } => {
            commands::schema(kind, json, example);
            Ok(ExitCode::SUCCESS)
        }
        Command::Probe { place } => probe::probe(&place),
        Command::Devices { name } => Ok(commands::devices(name.as_deref())),
    }
}
