//! The tariff book: systems, calendars, charges.

use std::{collections::HashSet, sync::Arc};

use config_file::{Fault, Loader, Spans};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use shared_protocol::Decimal;

use super::{DateRule, HOLIDAYS, HolidayCalendar, Hours, Period, TariffError, folded};

/// The calendars and charges of a utility.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
    /// What people call it.
    pub name: String,
    /// Where its rules stand.
    pub source: String,
    /// ISO 4217 code of its prices.
    pub currency: String,
    /// The holiday calendar: name of one that ships, or path of a file.
    pub holiday_calendar: String,
    /// Parts of the country whose hours are the same.
    #[serde(rename = "system")]
    pub systems: Vec<System>,
    /// Hours of the systems.
    #[serde(rename = "calendar")]
    pub calendars: Vec<Calendar>,
    /// Tariffs.
    #[serde(rename = "tariff")]
    pub tariffs: Vec<Tariff>,
    /// What `holiday_calendar` names.
    #[serde(skip)]
    pub holidays: Option<Arc<HolidayCalendar>>,
}

/// A part of the country whose hours are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct System {
    /// Its short name.
    pub name: String,
    /// Its full name.
    pub about: String,
    /// Its tariff divisions.
    pub divisions: Vec<String>,
    /// Time zones that are found in it.
    pub time_zones: Vec<String>,
}

/// The hours of a system, from a day on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// The system.
    pub system: String,
    /// The tariffs whose hours they are.
    pub tariffs: Vec<String>,
    /// First day.
    pub valid_from: Date,
    /// Last day.
    pub valid_until: Option<Date>,
    /// Its seasons.
    #[serde(rename = "season")]
    pub seasons: Vec<Season>,
}

/// A part of the year, until the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Season {
    /// What it is called.
    pub name: String,
    /// Its first day.
    pub begins: DateRule,
    /// Hours from Monday to Friday.
    pub weekday: Hours,
    /// Hours on Saturday.
    pub saturday: Hours,
    /// Hours on Sunday and on days of rest.
    pub sunday: Hours,
}

/// A tariff, from a day on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    /// Its name.
    pub name: String,
    /// Whom it is for.
    pub about: String,
    /// First day.
    pub valid_from: Date,
    /// Last day.
    pub valid_until: Option<Date>,
    /// Least contracted demand, in kW.
    pub min_demand: Option<f64>,
    /// Greatest contracted demand, in kW.
    pub max_demand: Option<f64>,
    /// Whether its hours have periods.
    pub time_of_use: bool,
    /// Load factor of the tariff's class, by which the month's energy becomes a demand.
    pub load_factor: Option<Decimal>,
    /// Periods whose greatest demand counts for capacity.
    pub capacity_periods: Option<Vec<Period>>,
    /// Periods whose greatest demand counts for distribution.
    pub distribution_periods: Option<Vec<Period>>,
    /// What is billed.
    #[serde(rename = "charge")]
    pub charges: Vec<Charge>,
}

/// One thing that is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge {
    /// Its name in price tables.
    pub name: String,
    /// What it is called in the utility's own tables.
    pub segment: String,
    /// What is counted.
    pub per: Per,
    /// The period whose energy it bills; of all if absent.
    pub period: Option<Period>,
    /// Whether a month may lack it.
    pub optional: bool,
}

/// What a charge counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Per {
    /// The month.
    #[serde(rename = "month")]
    Month,
    /// Energy.
    #[serde(rename = "kWh")]
    Energy,
    /// Billed demand for capacity, by month.
    #[serde(rename = "kW capacity")]
    Capacity,
    /// Billed demand for distribution, by month.
    #[serde(rename = "kW distribution")]
    Distribution,
}

impl Per {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] = &["month", "kWh", "kW capacity", "kW distribution"];

    /// The unit of what is counted.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Energy => "kWh",
            Self::Capacity | Self::Distribution => "kW",
        }
    }
}

fn valid(date: Date, from: Date, until: Option<Date>) -> bool {
    from <= date && until.is_none_or(|until| date <= until)
}

