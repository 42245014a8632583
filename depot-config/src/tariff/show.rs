//! A tariff as text for people.

use std::fmt::Write;

use jiff::civil::Date;

use super::{Book, Month, Period, PriceTable, TariffError};

/// A tariff in a division as it is on a day: hours, billed demand, and prices when a table is given.
///
/// # Errors
/// The book does not have it, or the table lacks the month.
pub fn show(
    book: &Book,
    tariff: &str,
    division: &str,
    date: Date,
    table: Option<&PriceTable>,
) -> Result<String, TariffError> {
    let tariff = book.tariff_on(tariff, date)?;
    let (Some(system), Some(division)) = (book.division(division), book.division_name(division))
    else {
        book.service(&tariff.name, division, jiff::tz::TimeZone::UTC)?;
        return Ok(String::new());
    };
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a String takes every text");
    line(format!(
        "{} · {} · {division} ({}) · {date}",
        book.name, tariff.name, system.name
    ));
    line(tariff.about.clone());
    let mut periods = vec![Period::Unica];
    if tariff.time_of_use {
        let calendar = book.calendar_on(&system.name, &tariff.name, date)?;
        periods.clear();
        for season in &calendar.seasons {
            line(format!("\n{}, from {}", season.name, season.begins));
            for (name, hours) in [
                ("Monday to Friday", &season.weekday),
                ("Saturday", &season.saturday),
                ("Sunday, holiday", &season.sunday),
            ] {
                line(format!("  {name:<17} {hours}"));
                periods.extend(hours.spans().map(|(_, _, period)| period));
            }
        }
        periods.sort_unstable();
        periods.dedup();
    }
    if let (Some(factor), Some(_)) = (tariff.load_factor, &tariff.capacity_periods) {
        let named = |periods: &Option<Vec<Period>>| {
            let names = periods.iter().flatten().map(|period| period.text());
            names.collect::<Vec<_>>().join(", ")
        };
        line(format!(
            "\nbilled demand: at most energy / (24 h × days × {factor})"
        ));
        line(format!(
            "  capacity      greatest of {}",
            named(&tariff.capacity_periods)
        ));
        if tariff.distribution_periods.is_some() {
            line(format!(
                "  distribution  greatest of {}",
                named(&tariff.distribution_periods)
            ));
        }
    }
    if let Some(table) = table {
        let month = Month::of(date);
        let prices = table.of(book, &tariff.name, division, month)?;
        line(format!("\nprices of {month} in {}", book.currency));
        for charge in &tariff.charges {
            match prices.price(&charge.name) {
                Ok(price) => line(format!(
                    "  {:<22} {:>12} / {}",
                    charge.name,
                    price.amount.to_string(),
                    charge.per.unit()
                )),
                Err(_) if charge.optional => {}
                Err(error) => return Err(error),
            }
        }
        for period in periods {
            let price = prices.energy(period)?;
            line(format!(
                "  1 kWh in {:<13} {:>12}",
                period.text(),
                price.amount.to_string()
            ));
        }
        line(format!("  from {}", prices.table));
        if prices.table.example {
            line("  THESE PRICES ARE MADE UP: import those of your utility with `depot-config tariffs import`".to_owned());
        }
    }
    Ok(text)
}
