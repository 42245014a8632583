//! The depot's supply: three phases of 220Y/127 V at 60 Hz, as sinusoids written as complex numbers.

use std::{
    f64::consts::TAU,
    ops::{Add, Mul, Sub},
};

use crate::chance::{Chance, Drift};

/// An effective value and an angle, as a complex number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phasor {
    /// Real part.
    pub re: f64,
    /// Imaginary part.
    pub im: f64,
}

impl Phasor {
    /// Nothing.
    pub const ZERO: Self = Self { re: 0.0, im: 0.0 };

    /// By effective value and angle in turns.
    pub fn polar(size: f64, turns: f64) -> Self {
        let angle = turns * TAU;
        Self {
            re: size * angle.cos(),
            im: size * angle.sin(),
        }
    }

    /// Effective value.
    pub fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    /// The same size, turned the other way.
    #[must_use]
    pub fn conjugate(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    /// Complex power of this voltage with `current`: active power, and reactive power positive for inductive loads.
    #[must_use]
    pub fn power_with(self, current: Self) -> Self {
        self * current.conjugate()
    }

    /// The current that takes `apparent` VA at this voltage, lagging by `lag` turns.
    #[must_use]
    pub fn current_for(self, apparent: f64, lag: f64) -> Self {
        let size = self.size();
        if size == 0.0 {
            return Self::ZERO;
        }
        let direction = Self {
            re: self.re / size,
            im: self.im / size,
        };
        direction * Self::polar(apparent / size, -lag)
    }
}

impl Add for Phasor {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }
}

impl Sub for Phasor {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            re: self.re - other.re,
            im: self.im - other.im,
        }
    }
}

impl Mul for Phasor {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

impl Mul<f64> for Phasor {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }
}

/// Voltage between a phase and neutral, in V.
pub const NOMINAL: f64 = 127.0;

/// Voltages at the meter.
#[derive(Clone, Debug)]
pub struct Grid {
    sizes: [Drift; 3],
    frequency: Drift,
    chance: Chance,
}

impl Grid {
    /// A supply at its nominal values.
    pub fn new(seed: u64) -> Self {
        Self {
            sizes: std::array::from_fn(|_| Drift::at(NOMINAL, 0.9, 90.0)),
            frequency: Drift::at(60.0, 0.012, 20.0),
            chance: Chance::new(seed, "grid"),
        }
    }

    /// Lives on for `seconds`.
    pub fn step(&mut self, seconds: f64) {
        for size in &mut self.sizes {
            size.step(seconds, &mut self.chance);
        }
        self.frequency.step(seconds, &mut self.chance);
    }

    /// Voltages from A, B and C to neutral; B lags A and C lags B by a third of a turn.
    pub fn voltages(&self) -> [Phasor; 3] {
        std::array::from_fn(|phase| Phasor::polar(self.sizes[phase].value, -(phase as f64) / 3.0))
    }

    /// Frequency, in Hz.
    pub fn frequency(&self) -> f64 {
        self.frequency.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_between_two_phases_is_shared_by_them() {
        let [a, b, _] = std::array::from_fn(|k| Phasor::polar(NOMINAL, -(k as f64) / 3.0));
        let line = a - b;
        assert!((line.size() - 219.97).abs() < 0.01);
        let current = line.current_for(7_000.0, 0.0);
        let (on_a, on_b) = (a.power_with(current), b.power_with(current * -1.0));
        assert!((on_a.re - 3_500.0).abs() < 1e-6 && (on_b.re - 3_500.0).abs() < 1e-6);
        // Each phase carries reactive power although the load has none; together they cancel.
        assert!(on_a.im.abs() > 2_000.0 && (on_a + on_b).im.abs() < 1e-6);
    }
}
