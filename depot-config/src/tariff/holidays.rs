//! Days of rest of a country.

use std::collections::HashSet;

use config_file::{Fault, Spans};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::DateRule;

/// The statutory days of rest of a country.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HolidayCalendar {
    /// What people call it.
    pub name: String,
    /// The law.
    pub source: String,
    /// Its days.
    #[serde(rename = "holiday")]
    pub holidays: Vec<Rule>,
}

/// A day of rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What people call it.
    pub name: String,
    /// The day.
    pub date: DateRule,
    /// First year; all if absent.
    pub from_year: Option<i16>,
    /// Last year.
    pub until_year: Option<i16>,
    /// Every so many years, counted from `from_year`.
    pub every_years: i16,
}

impl Rule {
    /// The day in a year, if the year has it.
    pub fn in_year(&self, year: i16) -> Option<Date> {
        let from = self.from_year.unwrap_or(i16::MIN);
        let until = self.until_year.unwrap_or(i16::MAX);
        let turn = self.every_years <= 1
            || self.from_year.is_some_and(|from| {
                (i32::from(year) - i32::from(from)) % i32::from(self.every_years) == 0
            });
        let has = (from..=until).contains(&year) && turn;
        has.then(|| self.date.in_year(year)).flatten()
    }
}

impl HolidayCalendar {
    /// The name of the day of rest that a date is.
    pub fn name_of(&self, date: Date) -> Option<&str> {
        let rule = self
            .holidays
            .iter()
            .find(|rule| rule.in_year(date.year()) == Some(date))?;
        Some(&rule.name)
    }

    pub(super) fn finish(&mut self, spans: &Spans) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut seen = HashSet::new();
        for (index, rule) in self.holidays.iter().enumerate() {
            let key = format!("holiday[{index}]");
            if rule.every_years > 1 && rule.from_year.is_none() {
                faults.push(spans.fault(
                    &format!("{key}.from_year"),
                    "the year from which every_years counts",
                    "none",
                ));
            }
            if let (Some(from), Some(until)) = (rule.from_year, rule.until_year)
                && until < from
            {
                let key = format!("{key}.until_year");
                faults.push(spans.fault(&key, format!("a year from {from} on"), until.to_string()));
            }
            if !seen.insert((&rule.name, rule.date.to_string(), rule.from_year)) {
                faults.push(spans.fault(
                    &key,
                    "each holiday once",
                    format!("`{}` again", rule.name),
                ));
            }
        }
        faults
    }
}
