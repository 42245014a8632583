//! Price tables: what a tariff costs in a division, month by month, and whence that is known.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
    sync::Arc,
};

use config_file::{Fault, Kind, Loader, Spans, Syntax, nearest};
use jiff::civil::Date;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use shared_protocol::Decimal;

use super::{BOOKS, Book, Per, Period, Tariff, TariffError, folded};

/// A month of a year, such as `2026-01`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Month {
    /// The year.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
}

impl Month {
    /// A text of this form, for the keys of a file.
    pub const KIND: Kind = Kind::Syntax(Syntax {
        form: "a month such as \"2026-01\"",
        check: |text| text.parse::<Self>().map(drop),
    });

    /// The month of a day.
    pub fn of(date: Date) -> Self {
        Self {
            year: date.year(),
            month: date.month(),
        }
    }

    /// The month after.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.month == 12 {
            Self {
                year: self.year + 1,
                month: 1,
            }
        } else {
            Self {
                year: self.year,
                month: self.month + 1,
            }
        }
    }

    /// Its first day.
    pub fn first(self) -> Date {
        Date::new(self.year, self.month, 1).expect("every month from 1 to 12 has a first day")
    }
}

impl FromStr for Month {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (year, month) = text.split_once('-')?;
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            (year.len() == 4 && month.len() == 2 && digits(year) && digits(month)).then_some(())?;
            let (year, month) = (year.parse().ok()?, month.parse().ok()?);
            ((1..=12).contains(&month) && year >= 1900).then_some(Self { year, month })
        };
        parse().ok_or_else(String::new)
    }
}

impl TryFrom<String> for Month {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Prices per tariff, division and month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceTable {
    /// What people call it.
    pub name: String,
    /// Where the prices are from.
    pub source: String,
    /// The day on which they were taken from there.
    pub date: Date,
    /// Whether its prices are made up.
    pub example: bool,
    /// The tariff book that has its tariffs and charges.
    pub tariff_book: String,
    /// The prices.
    #[serde(rename = "month")]
    pub months: Vec<MonthPrices>,
    #[serde(skip)]
    digest: String,
    #[serde(skip)]
    places: HashMap<(String, String, Month), usize>,
}

/// The prices of one tariff in one division for one month, by charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MonthPrices {
    /// The tariff.
    pub tariff: String,
    /// The division.
    pub division: String,
    /// The month.
    pub month: Month,
    /// Price of one unit of each charge, in the currency of the book.
    pub prices: BTreeMap<String, Decimal>,
}

/// Which price table something was computed with.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TableId {
    /// Its name.
    pub name: String,
    /// Where its prices are from.
    pub source: String,
    /// The day on which they were taken from there.
    pub date: Date,
    /// Whether its prices are made up.
    pub example: bool,
    /// Of all its prices: two tables with one digest have the same ones. First 16 hexadecimal digits of SHA-256.
    pub digest: String,
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let example = if self.example { ", EXAMPLE" } else { "" };
        write!(
            f,
            "{} ({}, {}, {}{example})",
            self.name, self.source, self.date, self.digest
        )
    }
}

/// One price with the table that it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// For one unit of what the charge counts.
    pub amount: Decimal,
    /// What the charge counts.
    pub per: Per,
    /// ISO 4217 code.
    pub currency: String,
    /// The table.
    pub table: Arc<TableId>,
}

/// The prices of a tariff in one division and month, with the table that they are from.
#[derive(Clone, Debug)]
pub struct Prices<'t> {
    /// The table, to be kept with everything that is computed with these prices.
    pub table: Arc<TableId>,
    tariff: &'t Tariff,
    currency: &'t str,
    month: &'t MonthPrices,
}

impl PriceTable {
    /// A table of these prices.
    ///
    /// # Errors
    /// Everything that is wrong with it, with places in the text that it prints as.
    pub fn new(
        name: String,
        source: String,
        date: Date,
        tariff_book: String,
        months: Vec<MonthPrices>,
    ) -> Result<Self, config_file::Faults> {
        let table = Self {
            name,
            source,
            date,
            example: false,
            tariff_book,
            months,
            digest: String::new(),
            places: HashMap::new(),
        };
        super::PRICES
            .parse(std::path::Path::new("prices.toml"), &table.print())
            .map(|(table, _)| table)
    }

    /// The text of a file that reads back as this table.
    pub fn print(&self) -> String {
        config_file::print(self, &super::PRICES_SCHEMA).expect("a price table is a table of TOML")
    }

