//! A depot from answers to questions, each checked at once, and each group against what was answered before.

use std::io::{self, BufRead, Write};

use config_file::{Faults, Key, Kind, Schema, answer};
use toml::{Table, Value};

use crate::depot::{Depot, SCHEMA, Station};

/// Why there is no depot.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The input ended before all questions were answered.
    #[error("the answers ended before the last question: nothing is written")]
    Ended,
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

static PANELS: Key = Key::required(
    "panels",
    Kind::Integer { min: 1, max: 100 },
    "4",
    "How many panels (feeders below the main breaker).",
);
static STATIONS: Key = Key::required(
    "stations",
    Kind::Integer { min: 1, max: 2000 },
    "20",
    "How many charging stations in all; they are spread over the panels.",
);
static WIRING: Key = Key::required(
    "wiring",
    Kind::Choice(&["L-N", "L-L", "three-phase"]),
    "\"L-L\"",
    "How they are wired: between a phase and neutral, between two phases, or three-phase. The phases move on from \
     one station to the next.",
);
static FEEDER: Key = Key::required(
    "feeder_breaker",
    Kind::Integer { min: 6, max: 6300 },
    "125",
    "Rating of the breaker of each panel, per phase.",
)
.unit("A");
static BRANCH: Key = Key::required(
    "branch_breaker",
    Kind::Integer { min: 6, max: 6300 },
    "40",
    "Rating of the breaker of each station, per phase.",
)
.unit("A");

/// Asks the questions on `output`, reads the answers from `input`, and returns a depot that passes its check.
///
/// # Errors
/// The answers ended, or could not be read.
pub fn new(input: &mut impl BufRead, output: &mut impl Write) -> Result<Depot, NewError> {
    let mut talk = Talk { input, output };
    talk.say(
        "Each question says what is expected; an empty answer takes what stands in brackets.\n",
    )?;
    let mut depot = Table::new();
    talk.group(&mut depot, site)?;
    talk.group(&mut depot, contract)?;
    talk.group(&mut depot, supply)?;
    talk.group(&mut depot, stations)?;
    fallback(&mut talk, &mut depot)?;
    loop {
        // Each group was checked with those before it, so that this is sound but for a price table that vanished.
        match check(&depot) {
            Ok(depot) => return Ok(depot),
            Err(faults) => {
                talk.faults(&faults)?;
                fallback(&mut talk, &mut depot)?;
            }
        }
    }
}

struct Talk<'t, R, W> {
    input: &'t mut R,
    output: &'t mut W,
}

/// What is checked is what would be written.
fn check(depot: &Table) -> Result<Depot, Faults> {
    let text = config_file::print(depot, &SCHEMA).unwrap_or_default();
    Depot::parse(std::path::Path::new("depot.toml"), &text)
}

/// A key of the depot file by the path of its table (`meter.modbus`).
fn key(path: &str, name: &str) -> &'static Key {
    let mut schema: &'static Schema = &SCHEMA;
    for table in path.split('.') {
        let inner = schema.key(table).and_then(|key| match key.kind {
            Kind::Table(inner) | Kind::Tables(inner) => Some(inner),
            _ => None,
        });
        schema = inner.expect("the questions name tables of the depot file");
    }
    schema
        .key(name)
        .expect("the questions name keys of the depot file")
}