impl Calendar {
    /// The season of a day: the one that began last. A calendar that was read has one.
    pub fn season(&self, date: Date) -> Option<&Season> {
        let year = date.year();
        let began = |season: &Season| {
            let this = season.begins.in_year(year).filter(|begin| *begin <= date);
            this.or_else(|| season.begins.in_year(year.saturating_sub(1)))
        };
        self.seasons.iter().max_by_key(|season| began(season))
    }
}

impl Book {
    /// The system of a division; accents and capitals do not matter.
    pub fn division(&self, division: &str) -> Option<&System> {
        let wanted = folded(division);
        self.systems
            .iter()
            .find(|system| system.divisions.iter().any(|name| folded(name) == wanted))
    }

    /// The name of a division as the book writes it.
    pub fn division_name(&self, division: &str) -> Option<&str> {
        let wanted = folded(division);
        let mut names = self.systems.iter().flat_map(|system| &system.divisions);
        names
            .find(|name| folded(name) == wanted)
            .map(String::as_str)
    }

    /// All divisions.
    pub fn divisions(&self) -> impl Iterator<Item = &str> {
        let divisions = self.systems.iter().flat_map(|system| &system.divisions);
        divisions.map(String::as_str)
    }

    /// The tariff of this name on a day.
    ///
    /// # Errors
    /// The book does not have it, or not on that day.
    pub fn tariff_on(&self, name: &str, date: Date) -> Result<&Tariff, TariffError> {
        let mut named = self
            .tariffs
            .iter()
            .filter(|tariff| tariff.name == name)
            .peekable();
        if named.peek().is_none() {
            let known: Vec<_> = self.tariffs.iter().map(|t| t.name.as_str()).collect();
            return Err(TariffError::NoTariff {
                tariff: name.to_owned(),
                book: self.name.clone(),
                known: known.join(", "),
            });
        }
        named
            .find(|tariff| valid(date, tariff.valid_from, tariff.valid_until))
            .ok_or_else(|| TariffError::NotValid {
                tariff: name.to_owned(),
                book: self.name.clone(),
                date,
            })
    }

    /// The calendar of a system for a tariff on a day.
    ///
    /// # Errors
    /// The book has none.
    pub fn calendar_on(
        &self,
        system: &str,
        tariff: &str,
        date: Date,
    ) -> Result<&Calendar, TariffError> {
        let fits = |calendar: &&Calendar| {
            calendar.system == system
                && calendar.tariffs.iter().any(|name| name == tariff)
                && valid(date, calendar.valid_from, calendar.valid_until)
        };
        self.calendars
            .iter()
            .find(fits)
            .ok_or_else(|| TariffError::NoCalendar {
                tariff: tariff.to_owned(),
                book: self.name.clone(),
                system: system.to_owned(),
                date,
            })
    }

