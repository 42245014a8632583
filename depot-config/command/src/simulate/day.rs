//! The file of a day: CSV with a line of names, in the order of time. Blank lines and lines that begin with # say nothing.
//!
//! ```text
//! time,circuit,l1,l2,l3,station,leaves,kwh,amperes,phases
//! 12:00,main,18,17.5,21,,,,,
//! 16:40,,,,,station-03,29:30,22.5,32,1
//! ```
//!
//! The day begins at the time of its first line and lasts 24 hours; hours from 24 on are those of the next day. A line is
//! one of two things:
//!
//! - `circuit`, `l1`, `l2`, `l3`: from this time on, what flows into the circuit besides stations and the circuits of the
//!   depot file below it, by phase, in A. An empty phase is 0.
//! - `station` (or a parking place of one), `leaves`, `kwh`, `amperes`, `phases`: a car is plugged in, until then; the energy
//!   that it wants; the most that it takes per phase (empty: what the station gives); how many of the station's phases it
//!   uses (empty: all; between two phases is one).

use std::path::Path;

use config_file::{Fault, Faults, Position, nearest};
use depot_config::depot::{Connection, Depot, Phase, Station};

/// In which the manager and the utility count, in s.
pub(crate) const DAY: u32 = 86_400;
const NAMES: [&str; 10] = [
    "time", "circuit", "l1", "l2", "l3", "station", "leaves", "kwh", "amperes", "phases",
];
const HEAD: &str = "time,circuit,l1,l2,l3,station,leaves,kwh,amperes,phases";

/// A recorded day. Times are seconds from its beginning, but where it says otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Day {
    /// When it begins, in s from midnight.
    pub(crate) begins: u32,
    pub(crate) loads: Vec<Load>,
    pub(crate) cars: Vec<Car>,
}

/// What flows into a circuit besides stations and circuits below, from then on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) at: u32,
    /// Place in the depot.
    pub(crate) circuit: usize,
    /// By phase, in A.
    pub(crate) current: [f64; 3],
}

/// A car.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Car {
    pub(crate) at: u32,
    pub(crate) leaves: u32,
    /// Place in the depot.
    pub(crate) station: usize,
    /// In Wh.
    pub(crate) energy: f64,
    /// Most that it takes per phase, in A.
    pub(crate) current: f64,
    /// How many terminals of the station it uses.
    pub(crate) phases: usize,
}

/// How many currents a station has: one also between two phases.
pub(crate) fn terminals(station: &Station) -> usize {
    if station.connection() == Connection::ThreePhase {
        3
    } else {
        1
    }
}

struct Reader<'a> {
    file: &'a Path,
    depot: &'a Depot,
    faults: Vec<Fault>,
    begins: Option<u32>,
    last: u32,
    day: Day,
    /// By station, until when a car is at it.
    taken: Vec<u32>,
}

/// One field, and where it is.
#[derive(Clone, Copy)]
struct Field<'a> {
    text: &'a str,
    name: &'static str,
    at: Position,
}

/// Reads a day for a depot.
pub(crate) fn read(file: &Path, text: &str, depot: &Depot) -> Result<Day, Faults> {
    let mut reader = Reader {
        file,
        depot,
        faults: Vec::new(),
        begins: None,
        last: 0,
        day: Day {
            begins: 0,
            loads: Vec::new(),
            cars: Vec::new(),
        },
        taken: vec![0; depot.stations.len()],
    };
    let lines = text.lines().enumerate();
    let mut lines = lines
        .map(|(place, line)| (place + 1, line.trim_end_matches('\r')))
        .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let head = lines.next();
    let (line, names) = head.unwrap_or((1, ""));
    if names.trim().to_ascii_lowercase() != HEAD {
        let found = if names.is_empty() { "nothing" } else { names };
        let at = Position { line, column: 1 };
        reader.fault(at, "", &format!("`{HEAD}`"), found);
        return Err(Faults::from(reader.faults));
    }
    for (line, text) in lines {
        reader.line(line, text);
    }
    if reader.begins.is_none() && reader.faults.is_empty() {
        let at = Position {
            line: line + 1,
            column: 1,
        };
        reader.fault(at, "", "a line with what flows or with a car", "none");
    }
    Faults::check(reader.faults)?;
    Ok(reader.day)
}