impl<R: BufRead, W: Write> Talk<'_, R, W> {
    fn say(&mut self, text: &str) -> Result<(), NewError> {
        writeln!(self.output, "{text}")?;
        Ok(())
    }

    fn faults(&mut self, faults: &Faults) -> Result<(), NewError> {
        for fault in faults.as_slice() {
            let hint = match fault.hint.as_str() {
                "" => String::new(),
                hint => format!(" ({hint})"),
            };
            self.say(&format!("  ! {}: {}{hint}", fault.key, fault.problem))?;
        }
        Ok(())
    }

    /// Asks until the answer is of the key's kind. An empty one takes the default; without a default that is
    /// another try, unless the answer may be absent.
    fn ask(
        &mut self,
        key: &'static Key,
        default: Option<&str>,
        needed: bool,
    ) -> Result<Option<Value>, NewError> {
        loop {
            let unit = if key.unit.is_empty() {
                String::new()
            } else {
                format!(" in {}", key.unit)
            };
            let shown = match default {
                Some(default) => format!(" [{default}]"),
                None if needed => format!(" (such as {})", key.example.trim_matches('"')),
                None => " [none]".to_owned(),
            };
            write!(self.output, "{}{unit}{shown}\n> ", key.about)?;
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(NewError::Ended);
            }
            let text = match (line.trim(), default) {
                ("", Some(default)) => default,
                ("", None) if !needed => return Ok(None),
                (text, _) => text,
            };
            match answer(key, text) {
                Ok(value) => return Ok(Some(value)),
                Err(fault) => self.say(&format!("  ! {fault}"))?,
            }
        }
    }

    fn put(
        &mut self,
        table: &mut Table,
        key: &'static Key,
        default: Option<&str>,
    ) -> Result<(), NewError> {
        if let Some(value) = self.ask(key, default, true)? {
            table.insert(key.name.to_owned(), value);
        }
        Ok(())
    }

    fn whole(&mut self, key: &'static Key, default: &str) -> Result<usize, NewError> {
        let value = self.ask(key, Some(default), true)?;
        Ok(value
            .and_then(|value| value.as_integer())
            .map_or(0, |value| value as usize))
    }

    /// Asks a group of questions until the depot that they complete has no fault.
    fn group(
        &mut self,
        depot: &mut Table,
        ask: fn(&mut Self, &mut Table) -> Result<(), NewError>,
    ) -> Result<(), NewError> {
        loop {
            let mut tried = depot.clone();
            ask(self, &mut tried)?;
            match check(&tried) {
                Ok(_) => {
                    *depot = tried;
                    return Ok(());
                }
                Err(faults) => {
                    self.faults(&faults)?;
                    self.say("These answers do not fit together; once more, please.\n")?;
                }
            }
        }
    }
}

fn site<R: BufRead, W: Write>(
    talk: &mut Talk<'_, R, W>,
    depot: &mut Table,
) -> Result<(), NewError> {
    let mut site = Table::new();
    talk.put(&mut site, key("depot", "id"), None)?;
    talk.put(&mut site, key("depot", "name"), None)?;
    talk.put(
        &mut site,
        key("depot", "time_zone"),
        Some("America/Mexico_City"),
    )?;
    talk.put(&mut site, key("depot", "latitude"), None)?;
    talk.put(&mut site, key("depot", "longitude"), None)?;
    talk.put(&mut site, key("depot", "voltage_system"), Some("220Y/127"))?;
    talk.put(&mut site, key("depot", "holiday_calendar"), Some("mx"))?;
    depot.insert("depot".to_owned(), Value::Table(site));
    Ok(())
}

fn contract<R: BufRead, W: Write>(
    talk: &mut Talk<'_, R, W>,
    depot: &mut Table,
) -> Result<(), NewError> {
    talk.say("\nThe contract with the utility; no contracted demand leaves it out.")?;
    let mut contract = Table::new();
    let Some(demand) = talk.ask(key("contract", "demand"), None, false)? else {
        return Ok(());
    };
    contract.insert("demand".to_owned(), demand);
    talk.put(&mut contract, key("contract", "tariff"), Some("GDMTH"))?;
    talk.put(&mut contract, key("contract", "division"), None)?;
    if let Some(prices) = talk.ask(key("contract", "prices"), None, false)? {
        contract.insert("prices".to_owned(), prices);
    }
    depot.insert("contract".to_owned(), Value::Table(contract));
    Ok(())
}

