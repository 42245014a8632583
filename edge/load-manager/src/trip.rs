//! How long a breaker carries too much.

/// Multiples of the rating and the seconds after which the quickest breaker of IEC 60898-1 or UL 489 may trip. Up to 1.13
/// times none trips within an hour (IEC 60898-1, 8.6.1).
const CURVE: [(f64, f64); 7] = [
    (1.13, 3600.0),
    (1.45, 120.0),
    (2.0, 20.0),
    (2.55, 4.0),
    (3.0, 1.5),
    (5.0, 0.1),
    (10.0, 0.01),
];

/// The earliest that a breaker trips at this multiple of its rating, in s; infinite where it never does.
pub fn seconds_to_trip(multiple: f64) -> f64 {
    if !multiple.is_finite() {
        return CURVE[CURVE.len() - 1].1;
    }
    if multiple <= CURVE[0].0 {
        return if multiple <= 1.05 {
            f64::INFINITY
        } else {
            CURVE[0].1
        };
    }
    for pair in CURVE.windows(2) {
        let ((low, slow), (high, quick)) = (pair[0], pair[1]);
        if multiple <= high {
            let part = (multiple / low).ln() / (high / low).ln();
            return slow * (quick / slow).powf(part);
        }
    }
    CURVE[CURVE.len() - 1].1
}

/// How near a breaker is to its trip: 0 cold, 1 tripped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heat(f64);

impl Heat {
    /// Time passes at this multiple of the rating. What is below the rating cools it down, within some minutes.
    pub fn pass(&mut self, multiple: f64, seconds: f64) {
        let to_trip = seconds_to_trip(multiple);
        if to_trip.is_finite() {
            self.0 += seconds / to_trip;
        } else {
            self.0 *= (-seconds / 180.0).exp();
        }
    }

    /// Part of what trips it.
    pub fn part(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_trips_earlier() {
        let multiples = (100..1200).map(|percent| f64::from(percent) / 100.0);
        let times: Vec<_> = multiples.map(seconds_to_trip).collect();
        assert!(times.is_sorted_by(|a, b| a >= b));
        assert_eq!(times[0], f64::INFINITY);
        assert!((seconds_to_trip(2.0) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn what_is_too_much_for_its_time_trips() {
        let mut heat = Heat::default();
        for _ in 0..19 {
            heat.pass(2.0, 1.0);
        }
        assert!((0.9..1.0).contains(&heat.part()));
        for _ in 0..1800 {
            heat.pass(0.8, 1.0);
        }
        assert!(heat.part() < 0.001);
    }
}
