//! The keys of a vehicle profile.

use std::time::Duration;

use config_file::{Key, Kind, Presence, Schema, Syntax};
use isotp::CanId;
use vehicles::profile::Hex;

/// The keys of a vehicle profile.
pub static SCHEMA: Schema = Schema {
    name: "vehicle profile",
    about: "What the gateway knows about one kind of vehicle: its buses, the broadcast frames that a DBC file \
            describes, and the diagnostic requests with what is in their answers.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"Example EV 2021\"",
            "What people call this kind of vehicle.",
        ),
        Key::with_default(
            "vin",
            Kind::List {
                of: &Kind::Text,
                min: 0,
                max: usize::MAX,
            },
            "[]",
            "[\"WXY??ZE*\"]",
            "Which vehicles it is for, as patterns of the VIN (ISO 3779): `?` is any one character, a `*` at the end \
             any rest. Without a pattern it is chosen by name only.",
        ),
        Key::tables("bus", &BUS, "A CAN bus that the gateway is connected to.")
            .presence(Presence::Required),
        Key::tables("dbc", &DBC, "A DBC file and what its signals are."),
        Key::tables(
            "command",
            &COMMAND,
            "A diagnostic request (ISO 14229-1 or SAE J1979 over ISO 15765-2) and the signals of its answer.",
        ),
    ],
};

const FLAG: Kind = Kind::Bool;
const RAWS: Kind = Kind::List {
    of: &Kind::INTEGER,
    min: 0,
    max: usize::MAX,
};
const INTERVAL: Kind = Kind::Duration {
    min: Duration::from_millis(50),
    max: Duration::from_hours(720),
};

const CAN_ID: Kind = Kind::Syntax(Syntax {
    form: "a CAN identifier of three hexadecimal digits (11 bit) or eight (29 bit), such as \"7E4\"",
    check: |text| match text.parse::<CanId>() {
        Ok(_) if matches!(text.len(), 3 | 8) => Ok(()),
        Ok(_) => Err(format!("it has {} digits", text.len())),
        Err(error) => Err(error.to_string()),
    },
});

const BYTE: Kind = Kind::Syntax(Syntax {
    form: "one byte as two hexadecimal digits, such as \"22\"",
    check: |text| match text.parse::<Hex>() {
        Ok(hex) if hex.0.len() == 1 => Ok(()),
        _ => Err(String::new()),
    },
});

const BYTES: Kind = Kind::Syntax(Syntax {
    form: "bytes as pairs of hexadecimal digits, such as \"F190\"",
    check: |text| match text.parse::<Hex>() {
        Ok(hex) if !hex.0.is_empty() => Ok(()),
        _ => Err(String::new()),
    },
});

static BUS: Schema = Schema {
    name: "bus",
    about: "A CAN bus of the vehicle.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"diagnostic\"",
            "Name by which the rest of the file refers to it.",
        ),
        Key::required(
            "bitrate",
            Kind::Integer {
                min: 10_000,
                max: 1_000_000,
            },
            "500000",
            "Its speed.",
        )
        .unit("bit/s"),
        Key::optional(
            "data_bitrate",
            Kind::Integer {
                min: 10_000,
                max: 12_000_000,
            },
            "2000000",
            "Speed of the data phase; only for CAN FD.",
        )
        .unit("bit/s"),
        Key::with_default(
            "listen_only",
            FLAG,
            "false",
            "false",
            "Whether the gateway only listens on this bus and never sends: no commands then.",
        ),
    ],
};

static DBC: Schema = Schema {
    name: "DBC file",
    about: "A DBC file and what its signals are.",
    keys: &[
        Key::required(
            "file",
            Kind::Path,
            "\"example.dbc\"",
            "Path of the file; a relative one starts at the profile's folder. Or the name of one that ships: tesla-model-3.",
        ),
        Key::required(
            "bus",
            Kind::Text,
            "\"diagnostic\"",
            "Name of the bus that it describes.",
        ),
        Key::with_default(
            "only_mapped",
            FLAG,
            "false",
            "true",
            "Whether signals that are not listed below are left out. Otherwise they are kept under their own names, \
             `Message.Signal`.",
        ),
        Key::tables(
            "signal",
            &MAPPED,
            "What one signal of the file is: value = (value by the file) × multiply ÷ divide + add.",
        ),
    ],
};