fn supply<R: BufRead, W: Write>(
    talk: &mut Talk<'_, R, W>,
    depot: &mut Table,
) -> Result<(), NewError> {
    talk.say("\nThe main breaker, on the side of the depot.")?;
    let mut main = Table::new();
    main.insert("id".to_owned(), Value::from("main"));
    talk.put(&mut main, key("circuit", "breaker"), None)?;
    talk.put(&mut main, key("circuit", "reserved"), Some("0"))?;
    talk.say("A transformer of the depot's own; no power leaves it out.")?;
    if let Some(power) = talk.ask(key("circuit.transformer", "power"), None, false)? {
        let mut transformer = Table::new();
        transformer.insert("power".to_owned(), power);
        let system = depot
            .get("depot")
            .and_then(|site| site.get("voltage_system"))
            .cloned()
            .unwrap_or_else(|| Value::from("220Y/127"));
        transformer.insert("voltage_system".to_owned(), system);
        main.insert("transformer".to_owned(), Value::Table(transformer));
    }
    depot.insert("circuit".to_owned(), Value::Array(vec![Value::Table(main)]));
    let mut gateway = Table::new();
    talk.put(&mut gateway, key("gateway", "id"), None)?;
    depot.insert(
        "gateway".to_owned(),
        Value::Array(vec![Value::Table(gateway)]),
    );
    let mut meter = Table::new();
    talk.say("The meter at the main breaker; no address leaves it out.")?;
    if let Some(address) = talk.ask(key("meter.modbus", "address"), None, false)? {
        meter.insert("id".to_owned(), Value::from("grid"));
        meter.insert("circuit".to_owned(), Value::from("main"));
        let mut unit = Table::new();
        unit.insert("address".to_owned(), address);
        talk.put(&mut unit, key("meter.modbus", "unit"), Some("1"))?;
        talk.put(&mut unit, key("meter.modbus", "map"), None)?;
        meter.insert("modbus".to_owned(), Value::Table(unit));
        depot.insert("meter".to_owned(), Value::Array(vec![Value::Table(meter)]));
    }
    Ok(())
}

fn stations<R: BufRead, W: Write>(
    talk: &mut Talk<'_, R, W>,
    depot: &mut Table,
) -> Result<(), NewError> {
    talk.say("\nThe stations. They connect to the gateway by OCPP; those with a device map can be told so in the file.")?;
    let panels = talk.whole(&PANELS, "1")?;
    let feeder = talk.ask(&FEEDER, None, true)?;
    let count = talk.whole(&STATIONS, "10")?;
    let wiring = talk.ask(&WIRING, Some("L-L"), true)?;
    let connectors = talk.ask(key("station", "connectors"), None, true)?;
    let most = talk.ask(key("station", "max_current"), Some("32"), true)?;
    let branch = talk.ask(&BRANCH, Some("40"), true)?;
    let rotation: [&str; 3] = match wiring.as_ref().and_then(Value::as_str) {
        Some("L-N") => ["L1", "L2", "L3"],
        Some("three-phase") => ["L1-L2-L3", "L2-L3-L1", "L3-L1-L2"],
        _ => ["L1-L2", "L2-L3", "L3-L1"],
    };
    let mut circuits = depot
        .get("circuit")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let (mut stations, mut parkings) = (Vec::new(), Vec::new());
    let table = |entries: &[(&str, Value)]| {
        let entries = entries
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Table(entries.collect())
    };
    let digits = count.to_string().len().max(2);
    for panel in 1..=panels {
        circuits.push(table(&[
            ("id", Value::from(format!("panel-{panel}"))),
            ("parent", Value::from("main")),
            ("breaker", feeder.clone().unwrap_or(Value::from(0))),
        ]));
        for number in 1 + (panel - 1) * count / panels..=panel * count / panels {
            let phases = rotation[(number - 1) % 3];
            let id = |what: &str| Value::from(format!("{what}-{number:0digits$}"));
            circuits.push(table(&[
                ("id", id("branch")),
                ("parent", Value::from(format!("panel-{panel}"))),
                ("breaker", branch.clone().unwrap_or(Value::from(0))),
                ("phases", Value::from(phases)),
            ]));
            stations.push(table(&[
                ("id", id("station")),
                ("circuit", id("branch")),
                ("phases", Value::from(phases)),
                (
                    "connectors",
                    connectors.clone().unwrap_or(Value::Array(Vec::new())),
                ),
                ("max_current", most.clone().unwrap_or(Value::from(0))),
                ("fallback_current", Value::from(0)),
                (
                    "ocpp",
                    table(&[("id", Value::from(format!("CP-{number:0digits$}")))]),
                ),
            ]));
            parkings.push(table(&[("id", id("p")), ("station", id("station"))]));
        }
    }
    depot.insert("circuit".to_owned(), Value::Array(circuits));
    depot.insert("station".to_owned(), Value::Array(stations));
    depot.insert("parking".to_owned(), Value::Array(parkings));
    // Whether they may all be at 0 A is asked when their fall-back is.
    set_fallback(depot, 0.0);
    Ok(())
}

