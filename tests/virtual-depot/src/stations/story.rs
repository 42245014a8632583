//! From what is seen at a socket to what there is to tell of it.

use jiff::Timestamp;

use crate::{truth::sessions::Session, yard::Status};

/// What is seen at a socket.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    /// The car that is plugged in, by its key.
    pub(super) car: Option<String>,
    /// Status of the connector.
    pub(super) status: Status,
    /// The energy register, in Wh.
    pub(super) register: i64,
    /// Power, in W.
    pub(super) power: i64,
    /// State of charge that the car tells, 0 to 100.
    pub(super) state_of_charge: i64,
}

/// What of a transaction a message tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Begin,
    Middle,
    End,
}

/// Something to tell of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tell {
    /// Number of the transaction among the station's.
    pub(super) session: u64,
    pub(super) part: Part,
    /// Number within the transaction, from 0.
    pub(super) number: i32,
    pub(super) time: Timestamp,
    pub(super) token: String,
    pub(super) seen: Seen,
    /// Why it ended.
    pub(super) reason: &'static str,
    /// Whether the station had no connection then.
    pub(super) offline: bool,
}

/// A socket and the transaction at it.
#[derive(Debug)]
pub(super) struct Story {
    station: String,
    /// Whether drivers show a token there.
    shown: bool,
    latest: u64,
    /// The register when the socket was last seen without a transaction. Where nothing is told, one has all that came after.
    empty: Option<i64>,
    open: Option<Open>,
    /// No more transactions begin.
    closing: bool,
}

#[derive(Debug)]
struct Open {
    session: u64,
    token: String,
    car: String,
    started: Timestamp,
    first: i64,
    told: i32,
    measured: Timestamp,
}

impl Story {
    pub(super) fn new(station: String, shown: bool) -> Self {
        Self {
            station,
            shown,
            latest: 0,
            empty: None,
            open: None,
            closing: false,
        }
    }

    /// The number of the transaction that goes on.
    pub(super) fn session(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.session)
    }

    /// No more transactions begin.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Time has passed: what there is to tell, and the transaction that has ended. Meter values come every `interval` seconds.
    pub(super) fn look(
        &mut self,
        now: Timestamp,
        seen: &Seen,
        interval: i64,
        offline: bool,
    ) -> (Vec<Tell>, Option<Session>) {
        let (mut told, mut ended) = (Vec::new(), None);
        let charges = |open: &Open| {
            seen.car.as_deref() == Some(&open.car)
                && seen.status != Status::Finishing
                && !self.closing
        };
        if self.open.as_ref().is_some_and(|open| !charges(open)) {
            let reason = if self.closing {
                "Local"
            } else {
                "EVDisconnected"
            };
            ended = self.end(now, seen, reason, offline, &mut told);
        }
        if let Some(open) = &mut self.open {
            if now.as_millisecond() - open.measured.as_millisecond() >= interval * 1000 {
                open.measured = now;
                told.push(open.tell(Part::Middle, now, seen, "", offline));
            }
        } else if let Some(car) = &seen.car
            && !self.closing
            && !matches!(seen.status, Status::Available | Status::Finishing)
        {
            self.latest += 1;
            let mut open = Open {
                session: self.latest,
                token: super::token(car),
                car: car.clone(),
                started: now,
                first: self.empty.filter(|_| !self.shown).unwrap_or(seen.register),
                told: 0,
                measured: now,
            };
            told.push(open.tell(Part::Begin, now, seen, "", offline));
            self.open = Some(open);
        }
        if self.open.is_none() {
            self.empty = Some(seen.register);
        }
        (told, ended)
    }

    /// The transaction ends for a reason of the station's own.
    pub(super) fn end(
        &mut self,
        now: Timestamp,
        seen: &Seen,
        reason: &'static str,
        offline: bool,
        told: &mut Vec<Tell>,
    ) -> Option<Session> {
        let mut open = self.open.take()?;
        told.push(open.tell(Part::End, now, seen, reason, offline));
        let mut session = open.session((&self.station, self.shown), seen.register);
        session.ended = Some(now);
        session.reason = Some(reason.to_owned());
        Some(session)
    }

    /// The transaction that goes on, as it is.
    pub(super) fn unended(&self, register: i64) -> Option<Session> {
        let open = self.open.as_ref()?;
        Some(open.session((&self.station, self.shown), register))
    }
}

impl Open {
    fn tell(
        &mut self,
        part: Part,
        time: Timestamp,
        seen: &Seen,
        reason: &'static str,
        offline: bool,
    ) -> Tell {
        let number = self.told;
        self.told += 1;
        Tell {
            session: self.session,
            part,
            number,
            time,
            token: self.token.clone(),
            seen: seen.clone(),
            reason,
            offline,
        }
    }

    fn session(&self, (station, shown): (&str, bool), register: i64) -> Session {
        Session {
            station: station.to_owned(),
            evse: 1,
            token: shown.then(|| self.token.clone()),
            car: self.car.clone(),
            started: self.started,
            ended: None,
            reason: None,
            energy_wh: register - self.first,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn seen(car: Option<&str>, status: Status, register: i64) -> Seen {
        Seen {
            car: car.map(str::to_owned),
            status,
            register,
            power: 7000,
            state_of_charge: 50,
        }
    }

    #[test]
    fn a_car_comes_charges_and_leaves() {
        let mut story = Story::new("CP".into(), true);
        assert_eq!(
            story.look(at(0), &seen(None, Status::Available, 7), 5, false),
            (vec![], None)
        );
        let (told, _) = story.look(at(1), &seen(Some("car-1"), Status::Preparing, 7), 5, true);
        assert_eq!((told[0].part, told[0].number), (Part::Begin, 0));
        assert_eq!((told[0].token.as_str(), told[0].offline), ("CAR-1", true));
        let (told, _) = story.look(at(5), &seen(Some("car-1"), Status::Charging, 9), 5, false);
        assert_eq!(told, []);
        let (told, _) = story.look(at(6), &seen(Some("car-1"), Status::Charging, 10), 5, false);
        assert_eq!((told[0].part, told[0].number), (Part::Middle, 1));
        // Another car in its place: one transaction ends, and another begins.
        let (told, ended) =
            story.look(at(9), &seen(Some("car-2"), Status::Preparing, 19), 5, false);
        let parts: Vec<_> = told
            .iter()
            .map(|tell| (tell.session, tell.part, tell.number))
            .collect();
        assert_eq!(parts, [(1, Part::End, 2), (2, Part::Begin, 0)]);
        let ended = ended.unwrap();
        assert_eq!((ended.energy_wh, ended.ended), (12, Some(at(9))));
        assert_eq!(ended.reason.as_deref(), Some("EVDisconnected"));
        story.close();
        let (told, ended) =
            story.look(at(10), &seen(Some("car-2"), Status::Charging, 20), 5, false);
        assert_eq!((told.len(), ended.unwrap().energy_wh), (1, 1));
        let (told, _) = story.look(at(11), &seen(Some("car-2"), Status::Charging, 20), 5, false);
        assert_eq!(told, []);
    }
}
