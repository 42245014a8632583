//! What the virtual car's bus looks like: `virtual-car.dbc` and `virtual-car.toml` read into tables to encode by.
//!
//! A gateway decodes with the same two files and with code of its own. What the values are follows from the names of
//! the catalogue ([`crate::car::report`]); a field without one is a cell (`CellVoltage007`), the rolling counter or
//! the multiplexor.

use can_dbc::{AttributeValue, ByteOrder, Dbc, MessageId, MultiplexIndicator, ValueType};
use isotp::CanId;
use shared_protocol::{Decimal, Source, catalogue};
use vehicles::profile::{Command, DiagnosticSignal, Order, Profile};

use super::field::{Bits, Field, Meaning};
use crate::{
    car::{CELLS, report},
    truth::ColumnKind,
};

/// The broadcast messages of the virtual car.
pub const DBC: &str = include_str!("../../data/virtual-car.dbc");

/// The profile of the virtual car.
pub const PROFILE: &str = include_str!("../../data/virtual-car.toml");

/// Name and text of the profile that ships for cars with a dongle.
pub const WITH_DONGLE: (&str, &str) = (
    "geely-geometry-c",
    include_str!("../../../../firmware-config/profiles/geely-geometry-c.toml"),
);

/// How long a tick of the depot is, in ms; messages come at multiples of it.
pub const TICK_MS: u64 = 100;

/// Why the two files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Not a DBC file.
    #[error("virtual-car.dbc: {0}")]
    Dbc(String),
    /// Not a profile.
    #[error("virtual-car.toml: {0}")]
    Profile(#[from] toml::de::Error),
    /// Something in them cannot be simulated.
    #[error("{place}: {what}")]
    Impossible {
        /// Message or command, and signal.
        place: String,
        /// What is wrong.
        what: String,
    },
}

/// A broadcast message.
#[derive(Clone, Debug)]
pub struct Message {
    /// Identifier.
    pub id: CanId,
    /// Name.
    pub name: String,
    /// Data bytes.
    pub length: usize,
    /// Ticks from one to the next.
    pub every: u64,
    /// The same while the car drives.
    pub every_driving: u64,
    /// What is in every frame.
    pub fields: Vec<Field>,
    /// What is in the frames of each group, by the value of the multiplexor.
    pub groups: Vec<(u64, Vec<Field>)>,
}

/// An identifier that an ECU answers.
#[derive(Clone, Debug)]
pub struct Table {
    /// Service: 01 or 22.
    pub service: u8,
    /// Identifier: a PID or a DID.
    pub identifier: Vec<u8>,
    /// Bytes that follow the identifier.
    pub length: usize,
    /// What is in them.
    pub fields: Vec<Field>,
}

/// An ECU.
#[derive(Clone, Debug)]
pub struct EcuModel {
    /// The command by which its address is known.
    pub first: Command,
    /// What it answers.
    pub tables: Vec<Table>,
}

/// The virtual car's bus.
#[derive(Clone, Debug)]
pub struct Model {
    /// Broadcast messages.
    pub messages: Vec<Message>,
    /// ECUs.
    pub ecus: Vec<EcuModel>,
    /// What a reader keeps of all this.
    pub columns: Vec<ColumnKind>,
}

impl Model {
    /// The model that this build carries.
    pub fn shipped() -> Result<Self, ModelError> {
        Self::read(DBC, PROFILE)
    }

    /// The model of a car with a dongle: nothing but ECUs that answer what its profile asks.
    pub fn with_dongle() -> Result<Self, ModelError> {
        Self::read("VERSION \"\"\n\nNS_ :\n\nBS_:\n\nBU_:\n", WITH_DONGLE.1)
    }

    /// Reads a DBC file and a profile.
    pub fn read(dbc: &str, profile: &str) -> Result<Self, ModelError> {
        let dbc = Dbc::try_from(dbc).map_err(|error| ModelError::Dbc(format!("{error:?}")))?;
        let profile: Profile = toml::from_str(profile)?;
        let mut columns = Vec::new();
        let messages = dbc
            .messages
            .iter()
            .map(|message| read_message(&dbc, message, &profile, &mut columns))
            .collect::<Result<_, _>>()?;
        let mut ecus: Vec<EcuModel> = Vec::new();
        for command in &profile.command {
            let table = read_command(command, &mut columns)?;
            let known = ecus
                .iter_mut()
                .find(|ecu| ecu.first.request == command.request);
            match known {
                Some(ecu) => ecu.tables.push(table),
                None => ecus.push(EcuModel {
                    first: command.clone(),
                    tables: vec![table],
                }),
            }
        }
        Ok(Self {
            messages,
            ecus,
            columns,
        })
    }
}

