//! What is wrong with a profile beyond its form.

use std::{collections::HashMap, time::Duration};

use shared_protocol::{Decimal, catalogue::catalogue};

use super::{
    Command, DiagnosticSignal, Fault, Level, MappedSignal, Order, Problem, Profile,
    problem::Problems,
};
use crate::exact;

/// Two requests on one bus need at least this long.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(50);

/// Waking a vehicle more often than this drains its 12 V battery.
const SHORTEST_ASLEEP: Duration = Duration::from_secs(600);

/// The longest message of classic ISO-TP, in bytes (ISO 15765-2 §9.6.3).
const LONGEST_ANSWER: u64 = 4095;

impl Profile {
    /// Everything that is wrong, in the order of the file.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.filled("name", &self.name);
        for (index, pattern) in self.vin.iter().enumerate() {
            let open = pattern.strip_suffix('*').unwrap_or(pattern);
            let fits =
                open.len() <= 17 && open.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'?');
            if !fits || pattern.is_empty() {
                problems.error(format!("vin[{index}]"), Fault::VinPattern(pattern.clone()));
            }
        }
        self.check_buses(&mut problems);
        for (index, file) in self.dbc.iter().enumerate() {
            let path = format!("dbc[{index}]");
            problems.filled(format!("{path}.file"), &file.file);
            self.check_bus(&file.bus, format!("{path}.bus"), &mut problems);
            let mut names = HashMap::new();
            for (index, signal) in file.signal.iter().enumerate() {
                let path = format!("{path}.signal[{index}]");
                problems.unique(
                    &mut names,
                    &signal.name,
                    format!("{path}.name"),
                    Level::Error,
                );
                problems.mapped(&path, signal);
            }
        }
        for (index, command) in self.command.iter().enumerate() {
            self.check_command_bus(command, format!("command[{index}].bus"), &mut problems);
        }
        problems.list.extend(check_commands(&self.command));
        problems.list
    }

    fn check_buses(&self, problems: &mut Problems) {
        if self.bus.is_empty() {
            problems.error("bus", Fault::Empty);
        }
        let mut names = HashMap::new();
        for (index, bus) in self.bus.iter().enumerate() {
            let path = format!("bus[{index}]");
            problems.filled(format!("{path}.name"), &bus.name);
            problems.unique(&mut names, &bus.name, format!("{path}.name"), Level::Error);
            problems.bitrate(format!("{path}.bitrate"), bus.bitrate, 10_000, 1_000_000);
            if let Some(rate) = bus.data_bitrate {
                problems.bitrate(
                    format!("{path}.data_bitrate"),
                    rate,
                    bus.bitrate,
                    12_000_000,
                );
            }
        }
    }

    fn check_bus(&self, name: &str, path: String, problems: &mut Problems) {
        if self.bus(name).is_none() {
            problems.error(path, Fault::NoBus(name.to_owned()));
        }
    }

    fn check_command_bus(&self, command: &Command, path: String, problems: &mut Problems) {
        let bus = match (&command.bus, self.bus.as_slice()) {
            (Some(name), _) => {
                self.check_bus(name, path.clone(), problems);
                self.bus(name)
            }
            (None, [only]) => Some(only),
            (None, []) => None,
            (None, _) => {
                problems.error(path.clone(), Fault::WhichBus);
                None
            }
        };
        if let Some(bus) = bus.filter(|bus| bus.listen_only) {
            problems.error(path, Fault::ListenOnly(bus.name.clone()));
        }
    }
}

/// What is wrong with commands, whatever bus they are on.
pub(crate) fn check_commands(commands: &[Command]) -> Vec<Problem> {
    let mut problems = Problems::default();
    let (mut names, mut requests) = (HashMap::new(), HashMap::new());
    for (index, command) in commands.iter().enumerate() {
        let path = format!("command[{index}]");
        problems.filled(format!("{path}.name"), &command.name);
        problems.unique(
            &mut names,
            &command.name,
            format!("{path}.name"),
            Level::Error,
        );
        let asked = (
            command.request,
            command.request_extension,
            command.payload(),
            command.years.clone(),
        );
        if let Some(by) = requests.insert(asked, path.clone()) {
            problems.warning(path.clone(), Fault::SameRequest(by));
        }
        problems.request(&path, command);
        problems.times(&path, command);
        if command.signal.is_empty() {
            problems.error(format!("{path}.signal"), Fault::Empty);
        }
        let mut signal_names = HashMap::new();
        for (index, signal) in command.signal.iter().enumerate() {
            let path = format!("{path}.signal[{index}]");
            problems.filled(format!("{path}.name"), &signal.name);
            problems.unique(
                &mut signal_names,
                &signal.name,
                format!("{path}.name"),
                Level::Error,
            );
            problems.signal(&path, command, signal);
        }
        problems.overlaps(&path, command);
    }
    problems.list
}

