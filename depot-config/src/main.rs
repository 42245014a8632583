//! The command `depot-config`: checks depot files and device maps, and tells what may stand in them.

use std::{fmt::Display, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, ValueEnum};
use config_file::{Faults, Schema, example, json_schema, reference};
use depot_config::{depot, depot::Depot, devices, devices::DEVICES};

/// Checks depot files and device maps.
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
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
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
        Command::Devices { name } => list(name.as_deref()),
    }
}

fn check(kind: Kind, files: &[PathBuf]) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for file in files {
        let result: Result<Box<dyn Display>, Faults> = match kind {
            Kind::Depot => Depot::read(file).map(|depot| Box::new(Summary(depot)) as _),
            Kind::Device => DEVICES.read(file).map(|map| {
                Box::new(format!(
                    "{} {}: {} points",
                    map.manufacturer,
                    map.model,
                    map.points.len()
                )) as _
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

/// A depot in one line.
struct Summary(Depot);

impl Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(depot) = self;
        let most: f64 = depot
            .stations
            .iter()
            .map(|station| {
                station.max_current * depot.site.power_per_ampere(&station.phases) / 1000.0
            })
            .sum();
        write!(
            f,
            "{}: {} circuits, {} stations of {most:.1} kW together, {} meters, {} parking places",
            depot.site.name,
            depot.circuits.len(),
            depot.stations.len(),
            depot.meters.len(),
            depot.parkings.len()
        )
    }
}

fn schema(kind: Kind, json: bool, as_example: bool) {
    let schema: &'static Schema = match kind {
        Kind::Depot => &depot::SCHEMA,
        Kind::Device => &devices::SCHEMA,
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
        for name in DEVICES.names() {
            match DEVICES.shipped(name) {
                Some(Ok(map)) => println!("{name}: {} {}", map.manufacturer, map.model),
                Some(Err(faults)) => println!("{name}: {faults}"),
                None => {}
            }
        }
        return ExitCode::SUCCESS;
    };
    if let Some((_, text)) = DEVICES.shipped.iter().find(|(shipped, _)| *shipped == name) {
        print!("{text}");
        ExitCode::SUCCESS
    } else {
        eprintln!("expected the name of a device map that ships, found `{name}`");
        ExitCode::from(2)
    }
}
