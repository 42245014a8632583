//! Loads that are not stations: the building, the wash bay.
//!
//! Where a meter says what a circuit carries, the base load is what the stations' phasors leave of it; a peak of it counts
//! for a while. Where none does, it is what the depot's file reserves, and what is found below.

use depot_config::depot::{Currents, Phase, Phases};

use crate::{Millis, Rules, input::MeterReading, site::Site};

/// What is known of a circuit's base load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Base {
    /// By phase, in A.
    held: [f64; 3],
    /// Since when nothing as high was seen.
    seen: [Millis; 3],
}

/// The loads of all circuits that are not stations.
#[derive(Clone, Debug)]
pub(crate) struct Bases {
    of: Vec<Base>,
}

/// What a step finds.
pub(crate) struct Found {
    /// By circuit and phase, in A, with what is below.
    pub(crate) base: Vec<[f64; 3]>,
    /// Metered circuits whose meter is silent.
    pub(crate) silent: Vec<usize>,
    /// What meters measured, by circuit.
    pub(crate) fresh: Vec<Option<MeterReading>>,
}

impl Bases {
    pub(crate) fn new(site: &Site) -> Self {
        Self {
            of: vec![Base::default(); site.circuits.len()],
        }
    }

    /// `drawn` are the stations' currents by circuit: measured, or the most that they can be.
    pub(crate) fn find(
        &mut self,
        site: &Site,
        rules: &Rules,
        meters: &[MeterReading],
        drawn: &[Currents],
        now: Millis,
    ) -> Found {
        let mut fresh = vec![None; site.circuits.len()];
        for reading in meters {
            let sane = reading.current.iter().all(|a| a.is_finite() && *a >= 0.0)
                && reading.power.is_none_or(f64::is_finite);
            let age = now - reading.at;
            if sane
                && (0..=rules.meter_stale).contains(&age)
                && let Some(place) = fresh.get_mut(reading.circuit)
            {
                *place = Some(*reading);
            }
        }
        let mut found = Found {
            base: vec![[0.0; 3]; site.circuits.len()],
            silent: Vec::new(),
            fresh,
        };
        for (place, circuit) in site.circuits.iter().enumerate() {
            if circuit.metered && found.fresh[place].is_none() {
                found.silent.push(place);
            }
            if circuit.parent.is_none() {
                self.visit(site, rules, place, drawn, now, &mut found);
            }
        }
        found
    }

    fn visit(
        &mut self,
        site: &Site,
        rules: &Rules,
        place: usize,
        drawn: &[Currents],
        now: Millis,
        found: &mut Found,
    ) {
        let circuit = &site.circuits[place];
        let mut base = circuit.reserved;
        for &child in &circuit.children {
            self.visit(site, rules, child, drawn, now, found);
            let below = found.base[child];
            let below = match &site.circuits[child].transformer {
                Some((transformer, primary)) => {
                    let through = other(below).through(transformer, *primary);
                    Phase::ALL.map(|phase| through.on(phase))
                }
                None => below,
            };
            for (base, below) in base.iter_mut().zip(below) {
                *base += below;
            }
        }
        let held = &mut self.of[place];
        if let Some(reading) = &found.fresh[place] {
            for phase in Phase::ALL {
                let at = phase as usize;
                let (along, across) = drawn[place].together(phase);
                let measured = reading.current[at];
                // A load along its phase's voltage that makes the stations' current the measured one.
                let rest = (measured * measured - across * across).max(0.0).sqrt() - along;
                let rest = rest.max(0.0);
                if rest >= held.held[at] || now - held.seen[at] > rules.base_hold {
                    held.held[at] = rest;
                    held.seen[at] = now;
                }
            }
            base = held.held;
        } else if circuit.metered {
            // Silent: what was last seen, and no less than what is reserved.
            for (base, held) in base.iter_mut().zip(held.held) {
                *base = base.max(held);
            }
        }
        found.base[place] = base;
    }
}

/// Currents whose angle nobody knows.
fn other(current: [f64; 3]) -> Currents {
    let mut currents = Currents::default();
    for phase in Phase::ALL {
        let one = Phases::try_from(phase.to_string()).expect("a phase has a name");
        currents.add_other(&one, current[phase as usize]);
    }
    currents
}
