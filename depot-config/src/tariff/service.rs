//! The tariff of one depot: which period an instant is in, the periods of a span of time, and the demand that is
//! billed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{
    Timestamp, ToSpan,
    civil::{Date, DateTime, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};

use super::{Book, Hours, Month, Period, Tariff, TariffError};

/// The tariff of one depot.
#[derive(Clone, Debug)]
pub struct Service<'b> {
    book: &'b Book,
    tariff: String,
    division: String,
    system: String,
    zone: TimeZone,
}

/// Which of a calendar's rows a day is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DayKind {
    /// Monday to Friday.
    Weekday,
    /// Saturday.
    Saturday,
    /// Sunday or day of rest.
    Rest,
}

/// What a tariff says of an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The local day.
    pub date: Date,
    /// The season; `None` of a tariff whose hours have no periods.
    pub season: Option<String>,
    /// Which row.
    pub kind: DayKind,
    /// The name of the day of rest.
    pub holiday: Option<String>,
    /// The period.
    pub period: Period,
}

/// A span of time of one local day with one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Begin, included.
    pub from: Timestamp,
    /// End, not included.
    pub to: Timestamp,
    /// What the tariff says of it.
    pub moment: Moment,
}

/// Demands that are billed for a month, in whole kW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Billed {
    /// For capacity; `None` of a tariff that bills none.
    pub capacity: Option<u64>,
    /// For distribution; `None` of a tariff that bills none.
    pub distribution: Option<u64>,
}

impl Book {
    /// The tariff of a depot in a division, by its name, with the zone of the depot's clocks.
    ///
    /// # Errors
    /// The book does not have the tariff or the division.
    pub fn service(
        &self,
        tariff: &str,
        division: &str,
        zone: TimeZone,
    ) -> Result<Service<'_>, TariffError> {
        if !self.tariffs.iter().any(|known| known.name == tariff) {
            self.tariff_on(tariff, Date::MAX)?;
        }
        let (Some(system), Some(division)) =
            (self.division(division), self.division_name(division))
        else {
            let known: Vec<_> = self.divisions().collect();
            return Err(TariffError::NoDivision {
                division: division.to_owned(),
                book: self.name.clone(),
                known: known.join(", "),
            });
        };
        Ok(Service {
            book: self,
            tariff: tariff.to_owned(),
            division: division.to_owned(),
            system: system.name.clone(),
            zone,
        })
    }
}

struct Day<'b> {
    date: Date,
    season: Option<&'b str>,
    kind: DayKind,
    holiday: Option<&'b str>,
    hours: Hours,
}

impl Day<'_> {
    fn moment(&self, period: Period) -> Moment {
        Moment {
            date: self.date,
            season: self.season.map(str::to_owned),
            kind: self.kind,
            holiday: self.holiday.map(str::to_owned),
            period,
        }
    }
}

impl<'b> Service<'b> {
    /// The division, as the book writes it.
    pub fn division(&self) -> &str {
        &self.division
    }

    /// The system of the division.
    pub fn system(&self) -> &str {
        &self.system
    }