fn set_fallback(depot: &mut Table, current: f64) {
    if let Some(stations) = depot.get_mut("station").and_then(Value::as_array_mut) {
        for station in stations.iter_mut().filter_map(Value::as_table_mut) {
            station.insert("fallback_current".to_owned(), Value::from(current));
        }
    }
    if let Some(site) = depot.get_mut("depot").and_then(Value::as_table_mut) {
        if current == 0.0 {
            site.insert("stops_without_gateway".to_owned(), Value::from(true));
        } else {
            site.remove("stops_without_gateway");
        }
    }
}

/// The fall-back is asked last: the greatest at which every breaker and the contract hold is offered.
fn fallback<R: BufRead, W: Write>(
    talk: &mut Talk<'_, R, W>,
    depot: &mut Table,
) -> Result<(), NewError> {
    let most = check(depot)
        .ok()
        .and_then(|depot| {
            depot
                .stations
                .first()
                .map(|station: &Station| station.max_current)
        })
        .unwrap_or(0.0);
    let mut best = 0.0;
    for current in 6..=most as i64 {
        let mut tried = depot.clone();
        set_fallback(&mut tried, current as f64);
        if check(&tried).is_err() {
            break;
        }
        best = current as f64;
    }
    if best == 0.0 {
        talk.say("\nNo station could charge by itself without a breaker or the contract being in danger: 0 A stops them all.")?;
    }
    loop {
        talk.say("")?;
        let value = talk.ask(
            key("station", "fallback_current"),
            Some(&best.to_string()),
            true,
        )?;
        let current = value.and_then(|v| v.as_float().or_else(|| v.as_integer().map(|i| i as f64)));
        let mut tried = depot.clone();
        set_fallback(&mut tried, current.unwrap_or(0.0));
        match check(&tried) {
            Ok(sound) => {
                let alone = sound.fallback();
                talk.say(&format!(
                    "{} of {} stations still charge without their gateway.",
                    alone.charging,
                    sound.stations.len()
                ))?;
                *depot = tried;
                return Ok(());
            }
            Err(faults) => talk.faults(&faults)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::depot::Phases;

    #[test]
    fn every_key_that_is_asked_is_there() {
        for (table, name) in [
            ("depot", "id"),
            ("contract", "demand"),
            ("circuit", "breaker"),
            ("circuit.transformer", "power"),
            ("meter.modbus", "map"),
            ("station", "fallback_current"),
            ("gateway", "id"),
        ] {
            assert_eq!(key(table, name).name, name);
        }
        for phases in ["L1", "L2-L3", "L3-L1-L2"] {
            assert!(Phases::TEXTS.contains(&phases));
        }
    }
}
