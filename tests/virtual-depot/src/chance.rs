//! Chance that can be repeated.
//!
//! Every car, station, meter and fault has a generator of its own, made from the depot's seed and a name, so that
//! adding a car changes nothing for the others. The generator is xoshiro256++ by its name (`rand::rngs` promises
//! the algorithm, unlike `StdRng`), and only its 64-bit words are used; how they become numbers is written here.
//! So a seed gives the same depot with every version of `rand`.

use rand::{Rng, SeedableRng, rngs::Xoshiro256PlusPlus};

/// A stream of chance.
#[derive(Clone, Debug)]
pub struct Chance(Xoshiro256PlusPlus);

impl Chance {
    /// The stream called `name` of the depot with this seed.
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a (64 bit) of the name; `seed_from_u64` spreads the result with SplitMix64.
        let name = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
        });
        Self(Xoshiro256PlusPlus::seed_from_u64(
            seed.rotate_left(32) ^ name,
        ))
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `from..to`.
    pub fn between(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }

    /// Whether something of this probability happens.
    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// Roughly normal with mean 0 and variance 1, never beyond ±3: the sum of three uniform numbers.
    pub fn normal(&mut self) -> f64 {
        const PART: u64 = (1 << 21) - 1;
        let word = self.0.next_u64();
        let sum = (word & PART) + (word >> 21 & PART) + (word >> 42 & PART);
        (sum as f64 / PART as f64 - 1.5) * 2.0
    }
}

/// A quantity that wanders about a mean and comes back to it (a discrete Ornstein-Uhlenbeck process).
#[derive(Clone, Debug)]
pub struct Drift {
    /// What it is now.
    pub value: f64,
    /// What it comes back to.
    pub mean: f64,
    /// How far it goes: its standard deviation.
    pub spread: f64,
    /// How long it remembers, in seconds.
    pub memory: f64,
}

impl Drift {
    /// A quantity that is at its mean.
    pub fn at(mean: f64, spread: f64, memory: f64) -> Self {
        Self {
            value: mean,
            mean,
            spread,
            memory,
        }
    }

    /// Wanders on for `seconds`.
    pub fn step(&mut self, seconds: f64, chance: &mut Chance) {
        let pull = (seconds / self.memory).min(1.0);
        self.value += (self.mean - self.value) * pull
            + self.spread * (pull * (2.0 - pull)).sqrt() * chance.normal();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_these_numbers_for_ever() {
        let mut chance = Chance::new(1, "car-01");
        let words: Vec<u64> = (0..3).map(|_| (chance.unit() * 1e9) as u64).collect();
        assert_eq!(words, [988_055_311, 819_538_276, 885_294_751]);
    }

    #[test]
    fn normal_and_drift_have_their_mean_and_spread() {
        let mut chance = Chance::new(7, "spread");
        let mut drift = Drift::at(5.0, 2.0, 10.0);
        let (mut sum, mut squares, mut drifts) = (0.0, 0.0, 0.0);
        for _ in 0..100_000 {
            let x = chance.normal();
            (sum, squares) = (sum + x, squares + x * x);
            drift.step(1.0, &mut chance);
            drifts += (drift.value - 5.0) * (drift.value - 5.0);
        }
        assert!((sum / 1e5).abs() < 0.02, "{sum}");
        assert!((squares / 1e5 - 1.0).abs() < 0.02, "{squares}");
        assert!((drifts / 1e5 - 4.0).abs() < 0.3, "{drifts}");
    }
}