    /// The zone of its clocks.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The tariff as it is on a day.
    ///
    /// # Errors
    /// The book has none that is valid then.
    pub fn tariff_on(&self, date: Date) -> Result<&'b Tariff, TariffError> {
        self.book.tariff_on(&self.tariff, date)
    }

    /// What the tariff says of an instant.
    ///
    /// # Errors
    /// Tariff or calendar are not valid then.
    pub fn at(&self, instant: Timestamp) -> Result<Moment, TariffError> {
        let local = self.zone.to_datetime(instant);
        let day = self.day(local.date())?;
        // The hours of a calendar are those that the clock shows, also in the hour that is there twice.
        Ok(day.moment(day.hours.at(local.hour().unsigned_abs())))
    }

    /// The spans of time from one instant to another, in their order and without gaps. Each lies in one local day and
    /// has one period; hours that the clock leaves out or shows twice make them shorter or longer.
    pub fn spans(
        &self,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Result<Span, TariffError>> + '_ {
        let mut waiting = Vec::new();
        let mut next = (from < to).then(|| self.zone.to_datetime(from).date());
        std::iter::from_fn(move || {
            loop {
                if let Some(span) = waiting.pop() {
                    return Some(Ok(span));
                }
                let date = next.take()?;
                match self.spans_of(date) {
                    Ok(spans) => {
                        let end = spans.last().map_or(to, |span| span.to);
                        next = date.tomorrow().ok().filter(|_| end < to);
                        waiting = spans
                            .into_iter()
                            .filter_map(|span| {
                                let cut = Span {
                                    from: span.from.max(from),
                                    to: span.to.min(to),
                                    ..span
                                };
                                (cut.from < cut.to).then_some(cut)
                            })
                            .rev()
                            .collect();
                    }
                    Err(error) => return Some(Err(error)),
                }
            }
        })
    }

    /// The spans of one local day.
    ///
    /// # Errors
    /// Tariff or calendar are not valid then.
    pub fn spans_of(&self, date: Date) -> Result<Vec<Span>, TariffError> {
        let day = self.day(date)?;
        let mut spans: Vec<Span> = Vec::new();
        for (from, to, period) in day.hours.spans() {
            let (from, to) = (self.hour(date, from)?, self.hour(date, to)?);
            if from < to {
                spans.push(Span {
                    from,
                    to,
                    moment: day.moment(period),
                });
            }
        }
        Ok(spans)
    }

    /// The demand that is billed for the local days from `first` to `last`, both included.
    ///
    /// `energy` is that of these days in Wh; `greatest` has for each period the greatest 15-minute average in W. The
    /// demand of a period is never billed above what the energy would be with the load factor of the tariff's class:
    /// energy / (24 h · days · load factor); without a period that counts (no punta in a winter month of Baja
    /// California), capacity is billed by the energy alone. Fractions of a kW count as a whole one.
    ///
    /// # Errors
    /// Tariff or calendar are not valid, the days are in the wrong order, or the energy is beyond exact numbers.
    pub fn billed_demand(
        &self,
        (first, last): (Date, Date),
        energy: u64,
        greatest: &BTreeMap<Period, u64>,
    ) -> Result<Billed, TariffError> {
        if last < first {
            return Err(TariffError::Time {
                expected: "a first day that is not after the last one",
                found: format!("{first} to {last}"),
            });
        }
        let tariff = self.tariff_on(first)?;
        let mut occurring = BTreeSet::new();
        let mut days: u64 = 0;
        let mut date = first;
        loop {
            days += 1;
            occurring.extend(self.day(date)?.hours.spans().map(|(_, _, period)| period));
            if date >= last {
                break;
            }
            date = date
                .checked_add(1.day())
                .map_err(|_| TariffError::TooLarge { what: "date" })?;
        }
        let threshold = match tariff.load_factor {
            Some(factor) => threshold(energy, days, factor)?,
            None => u64::MAX,
        };
        let billed = |periods: &Vec<Period>| {
            let counted: Vec<_> = periods.iter().filter(|p| occurring.contains(p)).collect();
            if counted.is_empty() {
                return threshold;
            }
            let demands = counted.iter().filter_map(|period| greatest.get(period));
            let kilowatts = demands.copied().max().unwrap_or(0).div_ceil(1000);
            kilowatts.min(threshold)
        };
        Ok(Billed {
            capacity: tariff.capacity_periods.as_ref().map(billed),
            distribution: tariff.distribution_periods.as_ref().map(billed),
        })
    }

    /// The months from one instant to another, by the local clock.
    pub fn months(&self, from: Timestamp, to: Timestamp) -> Vec<Month> {
        let mut months = Vec::new();
        let last = Month::of(self.zone.to_datetime(to).date());
        let mut month = Month::of(self.zone.to_datetime(from).date());
        while month <= last {
            months.push(month);
            month = month.next();
        }
        months
    }

    fn day(&self, date: Date) -> Result<Day<'b>, TariffError> {
        let tariff = self.tariff_on(date)?;
        let holiday = self.book.holidays.as_ref();
        let holiday = holiday.and_then(|holidays| holidays.name_of(date));
        let kind = match date.weekday() {
            _ if holiday.is_some() => DayKind::Rest,
            Weekday::Sunday => DayKind::Rest,
            Weekday::Saturday => DayKind::Saturday,
            _ => DayKind::Weekday,
        };
        if !tariff.time_of_use {
            return Ok(Day {
                date,
                season: None,
                kind,
                holiday,
                hours: Hours::all(Period::Unica),
            });
        }
        let calendar = self.book.calendar_on(&self.system, &self.tariff, date)?;
        let season = calendar
            .season(date)
            .ok_or_else(|| TariffError::NoCalendar {
                tariff: self.tariff.clone(),
                book: self.book.name.clone(),
                system: self.system.clone(),
                date,
            })?;
        Ok(Day {
            date,
            season: Some(&season.name),
            kind,
            holiday,
            hours: match kind {
                DayKind::Weekday => &season.weekday,
                DayKind::Saturday => &season.saturday,
                DayKind::Rest => &season.sunday,
            }
            .clone(),
        })
    }

    /// When the clock shows a full hour, from 0 to 24; where it is left out, the instant of the change; where it is
    /// there twice, the first.
    fn hour(&self, date: Date, hour: u8) -> Result<Timestamp, TariffError> {
        let beyond = |_| TariffError::TooLarge { what: "date" };
        let (date, hour) = match hour {
            24 => (date.tomorrow().map_err(beyond)?, 0),
            hour => (date, hour.cast_signed()),
        };
        let local: DateTime = date.at(hour, 0, 0, 0);
        match self.zone.to_ambiguous_timestamp(local).offset() {
            // What an hour of the gap begins, begins with the change: the last instant before it plus nothing.
            AmbiguousOffset::Gap { before, .. } => {
                let earlier = before.to_timestamp(local).map_err(beyond)?;
                let change = self.zone.preceding(earlier).next();
                Ok(change.map_or(earlier, |change| change.timestamp()))
            }
            _ => self.zone.to_timestamp(local).map_err(beyond),
        }
    }
}

/// Demand in whole kW that the energy of some days is, at a load factor.
fn threshold(energy: u64, days: u64, factor: shared_protocol::Decimal) -> Result<u64, TariffError> {
    let error = TariffError::TooLarge { what: "energy" };
    let compute = || {
        let power = |exponent: u32| 10_i128.checked_pow(exponent);
        let exponent = i32::from(factor.exponent());
        let (up, down) = if exponent < 0 {
            (power(exponent.unsigned_abs())?, 1)
        } else {
            (1, power(exponent.unsigned_abs())?)
        };
        let above = i128::from(energy).checked_mul(up)?;
        let below = i128::from(factor.mantissa())
            .checked_mul(24 * 1000)?
            .checked_mul(i128::from(days))?
            .checked_mul(down)?;
        let whole = above.checked_div(below)?;
        let ceiling = whole + i128::from(above.checked_rem(below)? > 0);
        u64::try_from(ceiling).ok()
    };
    compute().ok_or(error)
}
