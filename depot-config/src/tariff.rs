//! Tariffs: which hours cost what, which demand is billed, and the prices of a month.
//!
//! A *tariff book* has the calendars and charges of a utility, with the dates from which they hold; a *holiday
//! calendar* the rules of a country's days of rest; a *price table* the prices per division and month, with their
//! source and date. All three are files: those that ship are found by name, anybody's own by path.
//!
//! | file | subject |
//! |---|---|
//! | `tariff/book.rs` | the tariff book: [`Book`], [`Tariff`], [`Charge`], [`Calendar`] |
//! | `tariff/rule.rs` | days of a year by rule: [`DateRule`] |
//! | `tariff/hours.rs` | hours of a day by [`Period`]: [`Hours`] |
//! | `tariff/holidays.rs` | days of rest: [`HolidayCalendar`] |
//! | `tariff/service.rs` | the tariff of one depot: instant to period, periods of a span of time, billed demand |
//! | `tariff/prices.rs` | price tables: [`PriceTable`], [`Prices`], [`TableId`] |
//! | `tariff/import.rs` | price tables from CSV |
//! | `tariff/show.rs` | a tariff as text |
//! | `tariff/schema.rs` | the keys of all three files |

mod book;
mod holidays;
mod hours;
mod import;
mod prices;
mod rule;
mod schema;
mod service;
mod show;

use config_file::{Collection, Kind, Syntax};
use jiff::civil::Date;

pub use book::{Book, Calendar, Charge, Per, Season, System, Tariff};
pub use holidays::HolidayCalendar;
pub use hours::{Hours, Period};
pub use import::{ImportError, Imported, Origin, import};
pub use prices::{Month, MonthPrices, Price, PriceTable, Prices, TableId};
pub use rule::DateRule;
pub use schema::{BOOK, HOLIDAYS as HOLIDAYS_SCHEMA, PRICES as PRICES_SCHEMA};
pub use service::{Billed, DayKind, Moment, Service, Span};
pub use show::show;

/// All tariff books.
pub static BOOKS: Collection<Book> = Collection {
    what: "tariff book",
    folder: "depot-config/tariffs/books",
    shipped: include!(concat!(env!("OUT_DIR"), "/books.rs")),
    schema: &BOOK,
    finish: Book::finish,
};

/// All holiday calendars.
pub static HOLIDAYS: Collection<HolidayCalendar> = Collection {
    what: "holiday calendar",
    folder: "depot-config/tariffs/holidays",
    shipped: include!(concat!(env!("OUT_DIR"), "/holidays.rs")),
    schema: &HOLIDAYS_SCHEMA,
    finish: HolidayCalendar::finish,
};

/// All price tables.
pub static PRICES: Collection<PriceTable> = Collection {
    what: "price table",
    folder: "depot-config/tariffs/prices",
    shipped: include!(concat!(env!("OUT_DIR"), "/prices.rs")),
    schema: &PRICES_SCHEMA,
    finish: PriceTable::finish,
};

/// The text by which a file names a tariff book.
pub const BOOK_NAME: Kind = Kind::Syntax(Syntax {
    form: "the name of a tariff book that ships, or the path of one that ends in .toml",
    check: |text| BOOKS.admits(text),
});

/// The text by which a file names a holiday calendar.
pub const HOLIDAYS_NAME: Kind = Kind::Syntax(Syntax {
    form: "the name of a holiday calendar that ships, or the path of one that ends in .toml",
    check: |text| HOLIDAYS.admits(text),
});

/// The text by which a file names a price table.
pub const PRICES_NAME: Kind = Kind::Syntax(Syntax {
    form: "the name of a price table that ships, or the path of one that ends in .toml",
    check: |text| PRICES.admits(text),
});

/// Why a tariff has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TariffError {
    /// The book does not have it.
    #[error("the tariff book `{book}` has no tariff {tariff}; it has {known}")]
    NoTariff {
        /// Its name.
        tariff: String,
        /// Of the book.
        book: String,
        /// What it has.
        known: String,
    },
    /// The book does not have it.
    #[error("the tariff book `{book}` has no division {division}; it has {known}")]
    NoDivision {
        /// Its name.
        division: String,
        /// Of the book.
        book: String,
        /// What it has.
        known: String,
    },
    /// No version of the tariff is valid on that day.
    #[error(
        "the tariff book `{book}` has no tariff {tariff} that is valid on {date}: bring the book up to date"
    )]
    NotValid {
        /// Its name.
        tariff: String,
        /// Of the book.
        book: String,
        /// The day.
        date: Date,
    },
    /// No calendar of the system is valid on that day for that tariff.
    #[error(
        "the tariff book `{book}` has no calendar of system {system} for {tariff} on {date}: add one with its hours"
    )]
    NoCalendar {
        /// The tariff.
        tariff: String,
        /// Of the book.
        book: String,
        /// The system.
        system: String,
        /// The day.
        date: Date,
    },
    /// The price table lacks a month.
    #[error(
        "the price table `{table}` has no prices of {tariff} in {division} for {month}{nearest}: import that month"
    )]
    NoPrices {
        /// The tariff.
        tariff: String,
        /// The division.
        division: String,
        /// The month.
        month: Month,
        /// The table.
        table: String,
        /// The months that it has, as ` (it has …)`; may be empty.
        nearest: String,
    },
    /// A month lacks a charge.
    #[error("the price table `{table}` has no `{charge}` of {tariff} in {division} for {month}")]
    NoCharge {
        /// The charge.
        charge: String,
        /// The tariff.
        tariff: String,
        /// The division.
        division: String,
        /// The month.
        month: Month,
        /// The table.
        table: String,
    },
    /// Numbers that are too large or too small to be exact.
    #[error("the {what} is too large to be computed exactly")]
    TooLarge {
        /// Of what.
        what: &'static str,
    },
    /// Nothing can be said of such a time.
    #[error("expected {expected}, found {found}")]
    Time {
        /// What was expected.
        expected: &'static str,
        /// What was found.
        found: String,
    },
}

/// Text without accents and capitals, by which divisions are compared: public tables leave accents out.
pub(crate) fn folded(text: &str) -> String {
    text.trim()
        .chars()
        .flat_map(char::to_lowercase)
        .map(|letter| match letter {
            'á' => 'a',
            'é' => 'e',
            'í' => 'i',
            'ó' => 'o',
            'ú' | 'ü' => 'u',
            'ñ' => 'n',
            other => other,
        })
        .collect()
}
