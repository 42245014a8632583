//! A plan travels with what the fleet assumes of cars of which it says nothing: `telemetry` carries plans, `charging` knows what
//! is assumed, and neither knows the other.

use std::borrow::Cow;

use charging::Assumed;
use platform::DbError;
use shared_protocol::GatewayId;
use tokio_postgres::Client;

/// The argument of a command as it is queued: a plan that does not say what is assumed of other cars gets the safe default of
/// the organisation whose gateway this is. Any other command is what it was.
///
/// # Errors
/// The database is out of reach.
pub async fn argument<'a>(
    client: &Client,
    gateway: &GatewayId,
    (kind, argument): (&str, &'a str),
) -> Result<Cow<'a, str>, DbError> {
    if kind != "plan" {
        return Ok(Cow::Borrowed(argument));
    }
    let Assumed {
        energy_wh,
        leaves_after_s,
    } = charging::assumed_at(client, gateway.as_str()).await?;
    // Neither is ever negative: the database does not take that.
    let assumed = shared_protocol::Assumed {
        energy_wh: energy_wh.cast_unsigned(),
        leaves_after_s: leaves_after_s.cast_unsigned(),
    };
    Ok(telemetry::plan::assuming(argument, assumed))
}
