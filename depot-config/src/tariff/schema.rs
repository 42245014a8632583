//! The keys of tariff books, holiday calendars and price tables.

use config_file::{Key, Kind, Presence, Schema};

use super::{BOOK_NAME, DateRule, HOLIDAYS_NAME, Hours, Month, Per, Period};
use crate::depot::DATE;

const YEAR: Kind = Kind::Integer {
    min: 1900,
    max: 2200,
};
const DEMAND: Kind = Kind::Number {
    min: 0.0,
    max: 1_000_000.0,
};
const PERIODS: Kind = Kind::List {
    of: &Kind::Choice(Period::TEXTS),
    min: 1,
    max: 5,
};

/// The keys of a tariff book.
pub static BOOK: Schema = Schema {
    name: "tariff book",
    about: "The hours and charges of a utility's tariffs, with the days from which they hold. Prices stand in price \
            tables.",
    keys: &[
        Key::required("name", Kind::Text, "\"CFE\"", "What people call it."),
        Key::required(
            "source",
            Kind::Text,
            "\"Acuerdo CRE A/158/2024\"",
            "Where its rules stand.",
        ),
        Key::required(
            "currency",
            Kind::Choice(&["MXN", "USD", "EUR"]),
            "\"MXN\"",
            "Currency of its prices (ISO 4217).",
        ),
        Key::required(
            "holiday_calendar",
            HOLIDAYS_NAME,
            "\"mx\"",
            "Name of a holiday calendar that ships, or path of a file that ends in .toml.",
        ),
        Key::tables(
            "system",
            &SYSTEM,
            "A part of the country whose hours are the same.",
        )
        .presence(Presence::Required),
        Key::tables(
            "calendar",
            &CALENDAR,
            "The hours of a system for some tariffs, from a day on.",
        ),
        Key::tables("tariff", &TARIFF, "One tariff, from a day on.").presence(Presence::Required),
    ],
};

static SYSTEM: Schema = Schema {
    name: "system",
    about: "A part of the country whose hours are the same.",
    keys: &[
        Key::required("name", Kind::Text, "\"SIN\"", "Its short name."),
        Key::required(
            "about",
            Kind::Text,
            "\"Sistema Interconectado Nacional\"",
            "Its full name.",
        ),
        Key::required(
            "divisions",
            Kind::list(&Kind::Text),
            "[\"Valle de México Centro\"]",
            "Its tariff divisions.",
        ),
        Key::required(
            "time_zones",
            Kind::list(&Kind::Text),
            "[\"America/Mexico_City\"]",
            "Time zones of the IANA database that are found in it.",
        ),
    ],
};

static CALENDAR: Schema = Schema {
    name: "calendar",
    about: "The hours of a system for some tariffs, from a day on. Hours are those that the local clock shows.",
    keys: &[
        Key::required("system", Kind::Text, "\"SIN\"", "The system."),
        Key::required(
            "tariffs",
            Kind::list(&Kind::Text),
            "[\"GDMTH\"]",
            "The tariffs whose hours they are.",
        ),
        Key::required("valid_from", DATE, "\"2024-01-01\"", "First day."),
        Key::optional(
            "valid_until",
            DATE,
            "\"2029-12-31\"",
            "Last day; without it, until further notice.",
        ),
        Key::tables(
            "season",
            &SEASON,
            "A part of the year, until the next one begins.",
        )
        .presence(Presence::Required),
    ],
};

static SEASON: Schema = Schema {
    name: "season",
    about: "A part of the year, until the next one begins.",
    keys: &[
        Key::required("name", Kind::Text, "\"verano\"", "What it is called."),
        Key::required(
            "begins",
            DateRule::KIND,
            "\"first sunday of april\"",
            "Its first day.",
        ),
        Key::required(
            "weekday",
            Hours::KIND,
            "\"0-6 base, 6-20 intermedia, 20-22 punta, 22-24 intermedia\"",
            "Hours from Monday to Friday.",
        ),
        Key::required(
            "saturday",
            Hours::KIND,
            "\"0-7 base, 7-24 intermedia\"",
            "Hours on Saturday.",
        ),
        Key::required(
            "sunday",
            Hours::KIND,
            "\"0-19 base, 19-24 intermedia\"",
            "Hours on Sunday and on holidays.",
        ),
    ],
};