impl Problems {
    fn request(&mut self, path: &str, command: &Command) {
        if let Some(response) = command.response {
            if response.is_extended() != command.request.is_extended() {
                self.error(format!("{path}.response"), Fault::MixedIdentifiers);
            }
        } else if !command.is_functional() && command.address().is_err() {
            // Answers can be decoded, only asking is impossible.
            self.warning(format!("{path}.response"), Fault::NoResponse);
        }
        let (service, found) = (command.service, command.identifier.0.len());
        let expected = match service {
            0x01 | 0x09 | 0x1A | 0x21 => Some(1),
            0x02 | 0x22 => Some(2),
            _ => None,
        };
        match expected {
            None => self.error(format!("{path}.service"), Fault::Service(service)),
            Some(expected) if found != expected => {
                self.error(
                    format!("{path}.identifier"),
                    Fault::IdentifierLength {
                        service,
                        expected,
                        found,
                    },
                );
            }
            Some(_) => {}
        }
        if command.session.is_some_and(|session| session != 0x01) {
            self.warning(format!("{path}.session"), Fault::Session);
        }
    }

    fn times(&mut self, path: &str, command: &Command) {
        let path = format!("{path}.every");
        if command.every.given().next().is_none() {
            self.warning(path.clone(), Fault::NeverAsked);
        }
        for (key, interval) in command.every.given() {
            if interval < SHORTEST_INTERVAL {
                self.error(
                    format!("{path}.{key}"),
                    Fault::Interval {
                        least: SHORTEST_INTERVAL,
                    },
                );
            } else if key == "asleep" && interval < SHORTEST_ASLEEP {
                self.warning(
                    format!("{path}.{key}"),
                    Fault::Interval {
                        least: SHORTEST_ASLEEP,
                    },
                );
            }
        }
        if let Some(years) = &command.years
            && years.from.is_none()
            && years.to.is_none()
            && years.also.is_empty()
        {
            self.error(
                format!("{}.years", path.trim_end_matches(".every")),
                Fault::NoYear,
            );
        }
    }

    fn signal(&mut self, path: &str, command: &Command, signal: &DiagnosticSignal) {
        if !(1..=64).contains(&signal.length) {
            self.error(format!("{path}.length"), Fault::Length(signal.length));
            return;
        }
        let end = u64::from(signal.bit) + u64::from(signal.length);
        let longest = (LONGEST_ANSWER - 1).saturating_sub(command.identifier.0.len() as u64) * 8;
        if end > longest {
            self.error(format!("{path}.bit"), Fault::BeyondAnswer { end, longest });
        }
        if signal.order == Order::Little
            && (!signal.bit.is_multiple_of(8) || !signal.length.is_multiple_of(8))
        {
            self.error(format!("{path}.order"), Fault::Unaligned);
        }
        self.scale(path, signal.multiply, signal.divide);
        if let (Some(min), Some(max)) = (signal.min, signal.max)
            && exact::compare(min, max).is_ge()
        {
            self.error(format!("{path}.max"), Fault::Bounds(min));
        }
        if let (Some(low), Some(high)) = (signal.none_up_to, signal.none_from)
            && exact::compare(low, high).is_ge()
        {
            self.error(format!("{path}.none_from"), Fault::Bounds(low));
        }
        let holds = |raw: i64| {
            let unused = 64 - u32::from(signal.length);
            if signal.signed {
                raw << unused >> unused == raw
            } else {
                // A negative number is not of 63 bits or fewer; of 64 it is one above i64::MAX.
                signal.length == 64 || (raw >= 0 && raw >> signal.length == 0)
            }
        };
        for (index, &raw) in signal.not_available.iter().enumerate() {
            if !holds(raw) {
                self.error(format!("{path}.not_available[{index}]"), Fault::Raw(raw));
            }
        }
        for &raw in signal.texts.keys() {
            if !holds(raw) {
                self.error(format!("{path}.texts.{raw}"), Fault::Raw(raw));
            }
        }
        let unit = Some(signal.unit.as_str()).filter(|unit| !unit.is_empty());
        self.catalogue(path, signal.signal.as_deref(), unit);
    }

