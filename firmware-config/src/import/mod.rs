//! Definitions made elsewhere as vehicle profiles: OBDb signal sets (JSON), Torque's lists of PIDs (CSV), WiCAN's vehicle
//! profiles (JSON), DBC files. What cannot be taken over is told, each with its place and why; nothing is guessed.
//!
//! | file | subject |
//! |---|---|
//! | `expression.rs` | formulas over bytes as one number, factor and offset |
//! | `torque.rs` | CSV files of Torque |
//! | `wican.rs` | vehicle profiles of WiCAN |

mod expression;
mod torque;
mod wican;

use std::time::Duration;

use isotp::CanId;
use shared_protocol::Decimal;
use vehicles::{
    dbc::Dbc,
    obdb::{self, Names},
    profile::{Bus, Command, DbcFile, DiagnosticSignal, Every, Hex, Profile},
};

use expression::Linear;

/// A kind of definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A signal set of OBDb.
    Obdb,
    /// A list of PIDs of Torque.
    Torque,
    /// A vehicle profile of WiCAN.
    Wican,
    /// A DBC file.
    Dbc,
}

/// A definition taken over.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The profile.
    pub profile: Profile,
    /// What is not in it, or not as the definition says: place and reason.
    pub notes: Vec<String>,
}

/// Takes a definition over; `file` is its name, as which a profile refers to a DBC file.
///
/// # Errors
/// Why it cannot be read at all, or that nothing in it could be taken over.
pub fn import(format: Format, name: &str, file: &str, bytes: &[u8]) -> Result<Imported, String> {
    let text = || str::from_utf8(bytes).map_err(|error| format!("{file}: not UTF-8: {error}"));
    let mut profile = Profile {
        name: name.to_owned(),
        vin: Vec::new(),
        bus: vec![Bus {
            name: "diagnostic".to_owned(),
            bitrate: 500_000,
            data_bitrate: None,
            listen_only: format == Format::Dbc,
        }],
        dbc: Vec::new(),
        command: Vec::new(),
    };
    let notes = match format {
        Format::Obdb => {
            let set = obdb::import(text()?, Names::Catalogue)
                .map_err(|error| format!("{file}: {error}"))?;
            profile.command = set.commands;
            set.notes.iter().map(ToString::to_string).collect()
        }
        Format::Torque => {
            let mut commands = Commands::default();
            torque::read(text()?, &mut commands).map_err(|error| format!("{file}: {error}"))?;
            profile.command = commands.commands;
            commands.notes
        }
        Format::Wican => {
            let mut commands = Commands::default();
            wican::read(text()?, &mut commands).map_err(|error| format!("{file}: {error}"))?;
            profile.command = commands.commands;
            commands.notes
        }
        Format::Dbc => {
            let dbc = Dbc::parse(bytes);
            if !dbc.messages.is_empty() {
                profile.dbc.push(DbcFile {
                    file: file.to_owned(),
                    bus: "diagnostic".to_owned(),
                    only_mapped: false,
                    signal: Vec::new(),
                });
            }
            dbc.warnings.iter().map(ToString::to_string).collect()
        }
    };
    if profile.command.is_empty() && profile.dbc.is_empty() {
        return Err(format!(
            "{file}: nothing could be taken over: {}",
            notes.join("; ")
        ));
    }
    Ok(Imported { profile, notes })
}

/// Commands as they are found, one for each request.
#[derive(Default)]
struct Commands {
    commands: Vec<Command>,
    notes: Vec<String>,
}

/// A request, as both kinds of list write it.
struct Asked {
    request: CanId,
    response: Option<CanId>,
    service: u8,
    identifier: Vec<u8>,
}

impl Asked {
    /// Reads an identifier of three or eight digits, and a payload such as `220101`.
    fn new(header: &str, payload: &str) -> Result<Self, String> {
        let request: CanId = header
            .parse()
            .ok()
            .filter(|_| matches!(header.len(), 3 | 8))
            .ok_or_else(|| format!("`{header}` is no CAN identifier of three or eight digits"))?;
        let payload: Hex = payload
            .parse()
            .map_err(|_| format!("`{payload}` is no request in pairs of digits"))?;
        let Some((&service, identifier)) = payload.0.split_first() else {
            return Err("the request is empty".to_owned());
        };
        if ![0x01, 0x09, 0x21, 0x22].contains(&service) {
            return Err(format!("service {service:02X} is not one that only reads"));
        }
        if identifier.is_empty() || identifier.len() > 4 {
            return Err(format!("an identifier of {} bytes", identifier.len()));
        }
        Ok(Self {
            request,
            response: None,
            service,
            identifier: identifier.to_vec(),
        })
    }
}

impl Commands {
    fn note(&mut self, place: &str, why: impl AsRef<str>) {
        self.notes
            .push(format!("{place}: left out: {}", why.as_ref()));
    }

    /// Adds a signal to its request's command.
    fn add(&mut self, place: &str, asked: Asked, signal: DiagnosticSignal) {
        let same = |command: &&mut Command| {
            command.request == asked.request
                && command.service == asked.service
                && command.identifier.0 == asked.identifier
        };
        if let Some(command) = self.commands.iter_mut().find(same) {
            if command.signal.iter().any(|known| known.name == signal.name) {
                self.note(place, format!("`{}` is there already", signal.name));
            } else {
                command.signal.push(signal);
            }
            return;
        }
        let every = Some(Duration::from_secs(10));
        self.commands.push(Command {
            name: format!(
                "{} {:02X}{}",
                asked.request,
                asked.service,
                hex::encode_upper(&asked.identifier)
            ),
            bus: None,
            request: asked.request,
            response: asked.response,
            request_extension: None,
            response_extension: None,
            service: asked.service,
            identifier: Hex(asked.identifier),
            session: None,
            timeout: None,
            answer_length: None,
            every: Every {
                awake: Some(Duration::from_secs(60)),
                charging: every,
                driving: every,
                ..Every::default()
            },
            years: None,
            signal: vec![signal],
        });
    }
}

/// A signal from its formula.
fn signal(
    name: &str,
    unit: &str,
    linear: &Linear,
    bounds: [Option<Decimal>; 2],
) -> DiagnosticSignal {
    let [min, max] = bounds;
    // Bounds that are the wrong way round, or that say nothing, are those of a gauge.
    let sensible = matches!((min, max), (Some(min), Some(max)) if min.to_f64() < max.to_f64());
    DiagnosticSignal {
        name: name.to_owned(),
        signal: None,
        unit: unit.to_owned(),
        bit: linear.bit,
        length: linear.length,
        order: linear.order,
        signed: linear.signed,
        multiply: linear.multiply,
        divide: linear.divide,
        add: linear.add,
        min: min.filter(|_| sensible),
        max: max.filter(|_| sensible),
        outside: vehicles::profile::Outside::Drop,
        none_up_to: None,
        none_from: None,
        not_available: Vec::new(),
        texts: std::collections::BTreeMap::new(),
    }
}
