//! What a virtual car does.

use rand::{RngExt as _, rngs::SmallRng};

/// How long it lives.
pub(crate) const SECONDS: usize = 50 * 60;

/// Drives for half an hour, then charges: state of charge, odometer, voltage, second by second.
pub(crate) fn life(random: &mut SmallRng) -> [Vec<f64>; 3] {
    let mut soc = random.random_range(55.0..85.0);
    let mut odometer = random.random_range(2_000.0..180_000.0);
    let base = random.random_range(300.0..380.0);
    let (mut speed, mut all) = (0.0f64, [Vec::new(), Vec::new(), Vec::new()]);
    for second in 0..SECONDS {
        let driving = second < SECONDS * 3 / 5;
        let current = if driving {
            speed = (speed + random.random_range(-3.0..3.2)).clamp(0.0, 120.0);
            -speed * 0.9 + random.random_range(-20.0..20.0)
        } else {
            speed = 0.0;
            120.0
        };
        soc = (soc + current / 3600.0 * 0.9).clamp(1.0, 99.0);
        odometer += speed / 3600.0;
        let voltage = base + soc * 0.6 + current * 0.08;
        for (series, value) in all.iter_mut().zip([soc, odometer, voltage]) {
            series.push(value);
        }
    }
    all
}