    pub(super) fn finish(&mut self, spans: &Spans) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.holidays = Loader::new(&HOLIDAYS).load(
            &self.holiday_calendar,
            "holiday_calendar",
            spans,
            &mut faults,
        );
        let mut divisions = HashSet::new();
        for (index, system) in self.systems.iter().enumerate() {
            for (place, name) in system.divisions.iter().enumerate() {
                if !divisions.insert(folded(name)) {
                    let key = format!("system[{index}].divisions[{place}]");
                    faults.push(spans.fault(
                        &key,
                        "each division once",
                        format!("\"{name}\" again"),
                    ));
                }
            }
            for (place, name) in system.time_zones.iter().enumerate() {
                if jiff::tz::TimeZoneDatabase::bundled().get(name).is_err() {
                    let key = format!("system[{index}].time_zones[{place}]");
                    faults.push(spans.fault(
                        &key,
                        "a time zone of the IANA database",
                        format!("\"{name}\""),
                    ));
                }
            }
        }
        let names = self.systems.iter().enumerate();
        let names = names.map(|(index, system)| (format!("system[{index}].name"), &system.name));
        faults.extend(spans.repeated("a name of its own", names));
        self.calendar_faults(spans, &mut faults);
        self.tariff_faults(spans, &mut faults);
        faults
    }

    fn calendar_faults(&self, spans: &Spans, faults: &mut Vec<Fault>) {
        for (index, calendar) in self.calendars.iter().enumerate() {
            let key = |name: &str| format!("calendar[{index}].{name}");
            if !self
                .systems
                .iter()
                .any(|system| system.name == calendar.system)
            {
                let found = format!("\"{}\"", calendar.system);
                faults.push(spans.fault(&key("system"), "the name of a system", found));
            }
            for (place, name) in calendar.tariffs.iter().enumerate() {
                let named = self.tariffs.iter().find(|tariff| tariff.name == *name);
                if named.is_none_or(|tariff| !tariff.time_of_use) {
                    let expected = "the name of a tariff whose hours have periods";
                    let key = key(&format!("tariffs[{place}]"));
                    faults.push(spans.fault(&key, expected, format!("\"{name}\"")));
                }
            }
            period(
                spans,
                faults,
                &key("valid_until"),
                calendar.valid_from,
                calendar.valid_until,
            );
            let earlier = self.calendars[..index].iter().position(|other| {
                other.system == calendar.system
                    && other
                        .tariffs
                        .iter()
                        .any(|name| calendar.tariffs.contains(name))
                    && overlap(
                        (other.valid_from, other.valid_until),
                        (calendar.valid_from, calendar.valid_until),
                    )
            });
            if let Some(other) = earlier {
                let expected = "one calendar of a system and tariff for each day";
                let found = format!("days that calendar[{other}] has, too");
                faults.push(spans.fault(&key("valid_from"), expected, found));
            }
        }
    }

    fn tariff_faults(&self, spans: &Spans, faults: &mut Vec<Fault>) {
        for (index, tariff) in self.tariffs.iter().enumerate() {
            let key = |name: &str| format!("tariff[{index}].{name}");
            period(
                spans,
                faults,
                &key("valid_until"),
                tariff.valid_from,
                tariff.valid_until,
            );
            let earlier = self.tariffs[..index].iter().position(|other| {
                other.name == tariff.name
                    && overlap(
                        (other.valid_from, other.valid_until),
                        (tariff.valid_from, tariff.valid_until),
                    )
            });
            if let Some(other) = earlier {
                let found = format!("days that tariff[{other}] has, too");
                faults.push(spans.fault(
                    &key("valid_from"),
                    "one tariff of a name for each day",
                    found,
                ));
            }
            let charges = tariff.charges.iter().enumerate();
            let names = charges
                .clone()
                .map(|(c, charge)| (key(&format!("charge[{c}].name")), &charge.name));
            faults.extend(spans.repeated("a name of its own", names));
            for (place, charge) in charges {
                let at = key(&format!("charge[{place}]"));
                if charge.period.is_some() && (charge.per != Per::Energy || !tariff.time_of_use) {
                    let expected = "a period for energy of a tariff whose hours have periods";
                    faults.push(spans.fault(&format!("{at}.period"), expected, "one"));
                }
                let (needed, periods) = match charge.per {
                    Per::Capacity => ("capacity_periods", &tariff.capacity_periods),
                    Per::Distribution => ("distribution_periods", &tariff.distribution_periods),
                    Per::Month | Per::Energy => continue,
                };
                if periods.is_none() {
                    faults.push(spans.fault(
                        &key(needed),
                        format!("periods for the charge `{}`", charge.name),
                        "none",
                    ));
                }
                if tariff
                    .load_factor
                    .is_none_or(|factor| factor.mantissa() <= 0)
                {
                    let expected =
                        format!("a load factor above 0 for the charge `{}`", charge.name);
                    faults.push(spans.fault(&key("load_factor"), expected, "none"));
                }
            }
        }
    }
}

fn period(spans: &Spans, faults: &mut Vec<Fault>, key: &str, from: Date, until: Option<Date>) {
    if let Some(until) = until.filter(|until| *until < from) {
        faults.push(spans.fault(key, format!("a day from {from} on"), until.to_string()));
    }
}

fn overlap(one: (Date, Option<Date>), other: (Date, Option<Date>)) -> bool {
    valid(one.0, other.0, other.1) || valid(other.0, one.0, one.1)
}
