//! The keys of a depot file.

use config_file::{Key, Kind, Presence, Schema, Syntax};
use shared_protocol::{AssetKey, GatewayId};

use super::{
    Connector, Phases, VoltageSystem,
    electrical::{Ocpp, OcppVersion, VectorGroup},
    work::{DATE, TIME, Weekday},
};
use crate::{ModbusAddress, devices, tariff};

/// The keys of a depot file.
pub static SCHEMA: Schema = Schema {
    name: "depot file",
    about: "One depot: its circuits from the supply down, its charging stations, meters, parking places and \
            gateways, what the utility bills, and who works when. Ids of circuits, stations, meters and parking \
            places are unique within the file.",
    keys: &[
        Key::table("depot", &DEPOT, "The depot as a whole."),
        Key::table(
            "contract",
            &CONTRACT,
            "What the utility delivers and bills.",
        )
        .presence(Presence::Optional),
        Key::tables(
            "circuit",
            &CIRCUIT,
            "One circuit: what one breaker protects.",
        ),
        Key::tables("station", &STATION, "One charging station."),
        Key::tables(
            "meter",
            &METER,
            "One meter and the circuit that it measures.",
        ),
        Key::tables("parking", &PARKING, "One parking place."),
        Key::tables("gateway", &GATEWAY, "One gateway of the depot."),
        Key::tables(
            "shift",
            &SHIFT,
            "Vehicles that leave and come back together.",
        ),
        Key::tables("holiday", &HOLIDAY, "One day on which the depot rests."),
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
            "voltage_system",
            Kind::Choice(VoltageSystem::TEXTS),
            "\"220Y/127\"",
            "\"220Y/127\"",
            "Voltages between two phases and to neutral, in V, of every circuit that is behind no transformer of this \
             file.",
        ),
        Key::optional(
            "holiday_calendar",
            tariff::HOLIDAYS_NAME,
            "\"mx\"",
            "The statutory holidays on which the depot rests: name of a holiday calendar that ships, or path of a file \
             that ends in .toml.",
        ),
        Key::optional(
            "unbalance",
            Kind::Number { min: 0.0, max: 1000.0 },
            "20",
            "Most by which stations between a phase and neutral may load one phase more than another; no limit if absent.",
        )
        .unit("A"),
        Key::with_default(
            "stops_without_gateway",
            Kind::Bool,
            "false",
            "false",
            "States on purpose that no station charges while no gateway tells it a limit. Without it, a depot whose \
             stations all fall back to 0 A is refused.",
        ),
    ],
};

static CONTRACT: Schema = Schema {
    name: "contract",
    about: "What the utility delivers and bills.",
    keys: &[
        Key::required(
            "demand",
            Kind::Number { min: 1.0, max: 100_000.0 },
            "250",
            "Contracted demand; the sum of what all stations fall back to and everything reserved must be within it.",
        )
        .unit("kW"),
        Key::optional(
            "target",
            Kind::Number { min: 1.0, max: 100_000.0 },
            "200",
            "The greatest 15-minute average that is wanted; the contracted demand if absent.",
        )
        .unit("kW"),
        Key::with_default(
            "tariff_book",
            tariff::BOOK_NAME,
            "\"cfe\"",
            "\"cfe\"",
            "Name of a tariff book that ships, or path of a file that ends in .toml: calendars and charges.",
        ),
        Key::required("tariff", Kind::Text, "\"GDMTH\"", "The tariff, by its name in the book."),
        Key::required(
            "division",
            Kind::Text,
            "\"Valle de México Centro\"",
            "The tariff division, by its name in the book.",
        ),
        Key::optional(
            "prices",
            tariff::PRICES_NAME,
            "\"cfe-example\"",
            "Name of a price table that ships, or path of a file that ends in .toml.",
        ),
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
        Key::optional(
            "phase_limits",
            Kind::List {
                of: &Kind::Number {
                    min: 1.0,
                    max: 6300.0,
                },
                min: 1,
                max: 3,
            },
            "[200, 200, 180]",
            "Limits below what the breaker may carry, one for each phase in their order.",
        )
        .unit("A"),
        Key::optional(
            "neutral_limit",
            Kind::Number {
                min: 1.0,
                max: 6300.0,
            },
            "100",
            "Most that its neutral conductor may carry, where it is smaller than those of the phases. Without it the neutral \
             carries what a phase does: it never has more to carry, for loads between a phase and neutral.",
        )
        .unit("A"),
        Key::table(
            "transformer",
            &TRANSFORMER,
            "The transformer through which it is fed; its breaker is on the secondary side.",
        )
        .presence(Presence::Optional),
    ],
};

static TRANSFORMER: Schema = Schema {
    name: "transformer",
    about: "A three-phase transformer.",
    keys: &[
        Key::required(
            "power",
            Kind::Number {
                min: 1.0,
                max: 10_000.0,
            },
            "112.5",
            "Rated power.",
        )
        .unit("kVA"),
        Key::with_default(
            "connection",
            Kind::Choice(VectorGroup::TEXTS),
            "\"Dyn1\"",
            "\"Dyn11\"",
            "Vector group (IEC 60076-1): delta to wye with the secondary 30° behind or ahead, or wye to wye.",
        ),
        Key::required(
            "voltage_system",
            Kind::Choice(VoltageSystem::TEXTS),
            "\"220Y/127\"",
            "Voltages of the secondary side, in V: of this circuit and of everything that it feeds.",
        ),
    ],
};