    fn mapped(&mut self, path: &str, signal: &MappedSignal) {
        let dotted = signal
            .name
            .split_once('.')
            .is_some_and(|(m, s)| !m.is_empty() && !s.is_empty());
        if !dotted {
            self.error(
                format!("{path}.name"),
                Fault::NotDotted(signal.name.clone()),
            );
        }
        self.scale(path, signal.multiply, signal.divide);
        self.catalogue(path, signal.signal.as_deref(), signal.unit.as_deref());
    }

    fn scale(&mut self, path: &str, multiply: Decimal, divide: Decimal) {
        for (key, number) in [("multiply", multiply), ("divide", divide)] {
            if number == Decimal::ZERO {
                self.error(format!("{path}.{key}"), Fault::Zero);
            }
        }
    }

    fn catalogue(&mut self, path: &str, signal: Option<&str>, unit: Option<&str>) {
        let Some(name) = signal else { return };
        match catalogue().by_name(name) {
            None => self.error(
                format!("{path}.signal"),
                Fault::NotInCatalogue(name.to_owned()),
            ),
            Some(known) => {
                if let Some(unit) = unit.filter(|&unit| unit != known.unit) {
                    let fault = Fault::Unit {
                        expected: known.unit.clone(),
                        found: unit.to_owned(),
                    };
                    self.error(format!("{path}.unit"), fault);
                }
            }
        }
    }

