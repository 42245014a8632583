//! What time it is, as far as that can be known. Pure: every time is an argument, in microseconds; *offset* is what to add to
//! the monotonic time to get microseconds since 1970.
//!
//! | who says so | believed |
//! |---|---|
//! | the system, and somebody keeps its clock (see [`super::Sources::kept`]) | if it is neither before the floor nor absurdly late, and has not jumped by more than an hour since |
//! | the cloud, in an acknowledgement of a block that nobody can have seen before | always; its error is the time that the answer took. The system is believed again once it agrees with it |
//! | nobody | the time is unknown; blocks travel without it |
//!
//! A jump of the system's clock with nobody to judge it makes the time unknown: what is recorded meanwhile is placed when
//! the cloud has spoken, and no block can get to the cloud without hearing it speak.

/// A clock that is wrong by less than this may still be the better one.
const AGREES_US: i64 = 60_000_000;
/// A clock that jumps by more has been wrong before, or is now.
const JUMP_US: i64 = 3_600_000_000;
/// Offsets that differ by less are the same: small corrections by NTP must not tear apart samples of one instant
/// that travel in different blocks.
const STEADY_US: i64 = 2_000;
/// How fast a monotonic clock may run away, in parts per million.
const DRIFT_PPM: i64 = 100;
/// Longest life of a build: a clock that is further ahead of it is wrong.
const LIFE_US: i64 = 30 * 365 * 86_400 * 1_000_000;
/// An answer that took longer tells nothing that is worth knowing.
const SLOW_US: i64 = 30_000_000;

/// Who says what time it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Nobody: it is unknown.
    Nobody,
    /// The system's clock.
    System,
    /// The cloud, over the system's clock.
    Cloud,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    offset: i64,
    error: i64,
    at: i64,
}

impl Word {
    fn error_at(&self, mono: i64) -> i64 {
        self.error + (mono - self.at).max(0) / 1_000_000 * DRIFT_PPM
    }
}

/// What is believed.
#[derive(Clone, Debug)]
pub(super) struct Wall {
    built: i64,
    /// It is surely not earlier than this.
    floor: i64,
    held: Option<i64>,
    source: Source,
    /// The last offset of the system's clock that was believed.
    trusted: Option<i64>,
    cloud: Option<Word>,
}

impl Wall {
    /// It is not before the build was made, nor before what an earlier run has saved.
    pub(super) fn new(built: i64, saved: Option<i64>) -> Self {
        // What was saved by a fault must not keep a sound clock out for ever.
        let saved = saved.filter(|saved| (built..built + LIFE_US).contains(saved));
        Self {
            built,
            floor: saved.unwrap_or(built),
            held: None,
            source: Source::Nobody,
            trusted: None,
            cloud: None,
        }
    }

    /// Looks at the system's clock; `kept` tells whether somebody keeps it right.
    pub(super) fn look(&mut self, system: i64, mono: i64, kept: bool) -> Option<i64> {
        let plausible = (self.floor..self.built + LIFE_US).contains(&system);
        let offset = (plausible && kept).then_some(system - mono);
        let (found, source, slack) = match (self.cloud, offset) {
            (Some(word), Some(offset))
                if (offset - word.offset).abs() <= AGREES_US + word.error_at(mono) =>
            {
                self.trusted = Some(offset);
                (Some(offset), Source::System, STEADY_US)
            }
            (Some(word), _) => (Some(word.offset), Source::Cloud, word.error_at(mono)),
            (None, Some(offset))
                if self
                    .trusted
                    .is_none_or(|trusted| (offset - trusted).abs() <= JUMP_US) =>
            {
                self.trusted = Some(offset);
                (Some(offset), Source::System, STEADY_US)
            }
            (None, _) => (None, Source::Nobody, 0),
        };
        self.held = match (self.held, found) {
            (Some(held), Some(found)) if (found - held).abs() < slack.max(STEADY_US) => Some(held),
            // Whole milliseconds, as most times of samples are.
            (_, found) => found.map(|found| found / 1000 * 1000),
        };
        self.source = source;
        self.held
    }

    /// The cloud has said what time it was at some instant between these two.
    pub(super) fn cloud_says(&mut self, cloud: i64, sent: i64, received: i64) {
        self.not_before(cloud);
        if cloud < self.built || received < sent || received - sent > SLOW_US {
            return;
        }
        let word = Word {
            offset: cloud - i64::midpoint(sent, received),
            error: (received - sent) / 2,
            at: received,
        };
        let better = |old: Word| word.error <= old.error_at(received);
        if self.cloud.is_none_or(better) {
            self.cloud = Some(word);
        }
    }

    /// Whoever has signed this knew that it is not earlier.
    pub(super) fn not_before(&mut self, time: i64) {
        if time < self.built + LIFE_US {
            self.floor = self.floor.max(time);
        }
    }

    pub(super) fn source(&self) -> Source {
        self.source
    }

    pub(super) fn floor(&self) -> i64 {
        self.floor
    }

