//! The comparison for stations that tell nothing: their transactions are made of what is read of them, so that times are those of
//! readings, nobody knows a token, and what nobody saw may be told as one. Of energy nothing may be lost all the same.

use jiff::{SignedDuration, Timestamp};

use super::sessions::{Session, SessionReport, StoredSession};

/// A reading sees the end of a session so much earlier than it is written down, at most.
const SLACK: SignedDuration = SignedDuration::from_secs(1);

/// Compares the sessions of one station with what is stored of it, both in order of time. Sessions that went on when the depot
/// stopped, and what is stored of them, are left out.
///
/// A stored transaction has all sessions that ended before it did and that none before it has. It is right when it has their
/// energy; and, unless it says that it may be of several, when they are one, and it began while that one went on. A session
/// without energy that nobody saw is not missed; and of one that went on when the station was read for the first time nobody
/// knows what flowed before: the first transaction may have less, if it says so.
pub(super) fn compare(truth: &[&Session], stored: &[&StoredSession], report: &mut SessionReport) {
    let mut sessions = truth
        .iter()
        .filter_map(|one| Some((*one, one.ended?)))
        .peekable();
    for (place, one) in stored.iter().enumerate() {
        let Some(ended) = one.ended else { continue };
        let until = ended.saturating_add(SLACK).unwrap_or(Timestamp::MAX);
        let mut has = Vec::new();
        while let Some((session, _)) = sessions.next_if(|(_, ended)| *ended <= until) {
            has.push(session);
        }
        let energy: i64 = has.iter().map(|session| session.energy_wh).sum();
        let of_one = |session: &Session| {
            let since = session.started.saturating_sub(SLACK);
            let since = since.unwrap_or(Timestamp::MIN);
            one.started.is_some_and(|at| since <= at && at <= until)
        };
        let charged: Vec<_> = has.iter().filter(|one| one.energy_wh != 0).collect();
        let single = match charged[..] {
            [] => has.last().is_some_and(|last| of_one(last)),
            [session] => of_one(session),
            _ => false,
        };
        let Some(last) = has.last() else {
            report.made_up.push((*one).clone());
            continue;
        };
        let begun_before = place == 0 && !one.whole && one.started > Some(has[0].started);
        let has_its_energy = if begun_before {
            one.energy_mwh <= energy * 1000
        } else {
            one.energy_mwh == energy * 1000
        };
        if !has_its_energy || one.whole && !single {
            report.wrong.push(((*last).clone(), (*one).clone()));
            continue;
        }
        report.right += 1;
        report.energy_wh += one.energy_mwh / 1000;
        report.observed += 1;
        if !one.whole {
            report.doubtful += 1;
        }
    }
    let lost = sessions.filter(|(session, _)| session.energy_wh != 0);
    report.lost.extend(lost.map(|(session, _)| session.clone()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn truth(second: i64, energy_wh: i64) -> Session {
        Session {
            station: "s".into(),
            evse: 1,
            token: None,
            car: "car-1".into(),
            started: at(second),
            ended: Some(at(second + 60)),
            reason: None,
            energy_wh,
        }
    }

    fn stored(from: Option<i64>, to: i64, energy_wh: i64, whole: bool) -> StoredSession {
        StoredSession {
            station: "s".into(),
            evse: Some(1),
            token: None,
            started: from.map(at),
            ended: Some(at(to)),
            reason: None,
            energy_mwh: energy_wh * 1000,
            whole,
        }
    }

    fn report(truth: &[Session], stored: &[StoredSession]) -> SessionReport {
        let mut report = SessionReport::default();
        let (truth, stored): (Vec<_>, Vec<_>) = (truth.iter().collect(), stored.iter().collect());
        compare(&truth, &stored, &mut report);
        report
    }

    #[test]
    fn what_was_seen_is_right_and_what_was_not_may_be_together() {
        let truth = [truth(0, 10), truth(100, 20), truth(200, 0), truth(300, 30)];
        let seen = [
            stored(Some(1), 61, 10, true),
            stored(Some(99), 160, 20, true),
            stored(Some(302), 361, 30, true),
        ];
        let right = report(&truth, &seen);
        assert!(right.is_exact(), "{right}");
        assert_eq!((right.right, right.energy_wh, right.doubtful), (3, 60, 0));
        let together = [
            stored(Some(1), 165, 30, false),
            stored(None, 400, 30, false),
        ];
        let right = report(&truth, &together);
        assert!(right.is_exact(), "{right}");
        assert_eq!((right.right, right.energy_wh, right.doubtful), (2, 60, 2));
    }

    #[test]
    fn what_flowed_before_the_first_reading_nobody_knows() {
        let truth = [truth(0, 10), truth(100, 20)];
        let first = |whole| stored(Some(30), 61, 4, whole);
        let second = |energy| stored(Some(101), 161, energy, false);
        let found = report(&truth, &[first(false), second(20)]);
        assert!(found.is_exact(), "{found}");
        assert_eq!(found.energy_wh, 24);
        assert_eq!(report(&truth, &[first(true), second(20)]).wrong.len(), 1);
        assert_eq!(report(&truth, &[first(false), second(19)]).wrong.len(), 1);
    }

    #[test]
    fn a_watt_hour_too_much_or_at_the_wrong_car_is_wrong() {
        let truth = [truth(0, 10), truth(100, 20)];
        let wrong = |stored: &[StoredSession]| {
            let report = report(&truth, stored);
            (report.wrong.len(), report.lost.len(), report.made_up.len())
        };
        let first = || stored(Some(1), 61, 10, true);
        assert_eq!(wrong(&[first()]), (0, 1, 0));
        assert_eq!(
            wrong(&[first(), stored(Some(101), 161, 21, true)]),
            (1, 0, 0)
        );
        // It says that it is of one, and is of both.
        assert_eq!(wrong(&[stored(Some(1), 161, 30, true)]), (1, 0, 0));
        // It began before the car came.
        assert_eq!(
            wrong(&[first(), stored(Some(70), 161, 20, true)]),
            (1, 0, 0)
        );
        let twice = [first(), first(), stored(Some(101), 161, 20, true)];
        assert_eq!(wrong(&twice), (0, 0, 1));
        assert_eq!(
            wrong(&[
                stored(Some(1), 61, 9, true),
                stored(Some(101), 161, 21, true)
            ]),
            (2, 0, 0)
        );
    }
}
