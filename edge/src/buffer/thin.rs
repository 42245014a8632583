//! Leaving samples out, so that what is left says nearly as much. Pure.

use shared_protocol::{BlockNumber, SampleBody};

/// How often a block is thinned at most: an eighth of its samples is left then.
pub(super) const MOST_PASSES: u32 = 3;

/// What thinning makes of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Thinned {
    /// These samples are left.
    Less(SampleBody),
    /// Nothing is left of this one: its neighbours in the stream speak for it.
    Nothing,
    /// It stays as it is this time.
    Same,
}

/// Thins a body for the `pass`th time, counted from 0. A column with several samples loses every second one, its first and
/// last stay. Where each column has one sample only (live blocks are a second long), every second block of the stream
/// is emptied instead, by the bits of its number.
pub(super) fn thin(body: &SampleBody, number: &BlockNumber, pass: u32) -> Thinned {
    if body.series.iter().all(|series| body.raws(series).len() < 3) {
        // Of 0 1 2 3 4 5 6 7 the odd ones go first, then 2 and 6, then 4.
        return if number.seq % (2 << pass) == 1 << pass {
            Thinned::Nothing
        } else {
            Thinned::Same
        };
    }
    let kept = body.series.iter().flat_map(|series| {
        let (times, raws) = (&body.times[series.times as usize], body.raws(series));
        let last = raws.len().saturating_sub(1);
        let places = (0..=last).filter(move |place| place % 2 == 0 || *place == last);
        places.map(move |place| (series.column, times[place], raws[place]))
    });
    Thinned::Less(SampleBody::from_samples(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::{Epoch, Stream};

    fn number(seq: u64) -> BlockNumber {
        let epoch = Epoch {
            counter: 1,
            nonce: 2,
        };
        BlockNumber {
            epoch,
            stream: Stream::Live,
            seq,
        }
    }

    #[test]
    fn every_second_sample_goes_and_the_ends_stay() {
        let body = SampleBody::from_samples((0..60).map(|n| (0, n * 1000, n)));
        let Thinned::Less(half) = thin(&body, &number(0), 0) else {
            panic!("it has samples to spare");
        };
        assert_eq!(half.len(), 31);
        let ends: Vec<_> = half.iter().map(|(_, _, raw)| raw).collect();
        assert_eq!((ends[0], ends[1], ends[30]), (0, 2, 59));
    }

    #[test]
    fn of_short_blocks_one_in_eight_is_left() {
        let body = SampleBody::from_samples([(0, 0, 1), (1, 0, 2)]);
        let left = (0..64u64).filter(|&seq| {
            (0..MOST_PASSES).all(|pass| thin(&body, &number(seq), pass) == Thinned::Same)
        });
        assert_eq!(left.collect::<Vec<_>>(), [0, 8, 16, 24, 32, 40, 48, 56]);
    }
}