    /// Whether the cloud has spoken: only such a time is worth saving.
    pub(super) fn is_confirmed(&self) -> bool {
        self.cloud.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: i64 = 1_000_000;
    const YEAR: i64 = 365 * 86_400 * S;
    const BUILT: i64 = 1_800_000_000 * S;
    const NOW: i64 = BUILT + YEAR;

    fn wall() -> Wall {
        Wall::new(BUILT, None)
    }

    #[test]
    fn offsets_are_steady_until_the_clock_is_set() {
        let mut wall = wall();
        assert_eq!(wall.look(0, 0, true), None);
        let first = wall.look(NOW, 1_700, true).unwrap();
        assert_eq!(first % 1000, 0);
        assert_eq!(wall.look(NOW + S + 700, S + 1_700, true), Some(first));
        let slewed = wall.look(NOW + 2 * S + 50_000, 2 * S, true).unwrap();
        assert!((slewed - first - 50_000).abs() < 5_000);
    }

    #[test]
    fn a_clock_that_nobody_keeps_waits_for_the_cloud() {
        let mut wall = wall();
        // It goes on where it stopped: three weeks late, and not before the build.
        let late = NOW - 21 * 86_400 * S;
        assert_eq!(wall.look(late, 5 * S, false), None);
        assert_eq!(wall.source(), Source::Nobody);
        wall.cloud_says(NOW, 9 * S, 11 * S);
        let offset = wall.look(late + 6 * S, 11 * S, false).unwrap();
        assert_eq!((offset, wall.source()), (NOW - 10 * S, Source::Cloud));
        // NTP comes at last, and agrees.
        let offset = wall.look(NOW + 10 * S + 300_000, 20 * S, true).unwrap();
        assert_eq!(
            (offset, wall.source()),
            (NOW - 10 * S + 300_000, Source::System)
        );
    }

    #[test]
    fn ten_years_either_way_are_seen_through() {
        for jump in [10 * YEAR, -10 * YEAR, 2 * 3600 * S] {
            // With nobody to judge: unknown, until it is back or the cloud has spoken.
            let mut wall = wall();
            let offset = wall.look(NOW, 0, true).unwrap();
            assert_eq!(wall.look(NOW + S + jump, S, true), None, "{jump}");
            assert_eq!(wall.look(NOW + 2 * S, 2 * S, true), Some(offset));
            assert_eq!(wall.look(NOW + 3 * S + jump, 3 * S, true), None);
            wall.cloud_says(NOW + 4 * S, 3_900_000, 4_100_000);
            assert_eq!(wall.look(NOW + 5 * S + jump, 5 * S, true), Some(offset));
            assert_eq!(wall.source(), Source::Cloud);
        }
    }

    #[test]
    fn the_cloud_wins_against_a_clock_that_was_wrong_from_the_beginning() {
        let mut wall = wall();
        wall.look(NOW + 10 * YEAR, 0, true).unwrap();
        wall.cloud_says(NOW, 0, 400_000);
        let offset = wall.look(NOW + 10 * YEAR + S, S, true).unwrap();
        assert_eq!(offset, NOW - 200_000);
        // An old word, told again late, does not move it; nor does a slow one, nor one from before the build.
        wall.cloud_says(NOW - YEAR, 2 * S, 20 * S);
        wall.cloud_says(NOW, 2 * S, 100 * S);
        wall.cloud_says(BUILT - 1, 2 * S, 2 * S);
        assert_eq!(
            wall.look(NOW + 10 * YEAR + 200 * S, 200 * S, true),
            Some(offset)
        );
    }

    #[test]
    fn what_was_saved_is_a_floor_and_no_trap() {
        let mut wall = Wall::new(BUILT, Some(NOW));
        assert_eq!(wall.look(NOW - S, 0, true), None);
        assert!(wall.look(NOW + S, S, true).is_some());
        for absurd in [BUILT + 200 * YEAR, 0, i64::MAX] {
            assert!(Wall::new(BUILT, Some(absurd)).look(NOW, 0, true).is_some());
        }
    }

    proptest! {
        /// However the system's clock jumps: once the cloud has spoken, the time is right to a minute and the answer's length.
        #[test]
        fn after_the_cloud_has_spoken_the_time_is_right(
            jumps in proptest::collection::vec((-12 * YEAR..12 * YEAR, any::<bool>()), 1..40),
            answer in 0..10 * S,
        ) {
            let mut wall = wall();
            let mut mono = 0;
            wall.look(NOW + jumps[0].0, mono, true);
            mono += answer;
            // The cloud spoke right at the end.
            wall.cloud_says(NOW + mono, mono - answer, mono);
            for (jump, kept) in jumps {
                mono += S;
                let offset = wall.look(NOW + mono + jump, mono, kept).unwrap();
                prop_assert!((offset - NOW).abs() <= AGREES_US + answer + S, "{}", offset - NOW);
            }
        }
    }
}
