//! What a tariff says of spans of time, of demand, and of prices.

use std::{collections::BTreeMap, path::Path};

use depot_config::tariff::{BOOKS, Book, Month, PRICES, Per, Period, PriceTable, Service};
use jiff::{SignedDuration, Timestamp, civil::date, tz::TimeZone};
use proptest::prelude::*;

fn book() -> Book {
    BOOKS.shipped("cfe").unwrap().unwrap()
}

fn example() -> PriceTable {
    PRICES.shipped("cfe-example").unwrap().unwrap()
}

fn service<'b>(book: &'b Book, tariff: &str, division: &str, zone: &str) -> Service<'b> {
    book.service(tariff, division, TimeZone::get(zone).unwrap())
        .unwrap()
}

proptest! {
    #[test]
    fn spans_have_no_gaps_and_say_what_each_instant_says(
        start in 1_704_153_600_i64..1_900_000_000,
        length in 0_i64..40 * 86_400,
        place in 0.0..1.0,
        tijuana: bool,
    ) {
        let book = book();
        let service = if tijuana {
            service(&book, "GDMTH", "Baja California", "America/Tijuana")
        } else {
            service(&book, "GDMTH", "Peninsular", "America/Cancun")
        };
        let from = Timestamp::from_second(start).unwrap();
        let to = from + SignedDuration::from_secs(length);
        let spans: Vec<_> = service.spans(from, to).map(Result::unwrap).collect();
        if length == 0 {
            prop_assert!(spans.is_empty());
            return Ok(());
        }
        prop_assert_eq!((spans[0].from, spans.last().unwrap().to), (from, to));
        for pair in spans.windows(2) {
            prop_assert_eq!(pair[0].to, pair[1].from);
        }
        let instant = from + SignedDuration::from_secs((place * length as f64) as i64);
        let span = spans.iter().find(|span| span.from <= instant && instant < span.to).unwrap();
        prop_assert_eq!(&span.moment, &service.at(instant).unwrap());
        let last = span.to - SignedDuration::from_nanos(1);
        prop_assert_eq!(&span.moment, &service.at(last).unwrap());
    }

    #[test]
    fn billed_demand_is_the_formula_of_the_tariff(
        energy in 0_u64..3_000_000_000,
        base in 0_u64..4_000_000,
        intermedia in 0_u64..4_000_000,
        punta in 0_u64..4_000_000,
        month in 1_i8..=12,
    ) {
        let book = book();
        let service = service(&book, "GDMTH", "Norte", "America/Chihuahua");
        let first = date(2026, month, 1);
        let last = first.last_of_month();
        let greatest = BTreeMap::from([(Period::Base, base), (Period::Intermedia, intermedia), (Period::Punta, punta)]);
        let billed = service.billed_demand((first, last), energy, &greatest).unwrap();
        // In floats, away from whole numbers, where the last digit would decide.
        let threshold = energy as f64 / 1000.0 / (24.0 * f64::from(last.day()) * 0.57);
        let near = (threshold - threshold.round()).abs() < 1e-6;
        let kilowatts = |watts: u64| (watts as f64 / 1000.0).ceil();
        let all = base.max(intermedia).max(punta);
        if !near {
            prop_assert_eq!(billed.capacity, Some(kilowatts(punta).min(threshold.ceil()) as u64));
            prop_assert_eq!(billed.distribution, Some(kilowatts(all).min(threshold.ceil()) as u64));
        }
    }
}

#[test]
fn the_worked_example_of_a_bill() {
    // 2,077 kW were measured, and 254,534 kWh in 30 days: the energy is less than the demand would be.
    let book = book();
    let gdmth = service(&book, "GDMTH", "Golfo Norte", "America/Monterrey");
    let november = (date(2026, 11, 1), date(2026, 11, 30));
    let greatest = BTreeMap::from([(Period::Punta, 2_077_000), (Period::Base, 900_000)]);
    let billed = gdmth
        .billed_demand(november, 254_534_000, &greatest)
        .unwrap();
    // 254534 / (24 · 30 · 0.57) = 620.21
    assert_eq!(
        (billed.capacity, billed.distribution),
        (Some(621), Some(621))
    );
    // A winter month of Baja California has no punta: capacity by the energy.
    let tijuana = service(&book, "GDMTH", "Baja California", "America/Tijuana");
    let greatest = BTreeMap::from([(Period::Base, 50_001), (Period::Intermedia, 40_000)]);
    let billed = tijuana
        .billed_demand(november, 254_534_000, &greatest)
        .unwrap();
    assert_eq!(
        (billed.capacity, billed.distribution),
        (Some(621), Some(51))
    );
    // In July there is one, in which nothing was drawn, and no base.
    let july = (date(2026, 7, 1), date(2026, 7, 31));
    let billed = tijuana.billed_demand(july, 254_534_000, &greatest).unwrap();
    assert_eq!((billed.capacity, billed.distribution), (Some(0), Some(40)));
    // DIST bills no distribution, GDMTO by one period, PDBT no demand.
    let dist = service(&book, "DIST", "Norte", "America/Chihuahua");
    assert_eq!(
        dist.billed_demand(july, 1, &BTreeMap::new())
            .unwrap()
            .distribution,
        None
    );
    let gdmto = service(&book, "GDMTO", "Norte", "America/Chihuahua");
    let greatest = BTreeMap::from([(Period::Unica, 88_400)]);
    let billed = gdmto.billed_demand(july, 100_000_000, &greatest).unwrap();
    assert_eq!((billed.capacity, billed.distribution), (Some(89), Some(89)));
    let pdbt = service(&book, "PDBT", "Norte", "America/Chihuahua");
    assert_eq!(
        pdbt.billed_demand(july, 1, &BTreeMap::new())
            .unwrap()
            .capacity,
        None
    );
    let error = gdmth
        .billed_demand((july.1, july.0), 1, &BTreeMap::new())
        .unwrap_err();
    assert!(
        error.to_string().contains("found 2026-07-31 to 2026-07-01"),
        "{error}"
    );
}

