//! The catalogue of signals.

use axum::Json;
use serde::Serialize;
use shared_protocol::{Class, catalogue};
use utoipa::ToSchema;
use web::{List, Params, Problem, Problems};

/// A signal that is known by name.
#[derive(Debug, Serialize, ToSchema)]
pub struct Signal {
    /// Its number; never changes.
    #[schema(example = 1)]
    id: u16,
    /// Its name, as `standard` has it.
    #[schema(example = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current")]
    name: &'static str,
    /// Whose name it is.
    #[schema(value_type = String, example = "vss")]
    standard: shared_protocol::Standard,
    /// The unit of its values; `1` for states and counts.
    #[schema(example = "percent")]
    unit: &'static str,
    /// The step in which values are kept, in the unit.
    resolution: f64,
    /// Least value that can be true, in the unit.
    least: f64,
    /// Greatest value that can be true, in the unit.
    greatest: f64,
    /// How fast it reaches the cloud: `critical`, `live` or `bulk`.
    #[schema(value_type = String, example = "live")]
    class: Class,
    /// Name of its column in the database.
    #[schema(example = "state_of_charge")]
    column: &'static str,
    /// What it is.
    about: &'static str,
}

/// The catalogue: every signal that is known by name, in one page. Assets may have others, under the names of the
/// devices that they come from.
#[utoipa::path(
    get, path = "/v1/signals", tag = "catalogue",
    security(("bearer" = ["telemetry.read"]), ("page" = ["telemetry.read"])),
    responses((status = 200, body = List<Signal>, description = "All of them."), Problems)
)]
pub async fn list(params: Params) -> Result<Json<List<Signal>>, Problem> {
    params.only(&[])?;
    let items = catalogue()
        .signals()
        .iter()
        .map(|signal| Signal {
            id: signal.id.0,
            name: &signal.name,
            standard: signal.standard,
            unit: &signal.unit,
            resolution: signal.resolution.to_f64(),
            least: signal.range.0.to_f64(),
            greatest: signal.range.1.to_f64(),
            class: signal.class,
            column: &signal.column,
            about: &signal.about,
        })
        .collect();
    Ok(Json(List { items, next: None }))
}
