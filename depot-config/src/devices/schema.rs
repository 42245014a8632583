//! The keys of a device map.

use config_file::{Key, Kind, Presence, Schema, Syntax};

/// The keys of a device map.
pub static SCHEMA: Schema = Schema {
    name: "device map",
    about: "One model of Modbus meter or charger: what is to be found in which register. Short tables are \
            best written in one line, `points = [ { signal = …, address = …, type = … }, … ]`.",
    keys: &[
        Key::required("manufacturer", Kind::Text, "\"Example\"", "Who makes it."),
        Key::required(
            "model",
            Kind::Text,
            "\"X1 / X2\"",
            "Model as its maker writes it; several with the same registers are separated by `/`.",
        ),
        Key::required("kind", Kind::Choice(&["meter", "charger"]), "\"charger\"", "What it is."),
        Key::required(
            "source",
            Kind::Text,
            "\"Example X1 manual, rev. 3, chapter 5\"",
            "The document that the registers come from.",
        ),
        Key::table("defaults", &DEFAULTS, "What holds for all points that do not say otherwise.")
            .presence(Presence::Default("{}")),
        Key::table("workarounds", &WORKAROUNDS, "Deviations from the standard that this device forces.")
            .presence(Presence::Default("{}")),
        Key::table(
            "identity",
            &IDENTITY,
            "The register that says which device this is, usually its serial number. It is read back after every \
             fault and compared.",
        )
        .presence(Presence::Optional),
        Key::table("control", &CONTROL, "How charging is limited; only for chargers. All of it are holding registers.")
            .presence(Presence::Optional),
        Key::tables(
            "guards",
            &GUARD,
            "A register whose content is fixed for devices that this map fits; with another content nothing is read.",
        ),
        Key::tables(
            "unreadable",
            &HOLE,
            "Registers that must not be read, not even when they lie between two points.",
        ),
        Key::tables("points", &POINT, "One signal and its registers.").presence(Presence::Required),
    ],
};

const ADDRESS: Kind = Kind::Integer {
    min: 0,
    max: 105_536,
};
const MILLISECONDS: Kind = Kind::Integer {
    min: 0,
    max: 86_400_000,
};
const INTERVAL: Kind = Kind::Integer {
    min: 50,
    max: 86_400_000,
};
const TABLE: Kind = Kind::Choice(&["holding", "input", "coil", "discrete"]);
const ORDER: Kind = Kind::Choice(&["big", "little"]);
const TYPE: Kind = Kind::Choice(&[
    "bool", "u16", "i16", "u32", "i32", "u64", "i64", "f16", "f32", "f64", "bcd16", "bcd32",
    "mod10k32", "mod10k48", "mod10k64", "string",
]);
const PATTERNS: Kind = Kind::list(&Kind::AnyOf(&[
    Kind::Integer {
        min: 0,
        max: i64::MAX,
    },
    Kind::Syntax(Syntax {
        form: "bits such as \"0xFFFFFFFFFFFFFFFF\"",
        check: |text| {
            let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
            let bits = digits.filter(|digits| !digits.starts_with('+'));
            match bits.map(|digits| u64::from_str_radix(digits, 16)) {
                Some(Ok(_)) => Ok(()),
                _ => Err("it must be 0x and 1 to 16 hexadecimal digits".to_owned()),
            }
        },
    }),
]));

const ADDRESS_ABOUT: &str =
    "Where it stands, as the maker's document counts (see `first_address`).";
const FUNCTION_ABOUT: &str = "Table that it is in, if not the default.";
const WORDS_ABOUT: &str = "Order of its registers, if not the default.";
const BYTES_ABOUT: &str = "Order of the bytes in its registers, if not the default.";

static DEFAULTS: Schema = Schema {
    name: "defaults",
    about: "What holds for all points that do not say otherwise, and how the device wants to be asked.",
    keys: &[
        Key::with_default(
            "function",
            TABLE,
            "\"holding\"",
            "\"input\"",
            "Table that the addresses are in.",
        ),
        Key::with_default(
            "word_order",
            ORDER,
            "\"big\"",
            "\"little\"",
            "Order of the registers of a number; `big` is most significant first.",
        ),
        Key::with_default(
            "byte_order",
            ORDER,
            "\"big\"",
            "\"little\"",
            "Order of the two bytes within a register; `big` is the standard's.",
        ),
        Key::with_default(
            "first_address",
            ADDRESS,
            "0",
            "1",
            "What the maker's document calls the first register: 0, 1, 40001, … It is subtracted from every address \
             of the file.",
        ),
        Key::with_default(
            "max_registers",
            Kind::Integer { min: 1, max: 125 },
            "125",
            "60",
            "Most registers in one request.",
        ),
        Key::with_default(
            "max_bits",
            Kind::Integer { min: 1, max: 2000 },
            "2000",
            "512",
            "Most coils or discrete inputs in one request.",
        ),
        Key::with_default(
            "max_gap",
            Kind::Integer { min: 0, max: 125 },
            "0",
            "8",
            "How many registers between two points may be read along for the sake of fewer requests.",
        ),
        Key::with_default(
            "pause_ms",
            MILLISECONDS,
            "0",
            "100",
            "Silence that the device wants between an answer and the next request.",
        )
        .unit("ms"),
        Key::optional(
            "connections",
            Kind::Integer {
                min: 1,
                max: 65_535,
            },
            "1",
            "How many masters the device serves at a time, where that is known.",
        ),
        Key::with_default(
            "interval_ms",
            INTERVAL,
            "1000",
            "5000",
            "Time between two readings of a point.",
        )
        .unit("ms"),
        Key::table(
            "invalid",
            &INVALID,
            "What stands in a register that has no value, by type, as bits.",
        )
        .presence(Presence::Default("{}")),
    ],
};