#[test]
fn prices_carry_their_table_and_a_missing_month_is_told() {
    let (book, table) = (book(), example());
    let month = |text: &str| text.parse::<Month>().unwrap();
    let prices = table
        .of(&book, "GDMTH", "valle de mexico centro", month("2026-03"))
        .unwrap();
    let punta = prices.energy(Period::Punta).unwrap();
    assert_eq!(punta.amount, "2.22".parse().unwrap());
    assert_eq!((punta.per, punta.currency.as_str()), (Per::Energy, "MXN"));
    assert_eq!(*punta.table, table.id());
    assert!(punta.table.example);
    assert_eq!(
        prices.per(Per::Capacity).unwrap().amount,
        "400".parse().unwrap()
    );
    let error = table
        .of(&book, "GDMTH", "Valle de México Centro", month("2027-01"))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "the price table `Example prices` has no prices of GDMTH in Valle de México Centro for 2027-01 \
         (it has months from 2026-01 to 2026-12): import that month"
    );
    let error = table
        .of(&book, "GDMTH", "Jalisco", month("2026-01"))
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("for 2026-01: import that month"),
        "{error}"
    );
    let error = prices.energy(Period::Unica);
    assert_eq!(error.unwrap().amount, "0.22".parse().unwrap());
    let error = prices.price("generacion").unwrap_err().to_string();
    assert!(error.contains("has no `generacion` of GDMTH"), "{error}");
}

#[test]
fn two_tables_with_the_same_prices_have_the_same_digest() {
    let text = include_str!("../../tariffs/prices/cfe-example.toml");
    let read = |text: &str| {
        PRICES
            .parse(Path::new("p.toml"), text)
            .unwrap()
            .0
            .id()
            .digest
    };
    let digest = read(text);
    assert_eq!(digest.len(), 16);
    assert_eq!(read(&text.replace("\"0.20\"", "0.2")), digest);
    assert_ne!(read(&text.replacen("\"0.20\"", "\"0.21\"", 1)), digest);
}

#[test]
fn broken_tables_and_books_say_what_is_wrong() {
    let text = include_str!("../../tariffs/prices/cfe-example.toml");
    let change = |old: &str, new: &str| {
        let text = text.replacen(old, new, 1);
        PRICES
            .parse(Path::new("p.toml"), &text)
            .unwrap_err()
            .to_string()
    };
    assert!(
        change("month = \"2026-02\"", "month = \"2026-01\"").contains(
            "expected each month of a tariff and division once, found that of month[0] again"
        )
    );
    assert!(
        change("capacidad", "capacida")
            .contains("expected a charge of GDMTH, found `capacida` (did you mean `capacidad`?)")
    );
    assert!(
        change("capacidad", "capacida")
            .contains("expected a price of `capacidad` for GDMTH, found none")
    );
    assert!(
        change("Valle de México Centro", "Valle de Mexco")
            .contains("expected a division of the tariff book")
    );
    assert!(change("tariff = \"GDMTH\"", "tariff = \"GDMTX\"").contains("did you mean \"GDMTH\"?"));
    let text = include_str!("../../tariffs/books/cfe.toml");
    let change = |old: &str, new: &str| {
        assert!(text.contains(old), "{old}");
        let text = text.replacen(old, new, 1);
        BOOKS
            .parse(Path::new("b.toml"), &text)
            .unwrap_err()
            .to_string()
    };
    assert!(change("0-6 base", "0-5 base").contains("`6-20 intermedia` must begin at hour 5"));
    assert!(
        change("first sunday of april", "first domingo of april")
            .contains("`domingo` is no weekday in English")
    );
    assert!(
        change("system = \"BC\"", "system = \"SIN\"")
            .contains("expected one calendar of a system and tariff for each day")
    );
    assert!(
        change("\"Norte\"", "\"Bajio\"")
            .contains("expected each division once, found \"Bajio\" again")
    );
    assert!(
        change("load_factor = \"0.57\"\n", "")
            .contains("expected a load factor above 0 for the charge")
    );
    assert!(
        change("capacity_periods = [\"punta\"]\n", "")
            .contains("expected periods for the charge `capacidad`")
    );
    assert!(
        change("holiday_calendar = \"mx\"", "holiday_calendar = \"mxn\"")
            .contains("holiday calendar")
    );
}
