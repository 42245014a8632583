//! What still fits on the circuits above a station.
//!
//! A neutral carries the phasor sum of what flows between the phases and neutral. Any car may stop at any time, and the loads of
//! one phase alone are the worst of all parts of them: two phases with the same current make no more, three nothing. So a neutral
//! holds when the loads to neutral of each phase hold on it.

use depot_config::depot::{Currents, Phase};

use crate::site::{Site, StationOf};

/// Comparisons allow for rounding, in A and in W.
const ROUNDING: f64 = 1e-6;

/// What leaves no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// The power of all stations.
    Power,
    /// A phase that carries more than others.
    Unbalance,
    /// This circuit.
    Circuit(usize),
    /// The neutral of this circuit.
    Neutral(usize),
}

/// What flows, and what may.
#[derive(Clone, Debug)]
pub(crate) struct Room<'s> {
    site: &'s Site,
    /// By circuit.
    sums: Vec<Currents>,
    /// What stations may draw by circuit and phase, in A.
    may: Vec<[f64; 3]>,
    /// Of single-phase loads to neutral, by phase, in A.
    single: [f64; 3],
    /// What stations draw between each phase and neutral, by circuit, in A.
    neutrals: Vec<[f64; 3]>,
    /// The base load, by circuit and phase, in A: as if all of it were between a phase and neutral.
    base: &'s [[f64; 3]],
    unbalance: Option<f64>,
    power: f64,
    /// Most of all stations, in W.
    most: f64,
}

impl<'s> Room<'s> {
    /// Nothing flows yet; `base` is taken from what circuits may carry.
    pub(crate) fn new(
        site: &'s Site,
        base: &'s [[f64; 3]],
        most: f64,
        unbalance: Option<f64>,
    ) -> Self {
        let may = site.circuits.iter().zip(base).map(|(circuit, base)| {
            Phase::ALL.map(|phase| circuit.continuous[phase as usize] - base[phase as usize])
        });
        Self {
            site,
            sums: vec![Currents::default(); site.circuits.len()],
            may: may.collect(),
            single: [0.0; 3],
            neutrals: vec![[0.0; 3]; site.circuits.len()],
            base,
            unbalance,
            power: 0.0,
            most,
        }
    }

    fn single(station: &StationOf, phases: usize) -> Option<Phase> {
        station.neutral.first().copied().filter(|_| phases == 1)
    }

    /// Whether so much more of a station fits, in A on each of so many phases.
    pub(crate) fn fits(&self, station: usize, phases: usize, more: f64) -> bool {
        self.block(station, phases, more).is_none()
    }

    /// The first thing that leaves no room for so much more of a station; `None`: it fits.
    pub(crate) fn block(&self, station: usize, phases: usize, more: f64) -> Option<Block> {
        let of = &self.site.stations[station];
        if self.power + more * of.power * phases as f64 > self.most + ROUNDING {
            return Some(Block::Power);
        }
        if let (Some(unbalance), Some(phase)) = (self.unbalance, Self::single(of, phases)) {
            let least = self.single.iter().copied().fold(f64::INFINITY, f64::min);
            if self.single[phase as usize] + more > least + unbalance + ROUNDING {
                return Some(Block::Unbalance);
            }
        }
        let full = of.units[phases - 1].iter().find(|(circuit, unit)| {
            let mut sum = self.sums[*circuit];
            sum.add_times(unit, more);
            Phase::ALL.into_iter().any(|phase| {
                // A phase that this station does not load may be over its limit by others.
                unit.on(phase) >= ROUNDING
                    && sum.on(phase) > self.may[*circuit][phase as usize] + ROUNDING
            })
        });
        full.map(|(circuit, _)| Block::Circuit(*circuit))
            .or_else(|| self.neutral(of, phases, more))
    }

    /// The first neutral that leaves no room.
    fn neutral(&self, of: &StationOf, phases: usize, more: f64) -> Option<Block> {
        let full = of.returns.iter().copied().find(|circuit| {
            let may = self.site.circuits[*circuit].neutral + ROUNDING;
            of.neutral.iter().take(phases).any(|phase| {
                let phase = *phase as usize;
                self.neutrals[*circuit][phase] + self.base[*circuit][phase] + more > may
            })
        });
        full.map(Block::Neutral)
    }

    /// Whether a station is a single-phase load whose room depends on what other phases carry.
    pub(crate) fn may_balance(&self, station: usize, phases: usize) -> bool {
        self.unbalance.is_some() && Self::single(&self.site.stations[station], phases).is_some()
    }

    /// It flows.
    pub(crate) fn add(&mut self, station: usize, phases: usize, current: f64) {
        let of = &self.site.stations[station];
        self.power += current * of.power * phases as f64;
        if let Some(phase) = Self::single(of, phases) {
            self.single[phase as usize] += current;
        }
        for (circuit, unit) in &of.units[phases - 1] {
            self.sums[*circuit].add_times(unit, current);
        }
        for circuit in &of.returns {
            for phase in of.neutral.iter().take(phases) {
                self.neutrals[*circuit][*phase as usize] += current;
            }
        }
    }
}