/// One line of [`INVALID`].
const fn no_value(register_type: &'static str, example: &'static str) -> Key {
    Key::optional(
        register_type,
        PATTERNS,
        example,
        "What stands in registers of this type that have no value.",
    )
}

static INVALID: Schema = Schema {
    name: "table of invalid values",
    about: "What stands in a register that has no value, by type, as bits.",
    keys: &[
        no_value("u16", "[0xFFFF]"),
        no_value("i16", "[0x8000]"),
        no_value("u32", "[0xFFFFFFFF]"),
        no_value("i32", "[0x80000000]"),
        no_value("u64", "[\"0xFFFFFFFFFFFFFFFF\"]"),
        no_value("i64", "[\"0x8000000000000000\"]"),
        no_value("f16", "[0x7E00]"),
        no_value("f32", "[0x7FC00000]"),
        no_value("f64", "[0x7FF8000000000000]"),
        no_value("bcd16", "[0xFFFF]"),
        no_value("bcd32", "[0xFFFFFFFF]"),
        no_value("mod10k32", "[0x80008000]"),
        no_value("mod10k48", "[0x800080008000]"),
        no_value("mod10k64", "[\"0x8000800080008000\"]"),
    ],
};

static WORKAROUNDS: Schema = Schema {
    name: "table of workarounds",
    about: "Each is switched on by the text that names the device and what it does wrong.",
    keys: &[
        Key::optional(
            "one_request_per_point",
            Kind::Text,
            "\"X1 refuses blocks\"",
            "Every point is read by a request of its own: for devices that answer only whole values.",
        ),
        Key::optional(
            "close_after_cycle",
            Kind::Text,
            "\"X1 serves one master and never lets go\"",
            "The connection is closed after every cycle: for devices that forget to serve others while one is open.",
        ),
        Key::table(
            "pause_after_connect",
            &PAUSE,
            "Nothing is asked for this long after a connection was opened: for devices that ignore the first request.",
        )
        .presence(Presence::Optional),
    ],
};

static PAUSE: Schema = Schema {
    name: "pause after connecting",
    about: "How long nothing is asked after a connection was opened.",
    keys: &[
        Key::required("ms", MILLISECONDS, "500", "How long.").unit("ms"),
        Key::required(
            "because",
            Kind::Text,
            "\"X1 ignores the first request\"",
            "The device that forces it.",
        ),
    ],
};

static IDENTITY: Schema = Schema {
    name: "identity",
    about: "The register that says which device this is.",
    keys: &[
        Key::required("address", ADDRESS, "0xFC00", ADDRESS_ABOUT),
        Key::required(
            "type",
            TYPE,
            "\"string\"",
            "How it is written: an integer or `string`.",
        ),
        Key::optional(
            "registers",
            Kind::Integer { min: 1, max: 125 },
            "8",
            "How many registers a `string` has.",
        ),
        Key::optional("function", TABLE, "\"holding\"", FUNCTION_ABOUT),
        Key::optional("word_order", ORDER, "\"little\"", WORDS_ABOUT),
        Key::optional("byte_order", ORDER, "\"little\"", BYTES_ABOUT),
    ],
};

static GUARD: Schema = Schema {
    name: "guard",
    about: "A register that has the same content in every device that the map fits, such as a model code.",
    keys: &[
        Key::required("address", ADDRESS, "40000", ADDRESS_ABOUT),
        Key::required("type", TYPE, "\"u32\"", "An integer type."),
        Key::optional("function", TABLE, "\"holding\"", FUNCTION_ABOUT),
        Key::required(
            "values",
            Kind::list(&Kind::INTEGER),
            "[0x53756E53]",
            "One of these must stand there.",
        ),
        Key::required(
            "about",
            Kind::Text,
            "\"SunSpec marker\"",
            "What it is, for the message when it is not there.",
        ),
    ],
};

static HOLE: Schema = Schema {
    name: "unreadable range",
    about: "Registers that must not be read.",
    keys: &[
        Key::optional("function", TABLE, "\"holding\"", FUNCTION_ABOUT),
        Key::required("from", ADDRESS, "200", "First address."),
        Key::required("to", ADDRESS, "219", "Last address."),
    ],
};

