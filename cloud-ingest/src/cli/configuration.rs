//! `cloud-ingest config …`: the configuration file, checked and explained.

use std::{path::PathBuf, process::ExitCode};

use clap::Subcommand;

use super::{Failure, read_config};
use crate::config::SCHEMA;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Check a file and start nothing.
    Check {
        /// The file.
        file: PathBuf,
    },
    /// Print a complete file to start from.
    Example,
    /// Print what each key means, as Markdown.
    Reference,
    /// Print the JSON Schema for editors.
    Schema,
}

pub(super) fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Check { file } => {
            read_config(&file)?;
            println!("{}: nothing is wrong with it", file.display());
        }
        Command::Example => print!("{}", config_file::example(&SCHEMA)),
        Command::Reference => print!("{}", config_file::reference(&SCHEMA)),
        Command::Schema => println!("{:#}", config_file::json_schema(&SCHEMA)),
    }
    Ok(ExitCode::SUCCESS)
}