fn read_message(
    dbc: &Dbc,
    message: &can_dbc::Message,
    profile: &Profile,
    columns: &mut Vec<ColumnKind>,
) -> Result<Message, ModelError> {
    let place = |name: &str| format!("{}.{name}", message.name);
    let impossible = |place: String, what: &str| ModelError::Impossible {
        place,
        what: what.to_owned(),
    };
    let ticks = |name: &str| match dbc.resolved_message_attribute(message.id, name) {
        Some(AttributeValue::Uint(ms)) => ms / TICK_MS,
        Some(AttributeValue::Int(ms)) => ms.unsigned_abs() / TICK_MS,
        Some(AttributeValue::Double(ms)) => *ms as u64 / TICK_MS,
        _ => 0,
    };
    let every = ticks("GenMsgCycleTime").max(1);
    let id = match message.id {
        MessageId::Standard(id) => CanId::standard(u32::from(id)),
        MessageId::Extended(id) => CanId::extended(id),
    };
    let mut read = Message {
        id: id.map_err(|error| impossible(message.name.clone(), &error.to_string()))?,
        name: message.name.clone(),
        length: message.size as usize,
        every,
        every_driving: match ticks("GenMsgCycleTimeFast") {
            0 => every,
            fast => fast,
        },
        fields: Vec::new(),
        groups: Vec::new(),
    };
    for signal in &message.signals {
        let full_name = place(&signal.name);
        let field = read_signal(signal, &full_name, profile, columns)?;
        match signal.multiplexer_indicator {
            MultiplexIndicator::Plain | MultiplexIndicator::Multiplexor => read.fields.push(field),
            MultiplexIndicator::MultiplexedSignal(group) => {
                match read.groups.iter_mut().find(|(number, _)| *number == group) {
                    Some((_, fields)) => fields.push(field),
                    None => read.groups.push((group, vec![field])),
                }
            }
            MultiplexIndicator::MultiplexorAndMultiplexedSignal(_) => {
                return Err(impossible(
                    full_name,
                    "multiplexors below multiplexors are not simulated",
                ));
            }
        }
    }
    Ok(read)
}

fn read_signal(
    signal: &can_dbc::Signal,
    full_name: &str,
    profile: &Profile,
    columns: &mut Vec<ColumnKind>,
) -> Result<Field, ModelError> {
    let impossible = |what: String| ModelError::Impossible {
        place: full_name.to_owned(),
        what,
    };
    let decimal = |number: f64| {
        format!("{number:e}")
            .parse::<Decimal>()
            .map_err(|error| impossible(error.to_string()))
    };
    let multiply = decimal(signal.factor)?;
    let mapped = profile
        .dbc
        .iter()
        .flat_map(|dbc| &dbc.signal)
        .find(|mapped| mapped.name == full_name);
    let mut field = Field {
        bits: Bits::of_dbc(
            signal.start_bit as usize,
            signal.byte_order == ByteOrder::BigEndian,
        ),
        length: signal.size as usize,
        signed: signal.value_type == ValueType::Signed,
        multiply,
        divide: Decimal::ONE,
        add: decimal(signal.offset)?,
        meaning: Meaning::Counter,
        range: (f64::MIN, f64::MAX),
        column: None,
        step: multiply,
    };
    if let Some(name) = mapped.and_then(|mapped| mapped.signal.as_deref()) {
        set_signal(&mut field, name, Source::Can, columns).map_err(impossible)?;
        return Ok(field);
    }
    field.meaning = if signal.multiplexer_indicator == MultiplexIndicator::Multiplexor {
        Meaning::Selector
    } else if signal.name == "RollingCounter" {
        Meaning::Counter
    } else {
        let number = signal.name.strip_prefix("CellVoltage").map(str::parse);
        match number {
            Some(Ok(number)) if (1..=CELLS).contains(&number) => Meaning::Cell(number),
            _ => return Err(impossible("nobody knows its value".to_owned())),
        }
    };
    if mapped.is_some() {
        field.column = Some(columns.len());
        columns.push(ColumnKind {
            source: Source::Can,
            signal: full_name.to_owned(),
            unit: signal.unit.clone(),
            step: field.step,
        });
    }
    Ok(field)
}