const MULTIPLY: Key = Key::with_default("multiply", Kind::Decimal, "1", "0.1", "Factor.");
const DIVIDE: Key = Key::with_default("divide", Kind::Decimal, "1", "2", "Divisor.");
const ADD: Key = Key::with_default("add", Kind::Decimal, "0", "-40", "Added after that.");
const NOT_AVAILABLE: Key = Key::with_default(
    "not_available",
    RAWS,
    "[]",
    "[0xFF]",
    "Raw integers that mean that there is no value; for a signed signal negative numbers.",
);
const SIGNAL: Key = Key::optional(
    "signal",
    Kind::Text,
    "\"Vehicle.Powertrain.TractionBattery.StateOfCharge.Current\"",
    "The signal of the catalogue (`shared-protocol/signals.toml`) that it is; without one it keeps its own name.",
);

static MAPPED: Schema = Schema {
    name: "mapped signal",
    about: "What one signal of the file is: value = (value by the file) × multiply ÷ divide + add.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"BMS_Status.StateOfCharge\"",
            "The signal in the file: `Message.Signal`.",
        ),
        SIGNAL,
        Key::optional(
            "unit",
            Kind::Text,
            "\"percent\"",
            "Unit of its values; the catalogue's, or the file's, if absent.",
        ),
        MULTIPLY,
        DIVIDE,
        ADD,
        NOT_AVAILABLE,
    ],
};

static COMMAND: Schema = Schema {
    name: "command",
    about: "A diagnostic request (ISO 14229-1 or SAE J1979 over ISO 15765-2) and the signals of its answer.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"battery\"",
            "Its name, unique within the profile.",
        ),
        Key::optional(
            "bus",
            Kind::Text,
            "\"diagnostic\"",
            "Name of the bus that it is asked on; may be absent if there is only one.",
        ),
        Key::required(
            "request",
            CAN_ID,
            "\"7E4\"",
            "Identifier of the request's frames. `7DF` and `18DB33F1` ask every emission-related ECU at once.",
        ),
        Key::optional(
            "response",
            CAN_ID,
            "\"7EC\"",
            "Identifier of the answer's frames. Absent, it follows from the request as in ISO 15765-4: `7E8` for `7E0` \
             and so on, `18DAF110` for `18DA10F1`; for `7DF` and `18DB33F1` the first ECU that answers is taken.",
        ),
        Key::optional(
            "request_extension",
            BYTE,
            "\"F1\"",
            "First data byte of each of the request's frames, for extended or mixed addressing (ISO 15765-2).",
        ),
        Key::optional(
            "response_extension",
            BYTE,
            "\"F1\"",
            "First data byte of each of the answer's frames, likewise.",
        ),
        Key::required(
            "service",
            BYTE,
            "\"22\"",
            "`01` current data (J1979), `21` by local identifier, `22` by identifier, or another one that only reads.",
        ),
        Key::required("identifier", BYTES, "\"0101\"", "Identifier, 1 to 4 bytes."),
        Key::optional(
            "session",
            BYTE,
            "\"03\"",
            "Diagnostic session that the ECU must be in; absent, the default session serves and nothing is changed in \
             the vehicle.",
        ),
        Key::optional(
            "timeout",
            Kind::Duration {
                min: Duration::from_millis(1),
                max: Duration::from_mins(1),
            },
            "\"200ms\"",
            "Longest time from the request to the first frame of the answer; the engine's own if absent.",
        ),
        Key::optional(
            "answer_length",
            Kind::Integer { min: 1, max: 4092 },
            "2",
            "Bytes of the answer after the identifier, where every car's is the same. Service 22: several such identifiers are \
             asked in one request; an ECU that does not take that is asked for each alone.",
        ),
        Key::table(
            "every",
            &EVERY,
            "How often it is asked, by what the vehicle is doing.",
        )
        .presence(Presence::Default("{}")),
        Key::table(
            "years",
            &YEARS,
            "Model years that it is for; all if absent.",
        )
        .presence(Presence::Optional),
        Key::tables(
            "signal",
            &DIAGNOSTIC,
            "One signal of the answer: value = raw × multiply ÷ divide + add.",
        )
        .presence(Presence::Required),
    ],
};

