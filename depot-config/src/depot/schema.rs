//! The keys of a depot file.

use config_file::{Key, Kind, Presence, Schema, Syntax};
use shared_protocol::{AssetKey, GatewayId};

use super::Phases;
use crate::{ModbusAddress, devices};

/// The keys of a depot file.
pub static SCHEMA: Schema = Schema {
    name: "depot file",
    about: "One depot: its circuits from the supply down, its charging stations, meters, parking places and \
            gateways. Ids of circuits, stations, meters and parking places are unique within the file.",
    keys: &[
        Key::table("depot", &DEPOT, "The depot as a whole."),
        Key::tables(
            "circuit",
            &CIRCUIT,
            "One circuit: what one breaker protects.",
        ),
        Key::tables(
            "station",
            &STATION,
            "One charging station with one connector.",
        ),
        Key::tables(
            "meter",
            &METER,
            "One meter and the circuit that it measures.",
        ),
        Key::tables("parking", &PARKING, "One parking place."),
        Key::tables("gateway", &GATEWAY, "One gateway of the depot."),
    ],
};

const ID: Kind = Kind::Syntax(Syntax {
    form: "an id (1 to 64 of a-z 0-9 . - _)",
    check: |text| {
        text.parse::<AssetKey>()
            .map(drop)
            .map_err(|_| String::new())
    },
});

const GATEWAY_ID: Kind = Kind::Syntax(Syntax {
    form: "a gateway id (1 to 32 of a-z 0-9 -)",
    check: |text| {
        text.parse::<GatewayId>()
            .map(drop)
            .map_err(|_| String::new())
    },
});

const TIME_ZONE: Kind = Kind::Syntax(Syntax {
    form: "a time zone of the IANA database such as \"America/Mexico_City\"",
    check: time_zone,
});

fn time_zone(name: &str) -> Result<(), String> {
    let database = jiff::tz::TimeZoneDatabase::bundled();
    if database.get(name).is_ok() {
        return Ok(());
    }
    let names: Vec<_> = database.available().map(|name| name.to_string()).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    Err(config_file::nearest(name, &names)
        .map_or(String::new(), |near| format!("did you mean \"{near}\"?")))
}

static DEPOT: Schema = Schema {
    name: "depot",
    about: "The depot as a whole.",
    keys: &[
        Key::required(
            "id",
            ID,
            "\"centro\"",
            "Its id, unique among the depots of the organisation.",
        ),
        Key::required(
            "name",
            Kind::Text,
            "\"Depósito Centro\"",
            "What people call it.",
        ),
        Key::required(
            "time_zone",
            TIME_ZONE,
            "\"America/Mexico_City\"",
            "The zone of its clocks and of its tariff.",
        ),
        Key::required(
            "latitude",
            Kind::Number {
                min: -90.0,
                max: 90.0,
            },
            "19.4326",
            "North is positive.",
        )
        .unit("°"),
        Key::required(
            "longitude",
            Kind::Number {
                min: -180.0,
                max: 180.0,
            },
            "-99.1332",
            "East is positive.",
        )
        .unit("°"),
        Key::with_default(
            "voltage",
            Kind::Number {
                min: 100.0,
                max: 1000.0,
            },
            "220",
            "220",
            "Nominal voltage between two phases.",
        )
        .unit("V"),
    ],
};

static CIRCUIT: Schema = Schema {
    name: "circuit",
    about: "What one breaker protects. Circuits form a tree; those without a parent are fed by the supply.",
    keys: &[
        Key::required("id", ID, "\"main\"", "Its id."),
        Key::optional(
            "parent",
            ID,
            "\"main\"",
            "The circuit that feeds it; absent at the supply.",
        ),
        Key::required(
            "breaker",
            Kind::Integer { min: 6, max: 6300 },
            "400",
            "Rating of its breaker, per phase.",
        )
        .unit("A"),
        Key::with_default(
            "phases",
            Kind::Choice(Phases::TEXTS),
            "\"L1-L2-L3\"",
            "\"L1-L2-L3\"",
            "The phases that it carries.",
        ),
        Key::with_default(
            "rated_100_percent",
            Kind::Bool,
            "false",
            "true",
            "Whether breaker and enclosure are listed for continuous operation at their full rating. Others carry \
             80 % of it for as long as charging takes (NOM-001-SEDE-2012 and NEC, 210-20(a), 215-3).",
        ),
        Key::with_default(
            "reserved",
            Kind::Number {
                min: 0.0,
                max: 6300.0,
            },
            "0",
            "20",
            "Current per phase that is kept free for loads which are not stations of this file.",
        )
        .unit("A"),
    ],
};

static STATION: Schema = Schema {
    name: "station",
    about: "A charging station with one connector. One with two connectors is two stations.",
    keys: &[
        Key::required("id", ID, "\"s-01\"", "Its id, also the key of its samples."),
        Key::required("circuit", ID, "\"main\"", "The circuit that feeds it."),
        Key::required("phases", Kind::Choice(Phases::TEXTS), "\"L1-L2\"", "The phases that it is wired to, in the order of its terminals."),
        Key::required(
            "connector",
            Kind::Choice(&["Type 1", "Type 2", "CCS1", "CCS2", "GB/T AC", "GB/T DC", "CHAdeMO", "NACS"]),
            "\"Type 1\"",
            "What plugs into the vehicle.",
        ),
        Key::required(
            "max_current",
            Kind::Number { min: 6.0, max: 1000.0 },
            "32",
            "Most that it draws from each of its phases; at least the 6 A of IEC 61851-1.",
        )
        .unit("A"),
        Key::required(
            "fallback_current",
            Kind::Number { min: 0.0, max: 1000.0 },
            "10",
            "What it falls back to by itself when nobody tells it a limit: 0, or at least 6 A. A station that nobody \
             can limit falls back to its max_current.",
        )
        .unit("A"),
        Key::table("modbus", &UNIT, "How it is read and limited over Modbus.").presence(Presence::Optional),
    ],
};

static METER: Schema = Schema {
    name: "meter",
    about: "A meter and the circuit that it measures.",
    keys: &[
        Key::required("id", ID, "\"grid\"", "Its id, also the key of its samples."),
        Key::required("circuit", ID, "\"main\"", "The circuit that it measures."),
        Key::table("modbus", &UNIT, "How it is read."),
    ],
};

static UNIT: Schema = Schema {
    name: "Modbus unit",
    about: "A unit on a Modbus line.",
    keys: &[
        Key::required(
            "address",
            ModbusAddress::KIND,
            "\"tcp://10.20.0.11:502\"",
            "The line that it is on.",
        ),
        Key::with_default(
            "unit",
            Kind::Integer { min: 0, max: 255 },
            "1",
            "1",
            "Its number on the line; on RTU lines 1 to 247.",
        ),
        Key::required(
            "map",
            devices::NAME,
            "\"map.toml\"",
            "Name of a device map that ships, or path of a file that ends in .toml.",
        ),
    ],
};

static PARKING: Schema = Schema {
    name: "parking place",
    about: "Where a vehicle stands.",
    keys: &[
        Key::required("id", ID, "\"p-01\"", "Its id."),
        Key::optional(
            "station",
            ID,
            "\"s-01\"",
            "The station whose cable reaches it.",
        ),
    ],
};

static GATEWAY: Schema = Schema {
    name: "gateway",
    about: "A gateway of the depot.",
    keys: &[Key::required(
        "id",
        GATEWAY_ID,
        "\"gw-centro\"",
        "The id in its own configuration.",
    )],
};
