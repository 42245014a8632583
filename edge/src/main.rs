//! `edge`: the depot gateway, and the technician's tools that come with it.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