static TARIFF: Schema = Schema {
    name: "tariff",
    about: "One tariff, from a day on.",
    keys: &[
        Key::required("name", Kind::Text, "\"GDMTH\"", "Its name."),
        Key::required(
            "about",
            Kind::Text,
            "\"Gran demanda en media tensión horaria\"",
            "Whom it is for.",
        ),
        Key::required("valid_from", DATE, "\"2024-01-01\"", "First day."),
        Key::optional(
            "valid_until",
            DATE,
            "\"2029-12-31\"",
            "Last day; without it, until further notice.",
        ),
        Key::optional("min_demand", DEMAND, "100", "Least contracted demand.").unit("kW"),
        Key::optional("max_demand", DEMAND, "10000", "Greatest contracted demand.").unit("kW"),
        Key::required(
            "time_of_use",
            Kind::Bool,
            "true",
            "Whether its hours have periods.",
        ),
        Key::optional(
            "load_factor",
            Kind::Decimal,
            "\"0.57\"",
            "Load factor of the tariff's class: billed demand is at most energy / (24 h · days · load factor).",
        ),
        Key::optional(
            "capacity_periods",
            PERIODS,
            "[\"punta\"]",
            "Periods whose greatest demand counts for capacity.",
        ),
        Key::optional(
            "distribution_periods",
            PERIODS,
            "[\"base\", \"intermedia\", \"punta\"]",
            "Periods whose greatest demand counts for distribution.",
        ),
        Key::tables("charge", &CHARGE, "One thing that is billed.").presence(Presence::Required),
    ],
};

static CHARGE: Schema = Schema {
    name: "charge",
    about: "One thing that is billed.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"generacion_base\"",
            "Its name in price tables.",
        ),
        Key::required(
            "segment",
            Kind::Text,
            "\"Generacion\"",
            "What it is called in the utility's own tables.",
        ),
        Key::required(
            "per",
            Kind::Choice(Per::TEXTS),
            "\"kWh\"",
            "What is counted.",
        ),
        Key::optional(
            "period",
            Kind::Choice(&["base", "intermedia", "semipunta", "punta"]),
            "\"base\"",
            "The period whose energy it bills; of all if absent.",
        ),
        Key::with_default(
            "optional",
            Kind::Bool,
            "false",
            "true",
            "Whether a month may lack it.",
        ),
    ],
};

/// The keys of a holiday calendar.
pub static HOLIDAYS: Schema = Schema {
    name: "holiday calendar",
    about: "The statutory days of rest of a country, as rules.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"Días de descanso obligatorio\"",
            "What people call it.",
        ),
        Key::required(
            "source",
            Kind::Text,
            "\"Ley Federal del Trabajo, art. 74\"",
            "The law.",
        ),
        Key::tables("holiday", &RULE, "A day of rest.").presence(Presence::Required),
    ],
};

static RULE: Schema = Schema {
    name: "holiday",
    about: "A day of rest.",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "\"Día de la Constitución\"",
            "What people call it.",
        ),
        Key::required(
            "date",
            DateRule::KIND,
            "\"first monday of february\"",
            "The day.",
        ),
        Key::optional("from_year", YEAR, "2024", "First year; without it, always."),
        Key::optional(
            "until_year",
            YEAR,
            "2030",
            "Last year; without it, until further notice.",
        ),
        Key::with_default(
            "every_years",
            Kind::Integer { min: 1, max: 100 },
            "1",
            "6",
            "Every so many years, counted from from_year.",
        ),
    ],
};

/// The keys of a price table.
pub static PRICES: Schema = Schema {
    name: "price table",
    about: "Prices per tariff, division and month, with their source and date. Whatever is computed with them says so.",
    keys: &[
        Key::required("name", Kind::Text, "\"CFE 2026\"", "What people call it."),
        Key::required(
            "source",
            Kind::Text,
            "\"tariff pages of CFE\"",
            "Where the prices are from.",
        ),
        Key::required(
            "date",
            DATE,
            "\"2026-01-05\"",
            "The day on which they were taken from there.",
        ),
        Key::with_default(
            "example",
            Kind::Bool,
            "false",
            "true",
            "Whether they are made up.",
        ),
        Key::with_default(
            "tariff_book",
            BOOK_NAME,
            "\"cfe\"",
            "\"cfe\"",
            "The tariff book that has its tariffs: name of one that ships, or path of a file that ends in .toml.",
        ),
        Key::tables(
            "month",
            &MONTH,
            "The prices of one tariff in one division for one month.",
        )
        .presence(Presence::Required),
    ],
};

static MONTH: Schema = Schema {
    name: "month",
    about: "The prices of one tariff in one division for one month.",
    keys: &[
        Key::required(
            "tariff",
            Kind::Text,
            "\"PDBT\"",
            "The tariff, by its name in the book.",
        ),
        Key::required(
            "division",
            Kind::Text,
            "\"Jalisco\"",
            "The division, by its name in the book.",
        ),
        Key::required("month", Month::KIND, "\"2026-01\"", "The month."),
        Key::required(
            "prices",
            Kind::Map(&Kind::Decimal),
            "{ suministro = \"50\", transmision = \"0.2\", cenace = \"0.01\", scnmem = \"0.01\", generacion = \"1\", distribucion = \"0.5\", capacidad = \"0.5\" }",
            "Price of one unit of each charge, in the currency of the book.",
        ),
    ],
};