    /// Signals of one command sorted by their first bit: each may overlap only with those that have not ended.
    fn overlaps(&mut self, path: &str, command: &Command) {
        let mut spans: Vec<(u64, u64, usize)> = command
            .signal
            .iter()
            .enumerate()
            .map(|(index, s)| {
                (
                    u64::from(s.bit),
                    u64::from(s.bit) + u64::from(s.length),
                    index,
                )
            })
            .collect();
        spans.sort_unstable();
        let mut reaching = (0, 0);
        for (first, end, index) in spans {
            if first < reaching.0 {
                let other = format!("{path}.signal[{}]", reaching.1);
                self.warning(format!("{path}.signal[{index}].bit"), Fault::Overlap(other));
            }
            reaching = reaching.max((end, index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(toml: &str) -> Vec<String> {
        let profile: Profile = toml::from_str(toml).unwrap();
        profile
            .check()
            .iter()
            .map(|p| format!("{:?} {p}", p.level))
            .collect()
    }

    const SOUND: &str = r#"
        name = "A"
        [[bus]]
        name = "b"
        bitrate = 500000
        [[command]]
        name = "c"
        request = "7E4"
        service = "22"
        identifier = "0101"
        every = { driving = "5s" }
        signal = [{ name = "s", length = 8, unit = "km/h", signal = "Vehicle.Speed" }]
    "#;

    #[test]
    fn a_sound_profile() {
        assert_eq!(problems(SOUND), Vec::<String>::new());
    }

    #[test]
    fn each_problem_names_its_key() {
        for (from, to, says) in [
            (
                "name = \"A\"",
                "name = \" \"",
                "Error name: must not be empty",
            ),
            (
                "name = \"A\"",
                "name = \"A\"\nvin = [\"W*Y\"]",
                "Error vin[0]: `W*Y` is not a pattern",
            ),
            ("500000", "5", "Error bus[0].bitrate: 5 bit/s"),
            (
                "name = \"c\"",
                "name = \"c\"\nbus = \"x\"",
                "Error command[0].bus: there is no bus `x`",
            ),
            (
                "bitrate",
                "listen_only = true\nbitrate",
                "Error command[0].bus: bus `b` is listen_only",
            ),
            (
                "\"7E4\"",
                "\"743\"",
                "Warning command[0].response: must be given",
            ),
            (
                "\"7E4\"",
                "\"7E4\"\nresponse = \"18DAF110\"",
                "Error command[0].response: request and response",
            ),
            (
                "\"22\"",
                "\"2E\"",
                "Error command[0].service: 2E is not a service that only reads",
            ),
            (
                "\"0101\"",
                "\"01\"",
                "Error command[0].identifier: service 22 takes 2",
            ),
            (
                "\"0101\"",
                "\"0101\"\nsession = \"03\"",
                "Warning command[0].session: every request",
            ),
            (
                "driving = \"5s\"",
                "",
                "Warning command[0].every: no interval",
            ),
            (
                "driving = \"5s\"",
                "driving = \"5ms\"",
                "Error command[0].every.driving: shorter than 50ms",
            ),
            (
                "driving = \"5s\"",
                "asleep = \"5s\"",
                "Warning command[0].every.asleep: shorter than 600s",
            ),
            (
                "every",
                "years = {}\nevery",
                "Error command[0].years: contains no year",
            ),
            (
                "length = 8",
                "length = 65",
                "Error command[0].signal[0].length: 65 bits",
            ),
            (
                "length = 8",
                "length = 8, bit = 32729",
                "Error command[0].signal[0].bit: ends at bit 32737",
            ),
            (
                "length = 8",
                "length = 8, bit = 4, order = \"little\"",
                "Error command[0].signal[0].order: a little",
            ),
            (
                "length = 8",
                "length = 8, divide = 0",
                "Error command[0].signal[0].divide: must not be 0",
            ),
            (
                "length = 8",
                "length = 8, min = 1, max = 1",
                "Error command[0].signal[0].max: must be greater than 1",
            ),
            (
                "length = 8",
                "length = 8, not_available = [256]",
                "Error command[0].signal[0].not_available[0]: 256",
            ),
            (
                "length = 8",
                "length = 8, texts = { -1 = \"x\" }",
                "Error command[0].signal[0].texts.-1: -1 is not",
            ),
            (
                "Vehicle.Speed",
                "Vehicle.Sped",
                "Error command[0].signal[0].signal: the catalogue has no",
            ),
            (
                "\"km/h\"",
                "\"mph\"",
                "Error command[0].signal[0].unit: values must be in km/h",
            ),
            (
                "signal = [",
                "signal = [{ name = \"t\", bit = 7, length = 2 }, ",
                "Warning command[0].signal[0].bit: shares bits with command[0].signal[1]",
            ),
            (
                "signal = [",
                "signal = [{ name = \"s\", bit = 8, length = 2 }, ",
                "Error command[0].signal[1].name: `s` is used",
            ),
        ] {
            let changed = SOUND.replacen(from, to, 1);
            assert_ne!(changed, SOUND, "{from}");
            let found = problems(&changed);
            assert!(
                found.len() == 1 && found[0].starts_with(says),
                "{says}: {found:?}"
            );
        }
    }

    #[test]
    fn dbc_mappings() {
        let found = problems(
            r#"
            name = "A"
            bus = [{ name = "b", bitrate = 500000 }]
            [[dbc]]
            file = ""
            bus = "c"
            [[dbc.signal]]
            name = "Speed"
            multiply = 0
            [[dbc.signal]]
            name = "A.B"
            signal = "Vehicle.Speed"
            unit = "m/s"
            [[dbc.signal]]
            name = "A.B"
            "#,
        );
        let says = [
            "Error dbc[0].file: must not be empty",
            "Error dbc[0].bus: there is no bus",
            "Error dbc[0].signal[0].name: `Speed` is not a signal",
            "Error dbc[0].signal[0].multiply: must not be 0",
            "Error dbc[0].signal[1].unit: values must be in km/h",
            "Error dbc[0].signal[2].name: `A.B` is used already by dbc[0].signal[1].name",
        ];
        assert_eq!(found.len(), says.len(), "{found:?}");
        for (found, says) in found.iter().zip(says) {
            assert!(found.starts_with(says), "{found}");
        }
    }
}
