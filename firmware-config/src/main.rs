//! The command `firmware-config`: checks what a gateway is told, and tells what may stand in its files.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand, ValueEnum};
use config_file::{Faults, Schema, example, json_schema, reference};
use firmware_config::{
    gateway::{self, Gateway},
    import,
    profiles::{self, PROFILES},
};

/// Checks gateway configurations and vehicle profiles.
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
        #[arg(value_enum)]
        kind: Kind,
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Prints what may stand in a file.
    Schema {
        /// Of which file.
        #[arg(value_enum)]
        kind: Kind,
        /// As JSON Schema, for editors.
        #[arg(long, conflicts_with = "example")]
        json: bool,
        /// As a file that uses every key once.
        #[arg(long)]
        example: bool,
    },
    /// Prints a definition made elsewhere as a vehicle profile, and on standard error what of it could not be taken over.
    Import {
        /// What the file is.
        #[arg(value_enum)]
        format: Format,
        /// The file.
        file: PathBuf,
        /// What people call this kind of vehicle; the file's name if absent.
        #[arg(long)]
        name: Option<String>,
    },
    /// Lists the vehicle profiles that ship, or prints one.
    Profiles {
        /// The one to print.
        name: Option<String>,
    },
}

/// A kind of file.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// The configuration of a gateway.
    Gateway,
    /// The profile of a vehicle.
    Profile,
}

/// A kind of definition made elsewhere.
#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A signal set of OBDb (JSON).
    Obdb,
    /// A list of PIDs of Torque (CSV).
    Torque,
    /// A vehicle profile of WiCAN (JSON).
    Wican,
    /// A DBC file.
    Dbc,
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Check { kind, files } => check(kind, &files),
        Command::Schema {
            kind,
            json,
            example,
        } => {
            schema(kind, json, example);
            ExitCode::SUCCESS
        }
        Command::Import { format, file, name } => take_over(format, &file, name),
        Command::Profiles { name } => list(name.as_deref()),
    }
}

fn take_over(format: Format, file: &Path, name: Option<String>) -> ExitCode {
    let format = match format {
        Format::Obdb => import::Format::Obdb,
        Format::Torque => import::Format::Torque,
        Format::Wican => import::Format::Wican,
        Format::Dbc => import::Format::Dbc,
    };
    let stem = || {
        file.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let name = name.unwrap_or_else(stem);
    let imported = std::fs::read(file)
        .map_err(|error| format!("{}: {error}", file.display()))
        .and_then(|bytes| import::import(format, &name, &file.display().to_string(), &bytes))
        .and_then(|imported| {
            let text = toml::to_string(&imported.profile).map_err(|error| error.to_string())?;
            Ok((text, imported.notes))
        });
    match imported {
        Ok((text, notes)) => {
            print!("{text}");
            for note in notes {
                eprintln!("{}: {note}", file.display());
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn check(kind: Kind, files: &[PathBuf]) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for file in files {
        let result: Result<String, Faults> = match kind {
            Kind::Gateway => Gateway::read(file).map(|gateway| summary(&gateway)),
            Kind::Profile => PROFILES.open(file).map(|(profile, spans)| {
                for warning in profiles::warnings(&profile, &spans) {
                    eprintln!("{warning}");
                }
                format!(
                    "{}: {} DBC files, {} commands",
                    profile.name,
                    profile.dbc.len(),
                    profile.command.len()
                )
            }),
        };
        match result {
            Ok(summary) => println!("{}: sound: {summary}", file.display()),
            Err(faults) => {
                eprintln!("{faults}");
                status = ExitCode::from(2);
            }
        }
    }
    status
}

fn summary(gateway: &Gateway) -> String {
    let devices: usize = gateway.modbus.iter().map(|line| line.devices.len()).sum();
    format!(
        "gateway {} at {}: {} CAN buses, {} Modbus lines with {devices} devices",
        gateway.id,
        gateway.cloud.broker,
        gateway.can.len(),
        gateway.modbus.len()
    )
}

fn schema(kind: Kind, json: bool, as_example: bool) {
    let schema: &'static Schema = match kind {
        Kind::Gateway => &gateway::SCHEMA,
        Kind::Profile => &profiles::SCHEMA,
    };
    if json {
        println!("{:#}", json_schema(schema));
    } else if as_example {
        print!("{}", example(schema));
    } else {
        print!("{}", reference(schema));
    }
}

fn list(name: Option<&str>) -> ExitCode {
    let Some(name) = name else {
        for name in PROFILES.names() {
            match PROFILES.shipped(name) {
                Some(Ok(profile)) => println!("{name}: {}", profile.name),
                Some(Err(faults)) => println!("{name}: {faults}"),
                None => {}
            }
        }
        return ExitCode::SUCCESS;
    };
    if let Some((_, text)) = PROFILES
        .shipped
        .iter()
        .find(|(shipped, _)| *shipped == name)
    {
        print!("{text}");
        ExitCode::SUCCESS
    } else {
        eprintln!("expected the name of a vehicle profile that ships, found `{name}`");
        ExitCode::from(2)
    }
}
