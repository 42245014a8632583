//! The cloud: a modular monolith.

use std::process::ExitCode;

use clap::Parser as _;
use cloud_ingest::cli;

fn main() -> ExitCode {
    cli::run(cli::Cli::parse())
}
