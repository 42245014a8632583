//! When a loop is stuck. Pure: times are durations since any beginning.

use std::time::Duration;

/// How long a loop is given to end after it was told to.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// Where a loop stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It runs, and was last heard then.
    Running(Duration),
    /// It was told to end then, because nothing had been heard of it.
    Ending(Duration),
    /// It has ended by a fault and is started again soon.
    Resting,
    /// It has come to its end: a recording that has been played, or the gateway stops.
    Done,
}

/// What to think of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It moves, or has nothing to do any more.
    Moving,
    /// It does not move, and what can be done is under way.
    Still,
    /// Nothing has been heard of it for too long.
    Stuck,
    /// It was told to end and has not.
    Immovable,
}

pub(super) fn judge(phase: Phase, deadline: Duration, now: Duration) -> Judgement {
    match phase {
        Phase::Running(heard) if now.saturating_sub(heard) <= deadline => Judgement::Moving,
        Phase::Running(_) => Judgement::Stuck,
        Phase::Ending(since) if now.saturating_sub(since) > GRACE => Judgement::Immovable,
        Phase::Ending(_) | Phase::Resting => Judgement::Still,
        Phase::Done => Judgement::Moving,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_stuck_after_its_deadline_and_immovable_after_the_grace() {
        let s = Duration::from_secs;
        let judge = |phase, now| judge(phase, s(15), now);
        assert_eq!(judge(Phase::Running(s(100)), s(115)), Judgement::Moving);
        assert_eq!(
            judge(Phase::Running(s(100)), s(115) + Duration::from_millis(1)),
            Judgement::Stuck
        );
        // What was heard after the look began is not long ago.
        assert_eq!(judge(Phase::Running(s(100)), s(99)), Judgement::Moving);
        assert_eq!(judge(Phase::Ending(s(116)), s(121)), Judgement::Still);
        assert_eq!(judge(Phase::Ending(s(116)), s(122)), Judgement::Immovable);
        assert_eq!(judge(Phase::Resting, s(1000)), Judgement::Still);
        assert_eq!(judge(Phase::Done, s(1000)), Judgement::Moving);
    }
}