    /// Which table this is.
    pub fn id(&self) -> TableId {
        TableId {
            name: self.name.clone(),
            source: self.source.clone(),
            date: self.date,
            example: self.example,
            digest: self.digest.clone(),
        }
    }

    /// Whether it has any month of a tariff in a division.
    pub fn has(&self, tariff: &str, division: &str) -> bool {
        let division = folded(division);
        self.months
            .iter()
            .any(|month| month.tariff == tariff && folded(&month.division) == division)
    }

    /// The prices of a tariff in a division for a month.
    ///
    /// # Errors
    /// The table lacks the month, and says which it has; or the book has no such tariff then.
    pub fn of<'t>(
        &'t self,
        book: &'t Book,
        tariff: &str,
        division: &str,
        month: Month,
    ) -> Result<Prices<'t>, TariffError> {
        let key = (tariff.to_owned(), folded(division), month);
        let Some(place) = self.places.get(&key) else {
            let wanted = folded(division);
            let months = self
                .months
                .iter()
                .filter(|m| m.tariff == tariff && folded(&m.division) == wanted)
                .map(|m| m.month);
            let nearest = match (months.clone().min(), months.max()) {
                (Some(first), Some(last)) if first == last => format!(" (it has {first})"),
                (Some(first), Some(last)) => format!(" (it has months from {first} to {last})"),
                _ => String::new(),
            };
            return Err(TariffError::NoPrices {
                tariff: tariff.to_owned(),
                division: division.to_owned(),
                month,
                table: self.name.clone(),
                nearest,
            });
        };
        Ok(Prices {
            table: Arc::new(self.id()),
            tariff: book.tariff_on(tariff, month.first())?,
            currency: &book.currency,
            month: &self.months[*place],
        })
    }

    pub(super) fn finish(&mut self, spans: &Spans) -> Vec<Fault> {
        let mut faults = Vec::new();
        let book = Loader::new(&BOOKS).load(&self.tariff_book, "tariff_book", spans, &mut faults);
        for (index, month) in self.months.iter().enumerate() {
            let key = (month.tariff.clone(), folded(&month.division), month.month);
            if let Some(earlier) = self.places.insert(key, index) {
                faults.push(spans.fault(
                    &format!("month[{index}].month"),
                    "each month of a tariff and division once",
                    format!("that of month[{earlier}] again"),
                ));
            }
            if let Some(book) = &book {
                month_faults(book, month, index, spans, &mut faults);
            }
        }
        let mut hash = Sha256::new();
        let mut sorted: Vec<_> = self.months.iter().collect();
        sorted.sort_by_key(|month| (&month.tariff, &month.division, month.month));
        for month in sorted {
            hash.update(format!(
                "{}\n{}\n{}\n",
                month.tariff, month.division, month.month
            ));
            for (charge, price) in &month.prices {
                hash.update(format!("{charge}={price}\n"));
            }
        }
        let digest = hash.finalize();
        let (first, _) = digest.split_at(8);
        self.digest = hex::encode(first);
        faults
    }
}

fn month_faults(
    book: &Book,
    month: &MonthPrices,
    index: usize,
    spans: &Spans,
    faults: &mut Vec<Fault>,
) {
    let key = |name: &str| format!("month[{index}].{name}");
    if book.division(&month.division).is_none() {
        let divisions: Vec<_> = book.divisions().collect();
        let fault = spans.fault(
            &key("division"),
            "a division of the tariff book",
            format!("\"{}\"", month.division),
        );
        faults.push(match nearest(&month.division, &divisions) {
            Some(near) => fault.hint(format!("did you mean \"{near}\"?")),
            None => fault,
        });
    }
    let tariff = match book.tariff_on(&month.tariff, month.month.first()) {
        Ok(tariff) => tariff,
        // Prices of years before the book are kept: only what is computed needs the tariff.
        Err(TariffError::NotValid { .. }) => return,
        Err(error) => {
            let known: Vec<_> = book.tariffs.iter().map(|t| t.name.as_str()).collect();
            let fault = spans.problem(&key("tariff"), error.to_string());
            faults.push(match nearest(&month.tariff, &known) {
                Some(near) => fault.hint(format!("did you mean \"{near}\"?")),
                None => fault,
            });
            return;
        }
    };
    let names: Vec<_> = tariff
        .charges
        .iter()
        .map(|charge| charge.name.as_str())
        .collect();
    for name in month.prices.keys() {
        if !names.contains(&name.as_str()) {
            let fault = spans.fault(
                &key(&format!("prices.{name}")),
                format!("a charge of {}", tariff.name),
                format!("`{name}`"),
            );
            faults.push(match nearest(name, &names) {
                Some(near) => fault.hint(format!("did you mean `{near}`?")),
                None => fault.hint(format!("there are {}", names.join(", "))),
            });
        }
    }
    for charge in tariff.charges.iter().filter(|charge| !charge.optional) {
        if !month.prices.contains_key(&charge.name) {
            let expected = format!("a price of `{}` for {}", charge.name, tariff.name);
            faults.push(spans.fault(&key("prices"), expected, "none"));
        }
    }
}