fn read_command(command: &Command, columns: &mut Vec<ColumnKind>) -> Result<Table, ModelError> {
    let impossible = |name: &str, what: String| ModelError::Impossible {
        place: format!("command {} {name}", command.name),
        what,
    };
    if !matches!(
        (command.service, command.identifier.0.len()),
        (0x01, 1) | (0x22, 2)
    ) {
        let what = "only services 01 and 22 are simulated".to_owned();
        return Err(impossible("", what));
    }
    let mut fields = Vec::new();
    for signal in &command.signal {
        let field =
            read_diagnostic(signal, columns).map_err(|what| impossible(&signal.name, what))?;
        fields.push(field);
    }
    Ok(Table {
        service: command.service,
        identifier: command.identifier.0.clone(),
        length: fields.iter().map(Field::bytes_needed).max().unwrap_or(0),
        fields,
    })
}

fn read_diagnostic(
    signal: &DiagnosticSignal,
    columns: &mut Vec<ColumnKind>,
) -> Result<Field, String> {
    if signal.order != Order::Big {
        return Err("only big-endian answers are simulated".to_owned());
    }
    if signal.divide != Decimal::ONE && signal.add != Decimal::ZERO {
        return Err("`divide` and `add` together are not simulated".to_owned());
    }
    let mut field = Field {
        bits: Bits::Motorola(signal.bit as usize),
        length: usize::from(signal.length),
        signed: signal.signed,
        multiply: signal.multiply,
        divide: signal.divide,
        add: signal.add,
        meaning: Meaning::Counter,
        range: (f64::MIN, f64::MAX),
        column: None,
        step: Decimal::ONE,
    };
    let name = signal
        .signal
        .as_deref()
        .ok_or("give it a `signal` of the catalogue")?;
    set_signal(&mut field, name, Source::Obd, columns)?;
    Ok(field)
}

/// Makes a field report a signal of the catalogue, in a column of its own.
fn set_signal(
    field: &mut Field,
    name: &str,
    source: Source,
    columns: &mut Vec<ColumnKind>,
) -> Result<(), String> {
    let signal = catalogue()
        .by_name(name)
        .ok_or_else(|| format!("`{name}` is not in the catalogue"))?;
    field.meaning =
        Meaning::Report(report(name).ok_or_else(|| format!("cars do not know {name}"))?);
    field.range = (signal.range.0.to_f64(), signal.range.1.to_f64());
    field.step = signal.resolution;
    field.column = Some(columns.len());
    columns.push(ColumnKind {
        source,
        signal: name.to_owned(),
        unit: signal.unit.clone(),
        step: signal.resolution,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_shipped_files_are_a_model() {
        let model = Model::shipped().unwrap();
        assert_eq!((model.messages.len(), model.ecus.len()), (8, 3));
        let keys: HashSet<_> = model
            .columns
            .iter()
            .map(|c| (c.source.name(), &c.signal))
            .collect();
        assert_eq!(
            keys.len(),
            model.columns.len(),
            "a signal stands twice in the same source"
        );
        let cells = model
            .columns
            .iter()
            .filter(|c| c.signal.starts_with("BMS_Cells.Cell"));
        assert_eq!(cells.count(), usize::from(CELLS));
        let motion = &model.messages[0];
        assert_eq!((motion.every, motion.every_driving), (10, 1));
        for message in &model.messages {
            let fields = message
                .fields
                .iter()
                .chain(message.groups.iter().flat_map(|g| &g.1));
            for field in fields {
                assert!(field.bytes_needed() <= message.length, "{}", message.name);
            }
        }
    }

    #[test]
    fn a_car_with_a_dongle_has_ecus_alone() {
        let model = Model::with_dongle().unwrap();
        assert_eq!((model.messages.len(), model.ecus.len()), (0, 1));
        assert!(
            model
                .columns
                .iter()
                .all(|column| column.source == Source::Obd)
        );
        assert!(!model.columns.is_empty());
    }

    #[test]
    fn what_cannot_be_simulated_is_named() {
        for (dbc, profile, says) in [
            (
                DBC.replace("SG_ Gear", "SG_ Wheel"),
                PROFILE.to_owned(),
                "VCU_Motion.Wheel: nobody",
            ),
            (
                DBC.replace("BO_ 257", "BO_ x"),
                PROFILE.to_owned(),
                "virtual-car.dbc",
            ),
            (
                DBC.to_owned(),
                PROFILE.replace("Vehicle.OBD.RunTime", "Vehicle.X"),
                "command run_time",
            ),
            (
                DBC.to_owned(),
                PROFILE.replace("service = \"22\"", "service = \"21\""),
                "only services",
            ),
        ] {
            let error = Model::read(&dbc, &profile).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
