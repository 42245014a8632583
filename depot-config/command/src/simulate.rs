//! What `simulate` does: a depot file is tried against a recorded day, with the manager that holds the limits at the depot.
//!
//! | file | subject |
//! |---|---|
//! | `simulate/day.rs` | the file of a day |
//! | `simulate/yard.rs` | cars, circuits and meters, second by second |
//! | `simulate/report.rs` | what came of it |

mod day;
mod report;
mod yard;

use std::{error::Error, path::Path, process::ExitCode};

use config_file::Fault;
use depot_config::depot::Depot;

/// Tries a depot against a day; status 1 when a car was not full, or a limit was not held.
pub(crate) fn simulate(
    depot: &Path,
    day: &Path,
    departures: bool,
    json: bool,
) -> Result<ExitCode, Box<dyn Error>> {
    let depot = Depot::read(depot)?;
    let text = std::fs::read_to_string(day)
        .map_err(|error| Fault::of_file(day, &format!("it cannot be read: {error}")).to_string())?;
    let day = day::read(day, &text, &depot)?;
    let report = yard::simulate(&depot, &day, departures)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{report}");
    }
    Ok(ExitCode::from(u8::from(!report.holds())))
}
