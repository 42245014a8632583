//! Vehicle profiles of WiCAN: requests with the commands that set the adapter up, and formulas over the bytes of the
//! answer's frames, the control bytes of ISO-TP included.

use serde_json::Value;

use super::{
    Asked, Commands,
    expression::{self, Names},
    signal,
};

pub(super) fn read(text: &str, commands: &mut Commands) -> Result<(), String> {
    let profile: Value =
        serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let pids = profile["pids"]
        .as_array()
        .ok_or("not a vehicle profile of WiCAN: it has no array `pids`")?;
    let general = header(&profile["init"]);
    for (number, pid) in pids.iter().enumerate() {
        let place = format!("pids[{number}]");
        let header = header(&pid["pid_init"]).or_else(|| general.clone());
        let (Some(header), Some(payload)) = (header, pid["pid"].as_str()) else {
            commands.note(
                &place,
                "expected a request, and ATSH in `pid_init` or `init`",
            );
            continue;
        };
        // An odd digit at the end is the number of frames that the adapter waits for.
        let payload = &payload[..payload.len() / 2 * 2];
        let parameters = parameters(&pid["parameters"]);
        if parameters.is_empty() {
            commands.note(&place, "expected parameters with a name and an expression");
        }
        let several = parameters.iter().any(|(_, formula, _)| {
            let numbers = formula.split(|c: char| !c.is_ascii_alphanumeric());
            numbers
                .filter_map(|word| word.strip_prefix(['B', 'S'])?.parse::<u32>().ok())
                .any(|byte| byte > 7)
        });
        for (name, formula, unit) in parameters {
            let place = format!("{place} `{name}`");
            let taken = Asked::new(&header, payload).and_then(|asked| {
                let before = 1 + asked.identifier.len() as u32;
                let linear = expression::read(&formula, Names::Numbers, |byte| {
                    in_message(byte, several)?.checked_sub(before)
                })?;
                Ok((asked, signal(&name, &unit, &linear, [None, None])))
            });
            match taken {
                Ok((asked, signal)) => commands.add(&place, asked, signal),
                Err(why) => commands.note(&place, why),
            }
        }
    }
    Ok(())
}

/// The place in the message of a byte of its frames; `None` for a control byte. That an answer has several frames is seen
/// by a formula that reads beyond the first.
fn in_message(byte: u32, several: bool) -> Option<u32> {
    match (byte / 8, byte % 8) {
        (0, at) if !several => at.checked_sub(1),
        (0, at) => at.checked_sub(2),
        (frame, at) => Some(6 + (frame - 1) * 7 + at.checked_sub(1)?),
    }
}

/// The identifier that `ATSH` sets.
fn header(init: &Value) -> Option<String> {
    let commands = init
        .as_str()?
        .split(';')
        .map(|command| command.replace(' ', ""));
    commands
        .filter_map(|command| {
            command
                .to_ascii_uppercase()
                .strip_prefix("ATSH")
                .map(str::to_owned)
        })
        .next_back()
}

/// Name, expression and unit, from either form: a list of objects, or an object of expressions.
fn parameters(value: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match value {
        Value::Array(list) => list
            .iter()
            .filter(|entry| entry["name"].is_string() && entry["expression"].is_string())
            .map(|entry| {
                (
                    text(&entry["name"]),
                    text(&entry["expression"]),
                    text(&entry["unit"]),
                )
            })
            .collect(),
        Value::Object(map) => map
            .iter()
            .map(|(name, formula)| (name.clone(), text(formula), String::new()))
            .collect(),
        _ => Vec::new(),
    }
}