impl Prices<'_> {
    /// The price of a charge.
    ///
    /// # Errors
    /// The month lacks it.
    pub fn price(&self, charge: &str) -> Result<Price, TariffError> {
        let missing = || TariffError::NoCharge {
            charge: charge.to_owned(),
            tariff: self.tariff.name.clone(),
            division: self.month.division.clone(),
            month: self.month.month,
            table: self.table.name.clone(),
        };
        let amount = self.month.prices.get(charge).ok_or_else(missing)?;
        let known = self
            .tariff
            .charges
            .iter()
            .find(|known| known.name == charge);
        Ok(Price {
            amount: *amount,
            per: known.ok_or_else(missing)?.per,
            currency: self.currency.to_owned(),
            table: Arc::clone(&self.table),
        })
    }

    /// What one kWh costs in a period: the sum of all charges for energy that count it.
    ///
    /// # Errors
    /// The month lacks one of them, or the sum has too many digits.
    pub fn energy(&self, period: Period) -> Result<Price, TariffError> {
        self.sum(Per::Energy, Some(period))
    }

    /// What one kW of billed demand costs for the month, or the month itself; 0 of a tariff without such a charge.
    ///
    /// # Errors
    /// The month lacks one of the charges, or the sum has too many digits.
    pub fn per(&self, per: Per) -> Result<Price, TariffError> {
        self.sum(per, None)
    }

    fn sum(&self, per: Per, period: Option<Period>) -> Result<Price, TariffError> {
        let mut amount = Decimal::ZERO;
        for charge in self
            .tariff
            .charges
            .iter()
            .filter(|charge| charge.per == per)
        {
            if charge.period.is_some() && charge.period != period {
                continue;
            }
            match self.price(&charge.name) {
                Ok(price) => {
                    amount =
                        add(amount, price.amount).ok_or(TariffError::TooLarge { what: "price" })?;
                }
                // What may be absent costs nothing, but never the only price of a period.
                Err(_) if charge.optional && charge.period.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Price {
            amount,
            per,
            currency: self.currency.to_owned(),
            table: Arc::clone(&self.table),
        })
    }
}

/// The exact sum; `None` when it has more digits than a [`Decimal`] holds.
fn add(one: Decimal, other: Decimal) -> Option<Decimal> {
    let exponent = one.exponent().min(other.exponent());
    let scaled = |decimal: Decimal| {
        let shift = u32::try_from(i32::from(decimal.exponent()) - i32::from(exponent)).ok()?;
        i128::from(decimal.mantissa()).checked_mul(10_i128.checked_pow(shift)?)
    };
    let mut sum = scaled(one)?.checked_add(scaled(other)?)?;
    let mut exponent = i32::from(exponent);
    while sum != 0 && sum % 10 == 0 {
        sum /= 10;
        exponent += 1;
    }
    Decimal::new(i64::try_from(sum).ok()?, exponent).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_exact() {
        let d = |text: &str| text.parse::<Decimal>().unwrap();
        for (one, other, sum) in [
            ("0.1", "0.2", "0.3"),
            ("1.5", "98.5", "100"),
            ("0", "0", "0"),
            ("-2", "0.0001", "-1.9999"),
        ] {
            assert_eq!(add(d(one), d(other)), Some(d(sum)));
        }
        assert_eq!(
            add(Decimal::new(1, 30).unwrap(), Decimal::new(1, -30).unwrap()),
            None
        );
    }

    #[test]
    fn months() {
        let month: Month = "2025-12".parse().unwrap();
        assert_eq!(month.next().to_string(), "2026-01");
        for text in ["2025-13", "2025-1", "25-01", "2025-00", "2025", "+025-01"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }
}
