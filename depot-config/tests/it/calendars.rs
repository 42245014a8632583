//! The calendars of CFE against a table of days that was made by a program of its own (`tests/calendars/make.py`).

use depot_config::tariff::{BOOKS, Book, DayKind, Period, Service};
use jiff::{civil::Date, tz::TimeZone};

const DAYS: &str = include_str!("../calendars/days-2024-2030.csv");

fn book() -> Book {
    BOOKS.shipped("cfe").unwrap().unwrap()
}

/// System, division, time zone.
const SYSTEMS: [(&str, &str, &str); 3] = [
    ("SIN", "Valle de México Centro", "America/Mexico_City"),
    ("BC", "Baja California", "America/Tijuana"),
    ("BCS", "Baja California Sur", "America/Mazatlan"),
];

fn services(book: &Book) -> Vec<Service<'_>> {
    let service = |(system, division, zone): (&str, &str, &str)| {
        let service = book
            .service("GDMTH", division, TimeZone::get(zone).unwrap())
            .unwrap();
        assert_eq!(service.system(), system);
        service
    };
    SYSTEMS.map(service).into()
}

/// `B6 I14 P2 I2` as the period of each hour.
fn hours(text: &str) -> Vec<Period> {
    let mut hours = Vec::new();
    for part in text.split(' ') {
        let (period, count) = part.split_at(1);
        let period = match period {
            "B" => Period::Base,
            "I" => Period::Intermedia,
            "P" => Period::Punta,
            _ => panic!("{text}"),
        };
        hours.extend(std::iter::repeat_n(period, count.parse().unwrap()));
    }
    assert_eq!(hours.len(), 24, "{text}");
    hours
}

#[test]
fn seven_years_of_days_agree_in_three_systems() {
    let book = book();
    let services = services(&book);
    let (mut days, mut lengths) = (0, std::collections::BTreeMap::new());
    for line in DAYS.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let date: Date = fields[0].parse().unwrap();
        for (service, column) in services.iter().zip(&fields[3..]) {
            let (season, expected) = column.split_once(' ').unwrap();
            let expected = hours(expected);
            let season = if season == "S" { "verano" } else { "invierno" };
            let rest = fields[2] == "yes";
            let kind = match fields[1] {
                _ if rest => DayKind::Rest,
                "Sun" => DayKind::Rest,
                "Sat" => DayKind::Saturday,
                _ => DayKind::Weekday,
            };
            // Every instant of the day that begins an hour of the clock, also those that are there twice.
            let mut instant = service.zone().to_timestamp(date.at(0, 0, 0, 0)).unwrap();
            let mut count = 0;
            while service.zone().to_datetime(instant).date() == date {
                let moment = service.at(instant).unwrap();
                let hour = service.zone().to_datetime(instant).hour();
                assert_eq!(moment.period, expected[hour as usize], "{line} {hour}");
                assert_eq!(moment.season.as_deref(), Some(season), "{line}");
                assert_eq!(
                    (moment.kind, moment.holiday.is_some()),
                    (kind, rest),
                    "{line}"
                );
                instant += jiff::SignedDuration::from_hours(1);
                count += 1;
            }
            *lengths
                .entry((service.system().to_owned(), count))
                .or_insert(0) += 1;
            // The same by spans: no gap, no hour of another period, all of the day.
            let spans = service.spans_of(date).unwrap();
            assert_eq!(
                service.zone().to_datetime(spans[0].from),
                date.at(0, 0, 0, 0),
                "{line}"
            );
            assert_eq!(spans.last().unwrap().to, instant, "{line}");
            for pair in spans.windows(2) {
                assert_eq!(pair[0].to, pair[1].from, "{line}");
                assert_ne!(pair[0].moment.period, pair[1].moment.period, "{line}");
            }
            for span in &spans {
                assert_eq!(service.at(span.from).unwrap(), span.moment, "{line}");
            }
            days += 1;
        }
    }
    assert_eq!(days, 3 * 2557);
    // Only Tijuana still changes its clocks, twice a year.
    let expected = [
        (("BC".to_owned(), 23), 7),
        (("BC".to_owned(), 24), 2557 - 14),
        (("BC".to_owned(), 25), 7),
        (("BCS".to_owned(), 24), 2557),
        (("SIN".to_owned(), 24), 2557),
    ];
    assert_eq!(lengths.into_iter().collect::<Vec<_>>(), expected);
    println!("{days} days agree");
}

#[test]
fn the_hour_before_midnight_is_never_base_after_a_punta() {
    // Two public classifiers make 22 to 24 h base.
    let book = book();
    let sin = &services(&book)[0];
    let at = |text: &str| sin.at(text.parse().unwrap()).unwrap().period;
    assert_eq!(at("2026-01-15T22:30:00-06:00"), Period::Intermedia);
    assert_eq!(at("2026-07-15T23:59:59-06:00"), Period::Intermedia);
    assert_eq!(at("2026-07-15T21:59:59-06:00"), Period::Punta);
    assert_eq!(at("2026-07-16T00:00:00-06:00"), Period::Base);
}

#[test]
fn dist_has_the_hours_of_its_system_and_none_where_they_are_not_known() {
    let book = book();
    let zone = |name| TimeZone::get(name).unwrap();
    let instant = "2026-07-15T18:00:00Z".parse().unwrap();
    for tariff in ["DIST", "DIT"] {
        let service = book
            .service(tariff, "Jalisco", zone("America/Mexico_City"))
            .unwrap();
        assert_eq!(service.at(instant).unwrap().period, Period::Intermedia);
        let service = book
            .service(tariff, "Baja California", zone("America/Tijuana"))
            .unwrap();
        let error = service.at(instant).unwrap_err().to_string();
        assert!(
            error.contains(&format!(
                "no calendar of system BC for {tariff} on 2026-07-15"
            )),
            "{error}"
        );
    }
    for tariff in ["GDMTO", "PDBT"] {
        let service = book
            .service(tariff, "Baja California", zone("America/Tijuana"))
            .unwrap();
        let moment = service.at(instant).unwrap();
        assert_eq!((moment.period, moment.season), (Period::Unica, None));
    }
    let gdmth = book
        .service("GDMTH", "jalisco", zone("America/Mexico_City"))
        .unwrap();
    let error = gdmth
        .at("2023-06-01T12:00:00Z".parse().unwrap())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no tariff GDMTH that is valid on 2023-06-01"),
        "{error}"
    );
}