static STATION: Schema = Schema {
    name: "station",
    about: "A charging station. Its connectors share what it draws.",
    keys: &[
        Key::required("id", ID, "\"s-01\"", "Its id, also the key of its samples."),
        Key::required("circuit", ID, "\"main\"", "The circuit that feeds it."),
        Key::required(
            "phases",
            Kind::Choice(Phases::TEXTS),
            "\"L1-L2\"",
            "The phases that it is wired to, in the order of its terminals: one is to neutral (L-N), two are between \
             these (L-L).",
        ),
        Key::required(
            "connectors",
            Kind::List { of: &Kind::Choice(Connector::TEXTS), min: 1, max: 8 },
            "[\"Type 1\"]",
            "What plugs into the vehicle, by the number of the connector from 1.",
        ),
        Key::required(
            "max_current",
            Kind::Number { min: 6.0, max: 1000.0 },
            "32",
            "Most that it draws from each of its phases, also for DC; at least the 6 A of IEC 61851-1.",
        )
        .unit("A"),
        Key::with_default(
            "min_current",
            Kind::Number { min: 6.0, max: 1000.0 },
            "6",
            "6",
            "Least with which it charges; below, it pauses. IEC 61851-1 has 6 A, DC stations often more.",
        )
        .unit("A"),
        Key::required(
            "fallback_current",
            Kind::Number { min: 0.0, max: 1000.0 },
            "10",
            "What it falls back to by itself when nobody tells it a limit: 0, or at least min_current. A station that \
             nobody can limit falls back to its max_current.",
        )
        .unit("A"),
        Key::optional(
            "writes_per_day",
            Kind::Integer { min: 500, max: 100_000 },
            "5000",
            "How often a limit may be written to it in a day, for it keeps them in flash; 5000 if absent. Cuts and renewals \
             are never kept back: with less, leases last longer and raises wait.",
        ),
        Key::with_default(
            "switches_phases",
            Kind::Bool,
            "false",
            "true",
            "Whether it can be told to use its first phase alone, where all three do not fit: by OCPP, and only where its \
             manufacturer says so (1.6 ConnectorSwitch3to1PhaseSupported, 2.0.1 ACPhaseSwitchingSupported).",
        ),
        Key::optional(
            "gateway",
            GATEWAY_ID,
            "\"gw-centro\"",
            "The gateway that limits it; may be absent where there is one.",
        ),
        Key::table("modbus", &UNIT, "How it is read and limited over Modbus.").presence(Presence::Optional),
        Key::table("ocpp", &OCPP, "How it is known over OCPP.").presence(Presence::Optional),
    ],
};

static OCPP: Schema = Schema {
    name: "OCPP identity",
    about: "A station that connects to its gateway by OCPP.",
    keys: &[
        Key::required(
            "id",
            Ocpp::ID,
            "\"CP-01\"",
            "Its identity, the last part of the address that it connects to.",
        ),
        Key::with_default(
            "version",
            Kind::Choice(OcppVersion::TEXTS),
            "\"1.6\"",
            "\"2.0.1\"",
            "The version of OCPP that it speaks.",
        ),
    ],
};

static METER: Schema = Schema {
    name: "meter",
    about: "A meter and the circuit that it measures.",
    keys: &[
        Key::required("id", ID, "\"grid\"", "Its id, also the key of its samples."),
        Key::required("circuit", ID, "\"main\"", "The circuit that it measures."),
        Key::optional(
            "gateway",
            GATEWAY_ID,
            "\"gw-centro\"",
            "The gateway that reads it; may be absent where there is one.",
        ),
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
        Key::with_default(
            "connector",
            Kind::Integer { min: 1, max: 8 },
            "1",
            "1",
            "Which connector of the station.",
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

static SHIFT: Schema = Schema {
    name: "shift",
    about: "Vehicles that leave and come back together, on certain days.",
    keys: &[
        Key::required("name", Kind::Text, "\"matutino\"", "What people call it."),
        Key::with_default(
            "days",
            Kind::List {
                of: &Kind::Choice(Weekday::TEXTS),
                min: 1,
                max: 7,
            },
            "[\"monday\", \"tuesday\", \"wednesday\", \"thursday\", \"friday\"]",
            "[\"saturday\", \"sunday\"]",
            "The days on which it begins.",
        ),
        Key::required(
            "leaves",
            TIME,
            "\"05:30\"",
            "When its vehicles leave, local time.",
        ),
        Key::required(
            "returns",
            TIME,
            "\"14:00\"",
            "When they are back, local time; the next day when it is not later than `leaves`.",
        ),
        Key::required(
            "vehicles",
            Kind::Integer {
                min: 1,
                max: 10_000,
            },
            "12",
            "How many vehicles.",
        ),
        Key::with_default(
            "on_holidays",
            Kind::Bool,
            "false",
            "true",
            "Whether it works on holidays.",
        ),
    ],
};

static HOLIDAY: Schema = Schema {
    name: "holiday",
    about: "A day on which the depot rests, besides those of its holiday calendar.",
    keys: &[
        Key::required("date", DATE, "\"2026-12-12\"", "The day."),
        Key::required(
            "name",
            Kind::Text,
            "\"Día del operador\"",
            "What people call it.",
        ),
    ],
};