impl Reader<'_> {
    fn fault(&mut self, at: Position, key: &str, expected: &str, found: &str) {
        self.faults.push(Fault {
            file: self.file.to_owned(),
            position: Some(at),
            key: key.to_owned(),
            problem: format!("expected {expected}, found {found}"),
            hint: String::new(),
        });
    }

    fn wrong(&mut self, field: Field<'_>, expected: &str) {
        let found = match field.text {
            "" => "nothing".to_owned(),
            text => format!("`{text}`"),
        };
        self.fault(field.at, field.name, expected, &found);
    }

    fn line(&mut self, line: usize, text: &str) {
        let mut fields = Vec::new();
        let mut column = 1;
        for (place, field) in text.split(',').enumerate() {
            let blank = field.len() - field.trim_start().len();
            let at = Position {
                line,
                column: column + blank,
            };
            let name = NAMES.get(place).copied().unwrap_or_default();
            let text = field.trim();
            fields.push(Field { text, name, at });
            column += field.chars().count() + 1;
        }
        let [
            time,
            circuit,
            l1,
            l2,
            l3,
            station,
            leaves,
            energy,
            current,
            phases,
        ] = fields[..]
        else {
            let (found, at) = (fields.len(), Position { line, column: 1 });
            let expected = format!("{} fields: {HEAD}", NAMES.len());
            self.fault(at, "", &expected, &found.to_string());
            return;
        };
        let Some(at) = self.time(time) else {
            return;
        };
        let car = [leaves, energy, current, phases];
        let load = [l1, l2, l3];
        match (circuit.text.is_empty(), station.text.is_empty()) {
            (false, true) => {
                self.unused(&car, "nothing beside a circuit");
                self.load(at, circuit, load);
            }
            (true, false) => {
                self.unused(&load, "nothing beside a station");
                self.car(at, station, car);
            }
            (true, true) => self.wrong(circuit, "a circuit, or a station further on"),
            (false, false) => self.wrong(station, "nothing, as the line has a circuit"),
        }
    }

    fn unused(&mut self, fields: &[Field<'_>], expected: &str) {
        let used = fields.iter().find(|field| !field.text.is_empty());
        if let Some(field) = used {
            self.wrong(*field, expected);
        }
    }

    /// The time of a line, from the beginning of the day.
    fn time(&mut self, field: Field<'_>) -> Option<u32> {
        let Some(time) = clock(field.text) else {
            self.wrong(
                field,
                "a time such as 05:30 or 05:30:15 (29:30 is that of the next day)",
            );
            return None;
        };
        let begins = *self.begins.get_or_insert(time);
        self.day.begins = begins;
        let last = self.last.max(begins);
        if time < last {
            self.wrong(
                field,
                &format!("a time not before that of the line above, {}", shown(last)),
            );
            return None;
        }
        if time >= begins + DAY {
            let end = shown(begins + DAY);
            self.wrong(field, &format!("a time before the day is over, at {end}"));
            return None;
        }
        self.last = time;
        Some(time - begins)
    }

    fn number(&mut self, field: Field<'_>, what: &str, from: f64, to: f64) -> Option<f64> {
        let number = field.text.parse::<f64>().ok();
        let number = number.filter(|number| (from..=to).contains(number));
        if number.is_none() {
            self.wrong(field, &format!("{what} from {from} to {to}"));
        }
        number
    }

    fn load(&mut self, at: u32, circuit: Field<'_>, phases: [Field<'_>; 3]) {
        let depot = self.depot;
        let mut ids = depot.circuits.iter().map(|one| one.id.as_str());
        let Some(place) = ids.position(|id| id == circuit.text) else {
            let ids: Vec<_> = depot.circuits.iter().map(|one| one.id.as_str()).collect();
            self.unknown(circuit, "a circuit of the depot", &ids);
            return;
        };
        let mut current = [0.0; 3];
        for (phase, field) in Phase::ALL.into_iter().zip(phases) {
            if field.text.is_empty() {
                continue;
            }
            let Some(found) = self.number(field, "amperes", 0.0, 100_000.0) else {
                return;
            };
            let carried = &depot.circuits[place].phases;
            if found > 0.0 && !carried.contains(phase) {
                self.wrong(
                    field,
                    &format!("nothing on a phase that the circuit, on {carried}, does not carry"),
                );
                return;
            }
            current[phase as usize] = found;
        }
        self.day.loads.push(Load {
            at,
            circuit: place,
            current,
        });
    }

    fn car(&mut self, at: u32, name: Field<'_>, rest: [Field<'_>; 4]) {
        let [leaves, energy, current, phases] = rest;
        let depot = self.depot;
        let parked = depot
            .parkings
            .iter()
            .find(|one| one.id.as_str() == name.text);
        let id = parked.and_then(|parking| parking.station.as_ref());
        let id = id.map_or(name.text, |station| station.as_str());
        let mut ids = depot.stations.iter().map(|one| one.id.as_str());
        let Some(place) = ids.position(|one| one == id) else {
            let ids: Vec<_> = depot.stations.iter().map(|one| one.id.as_str()).collect();
            self.unknown(
                name,
                "a station of the depot, or a parking place with one",
                &ids,
            );
            return;
        };
        let station = &depot.stations[place];
        if at < self.taken[place] {
            let until = shown(self.day.begins + self.taken[place]);
            self.wrong(
                name,
                &format!("a station that is free: a car is at it until {until}"),
            );
            return;
        }
        let begins = self.day.begins;
        let until = clock(leaves.text).filter(|until| *until > begins + at);
        let Some(until) = until else {
            self.wrong(
                leaves,
                "a time after the car was plugged in, such as 29:30 for the next day",
            );
            return;
        };
        let Some(energy) = self.number(energy, "kWh", 0.001, 2000.0) else {
            return;
        };
        let most = if current.text.is_empty() {
            Some(station.max_current)
        } else {
            self.number(current, "amperes", station.min_current, 1000.0)
        };
        let all = terminals(station);
        let uses = match phases.text {
            "" => Some(all),
            text => text.parse().ok().filter(|uses| (1..=all).contains(uses)),
        };
        if uses.is_none() {
            self.wrong(phases, &format!("how many phases the car uses, 1 to {all}"));
        }
        let (Some(most), Some(uses)) = (most, uses) else {
            return;
        };
        self.taken[place] = until - begins;
        self.day.cars.push(Car {
            at,
            leaves: until - begins,
            station: place,
            energy: energy * 1000.0,
            current: most.min(station.max_current),
            phases: uses,
        });
    }

    fn unknown(&mut self, field: Field<'_>, expected: &str, names: &[&str]) {
        self.wrong(field, expected);
        let near = nearest(field.text, names);
        if let (Some(near), Some(fault)) = (near, self.faults.pop()) {
            self.faults
                .push(fault.hint(format!("did you mean {near}?")));
        }
    }
}

/// Seconds from midnight, of a time up to the end of the next day.
fn clock(text: &str) -> Option<u32> {
    let mut parts = text.split(':');
    let mut next = |most: u32| {
        let part = parts.next()?;
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|number| digits && *number <= most)
    };
    let (hours, minutes) = (next(47)?, next(59)?);
    let seconds = match text.matches(':').count() {
        1 => 0,
        2 => next(59)?,
        _ => return None,
    };
    Some(hours * 3600 + minutes * 60 + seconds)
}

/// A time of the clock, in s from midnight; hours from 24 on are those of the next day.
pub(crate) fn shown(time: u32) -> String {
    let (hours, minutes, seconds) = (time / 3600, time / 60 % 60, time % 60);
    if seconds == 0 {
        format!("{hours:02}:{minutes:02}")
    } else {
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    }
}