static CONTROL: Schema = Schema {
    name: "control",
    about: "How charging is limited.",
    keys: &[
        Key::table("current_limit", &SETTING, "Largest current per phase that the vehicle may draw, in A."),
        Key::table(
            "fail_safe_current",
            &SETTING,
            "Current per phase that the charger falls back to when nothing is written in time, in A.",
        )
        .presence(Presence::Optional),
        Key::table("watchdog", &SETTING, "How long the charger waits for the next write before it falls back, in s.")
            .presence(Presence::Optional),
    ],
};

static SETTING: Schema = Schema {
    name: "setting",
    about: "A register that is written.",
    keys: &[
        Key::required("address", ADDRESS, "300", ADDRESS_ABOUT),
        Key::required(
            "type",
            Kind::Choice(&["u16", "i16", "u32", "i32", "f32"]),
            "\"u16\"",
            "How it is written there.",
        ),
        Key::with_default("scale", Kind::Decimal, "1", "0.1", "Value of one step."),
        Key::required(
            "min",
            Kind::Decimal,
            "6",
            "Least value that may be written, in the unit of the setting.",
        ),
        Key::required(
            "max",
            Kind::Decimal,
            "32",
            "Greatest value that may be written.",
        ),
        Key::optional(
            "off",
            Kind::Decimal,
            "0",
            "A value below `min` that means something of its own: a current that pauses charging, a time that \
             switches the watchdog off.",
        ),
        Key::optional("word_order", ORDER, "\"little\"", WORDS_ABOUT),
        Key::with_default(
            "write",
            Kind::Choice(&["single", "multiple"]),
            "\"multiple\"",
            "\"single\"",
            "Function that writes it: `single` (6, for settings of one register) or `multiple` (16).",
        ),
        Key::table(
            "read_back",
            &READ_BACK,
            "Where the device shows what was written, if its register can only be written.",
        )
        .presence(Presence::Optional),
    ],
};

static READ_BACK: Schema = Schema {
    name: "read-back",
    about: "The register that shows a setting whose own register cannot be read. Its steps are those of the setting.",
    keys: &[
        Key::required("address", ADDRESS, "1100", ADDRESS_ABOUT),
        Key::required(
            "type",
            Kind::Choice(&["u16", "i16", "u32", "i32", "f32"]),
            "\"u32\"",
            "How it is written there.",
        ),
    ],
};

static POINT: Schema = Schema {
    name: "point",
    about: "One signal and its registers.",
    keys: &[
        Key::required(
            "signal",
            Kind::Text,
            "\"Current.Import.L1\"",
            "A signal of the catalogue (`shared-protocol/signals.toml`), or a name of its own with a `unit`.",
        ),
        Key::required("address", ADDRESS, "52", ADDRESS_ABOUT),
        Key::required("type", TYPE, "\"u32\"", "How it is written there."),
        Key::optional("function", TABLE, "\"input\"", FUNCTION_ABOUT),
        Key::optional("word_order", ORDER, "\"little\"", WORDS_ABOUT),
        Key::optional("byte_order", ORDER, "\"little\"", BYTES_ABOUT),
        Key::optional(
            "scale",
            Kind::Decimal,
            "0.1",
            "Value of one step in the unit of the signal, 1 if absent; kWh become Wh with 1000.",
        ),
        Key::optional(
            "offset",
            Kind::Decimal,
            "-40",
            "Value of 0 in the unit of the signal, 0 if absent.",
        ),
        Key::optional(
            "scale_factor",
            ADDRESS,
            "60",
            "Address of a SunSpec scale factor (`sunssf`): the value is multiplied by ten to its power as well.",
        ),
        Key::with_default(
            "sign",
            Kind::Choice(&["normal", "inverted", "magnitude"]),
            "\"normal\"",
            "\"inverted\"",
            "`inverted`: the device counts the other way round; `magnitude`: the highest bit is the sign, the others \
             the magnitude.",
        ),
        Key::table("bits", &BITS, "Only these bits of an unsigned integer.")
            .presence(Presence::Optional),
        Key::optional(
            "states",
            Kind::Map(&Kind::INTEGER),
            "{ \"1\" = 0, \"4\" = 2 }",
            "What the device's numbers mean as the signal's. Other numbers are an error.",
        ),
        Key::optional(
            "invalid",
            PATTERNS,
            "[0x7FFF]",
            "What stands there when there is no value, as bits; instead of the default for the type.",
        ),
        Key::optional(
            "interval_ms",
            INTERVAL,
            "60000",
            "Time between two readings, if not the default.",
        )
        .unit("ms"),
        Key::optional(
            "unit",
            Kind::Text,
            "\"°C\"",
            "Unit of a signal that the catalogue does not know.",
        ),
        Key::optional(
            "resolution",
            Kind::Decimal,
            "\"0.01\"",
            "One step of the stored integer, for a signal that the catalogue does not know and that is not an integer.",
        ),
    ],
};

static BITS: Schema = Schema {
    name: "range of bits",
    about: "Some bits of an integer.",
    keys: &[
        Key::required(
            "first",
            Kind::Integer { min: 0, max: 63 },
            "4",
            "Number of the lowest; 0 is the least significant.",
        ),
        Key::required("count", Kind::Integer { min: 1, max: 64 }, "3", "How many."),
    ],
};