static EVERY: Schema = Schema {
    name: "table of intervals",
    about: "How often a command is asked. In a state without an interval it is not asked.",
    keys: &[
        Key::optional(
            "asleep",
            INTERVAL,
            "\"12h\"",
            "While its buses are silent. Asking may wake it and drain its 12 V battery.",
        ),
        Key::optional(
            "awake",
            INTERVAL,
            "\"1min\"",
            "While it neither drives nor charges.",
        ),
        Key::optional(
            "charging",
            INTERVAL,
            "\"10s\"",
            "While it is being charged.",
        ),
        Key::optional("driving", INTERVAL, "\"5s\"", "While it is ready to drive."),
    ],
};

const YEAR: Kind = Kind::Integer {
    min: 1980,
    max: 2100,
};

static YEARS: Schema = Schema {
    name: "table of years",
    about: "Model years: `from` alone is that year and later, `to` alone that year and earlier. Both are a range if \
            `from` is before `to`, otherwise its two ends left open.",
    keys: &[
        Key::optional("from", YEAR, "2018", "First year."),
        Key::optional("to", YEAR, "2023", "Last year."),
        Key::with_default(
            "also",
            Kind::List {
                of: &YEAR,
                min: 0,
                max: usize::MAX,
            },
            "[]",
            "[2025]",
            "Single years.",
        ),
    ],
};

static DIAGNOSTIC: Schema = Schema {
    name: "signal",
    about: "One signal of the answer: value = raw × multiply ÷ divide + add.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"soc\"",
            "Its name, unique within the command.",
        ),
        SIGNAL,
        Key::optional(
            "unit",
            Kind::Text,
            "\"percent\"",
            "Unit of its values; the catalogue's if absent.",
        ),
        Key::with_default(
            "bit",
            Kind::Integer {
                min: 0,
                max: 40_000,
            },
            "0",
            "32",
            "Its first, most significant bit, counted from the first bit after service and identifier: byte 4 begins \
             at 32.",
        ),
        Key::required(
            "length",
            Kind::Integer { min: 1, max: 64 },
            "8",
            "Its length.",
        )
        .unit("bit"),
        Key::with_default(
            "order",
            Kind::Choice(&["big", "little"]),
            "\"big\"",
            "\"big\"",
            "Order of its bytes; a `little` signal must begin and end at a byte.",
        ),
        Key::with_default(
            "signed",
            FLAG,
            "false",
            "false",
            "Whether it is two's complement.",
        ),
        MULTIPLY,
        DIVIDE,
        ADD,
        Key::optional("min", Kind::Decimal, "0", "Least value that can be true."),
        Key::optional(
            "max",
            Kind::Decimal,
            "100",
            "Greatest value that can be true.",
        ),
        Key::with_default(
            "outside",
            Kind::Choice(&["drop", "clamp"]),
            "\"drop\"",
            "\"drop\"",
            "What becomes of a value outside `min` and `max`: there is none, or the nearer bound is it.",
        ),
        Key::optional(
            "none_up_to",
            Kind::Decimal,
            "-41",
            "Values up to and including this one mean that there is no value.",
        ),
        Key::optional(
            "none_from",
            Kind::Decimal,
            "101",
            "Values from this one on mean that there is no value.",
        ),
        NOT_AVAILABLE,
        Key::with_default(
            "texts",
            Kind::Map(&Kind::Text),
            "{}",
            "{ 0 = \"off\", 1 = \"on\" }",
            "Texts of raw values. If there are any, a raw value without a text is no value.",
        ),
    ],
};
