//! One step.

use depot_config::depot::{Currents, Phase};
use shared_protocol::AssetKey;

use crate::{
    Heat, Inputs, Millis, Rules, Site, Write,
    base::{Bases, Found},
    input::StationReport,
    lease,
    room::{Block, Room},
    share::{Candidate, Share, candidates, share},
    station::Memory,
    window::{Kept, Window},
};

/// Decides for one depot.
#[derive(Clone, Debug)]
pub struct Manager {
    site: Site,
    rules: Rules,
    memories: Vec<Memory>,
    bases: Bases,
    heat: Vec<[Heat; 3]>,
    window: Window,
    orders: u64,
    last: Millis,
}

/// What is decided at a step.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// By station.
    pub limits: Vec<Limit>,
    /// What is to be told now.
    pub writes: Vec<Write>,
    /// What people should look at.
    pub alarms: Vec<Alarm>,
    /// Most that all stations may draw now for the sake of the contract, in W; infinite without one.
    pub power: f64,
    /// What the depot takes from the utility now, in W; `None` while a meter of its is silent or missing.
    pub demand: Option<f64>,
    /// The average of the utility's window so far, in W.
    pub average: Option<f64>,
}

/// What a station may draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Per phase, in A; 0: it pauses.
    pub current: f64,
    /// How many of its phases it may use.
    pub phases: usize,
    /// A car is there and waits.
    pub waits: bool,
    /// What others have to reckon with meanwhile, per phase, in A.
    pub counted: f64,
    /// What keeps it from getting more.
    pub why: Why,
}

/// What keeps a station from getting more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no car.
    NoCar,
    /// Nothing does: it has all that it can draw.
    Nothing,
    /// The car takes no more, or is not to.
    Car,
    /// The plan.
    Plan,
    /// It is raised step by step.
    Slowly,
    /// It was paused a moment ago.
    Rests,
    /// Others have not given up yet what it is to get, or come before it.
    Others,
    /// The contract with the utility.
    Contract,
    /// A phase that carries more than others.
    Unbalance,
    /// This circuit, by its place in the depot, carries all that it may.
    Circuit(usize),
    /// The neutral of this circuit does.
    Neutral(usize),
    /// The meter of this circuit is silent.
    Silent(usize),
    /// The breaker of this circuit is hot.
    Hot(usize),
    /// It does not do what it is told, or nobody hears it.
    Unreliable,
}

impl From<Block> for Why {
    fn from(block: Block) -> Self {
        match block {
            Block::Power => Self::Contract,
            Block::Unbalance => Self::Unbalance,
            Block::Circuit(place) => Self::Circuit(place),
            Block::Neutral(place) => Self::Neutral(place),
        }
    }
}

/// What people should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The meter of this circuit is silent: what is below it is at its fall-back.
    MeterSilent(AssetKey),
    /// More flows on this phase of a circuit than its rating.
    Overload(AssetKey, Phase),
    /// This station draws more than it may; the others make room.
    Disobeys(AssetKey),
    /// This station does not acknowledge what it is told.
    Unheard(AssetKey),
    /// This station was told to use one of its phases and uses more: it is not told to any more.
    KeepsPhases(AssetKey),
    /// This station says that it would allow a car more than it was told.
    ClaimsMore(AssetKey),
}

impl Manager {
    /// One that knows nothing yet of what stations were told before: they count with their maximum.
    pub fn new(site: Site, rules: Rules, now: Millis) -> Self {
        let memories = site.stations.iter();
        let memories = memories.map(|station| Memory::new(station, &rules, now));
        Self {
            memories: memories.collect(),
            bases: Bases::new(&site),
            heat: vec![[Heat::default(); 3]; site.circuits.len()],
            window: Window::default(),
            orders: now.max(0).cast_unsigned() << 20,
            last: now,
            site,
            rules,
        }
    }

    /// What is to be remembered of the utility's window that runs, over a restart; `None` while the time of day is unknown.
    pub fn window(&self) -> Option<Kept> {
        self.window.kept()
    }

    /// Goes on with the window of which an earlier run has seen a part: now, so much of it has passed.
    pub fn resume(&mut self, kept: &Kept, into: Millis, now: Millis) {
        self.window.resume(kept, into, now);
    }

    /// The depot that it decides for.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// Decides. A station of which `inputs` say nothing is taken for one that cannot be reached.
    pub fn step(&mut self, inputs: &Inputs, now: Millis) -> Decision {
        let mut reports = inputs.stations.clone();
        reports.resize(self.site.stations.len(), StationReport::default());
        let stations = self.site.stations.iter().zip(&mut self.memories);
        for ((station, memory), report) in stations.zip(&reports) {
            memory.observe(station, report, &self.rules, now);
        }
        let (drawn, drawn_power) = self.drawn();
        let found = self
            .bases
            .find(&self.site, &self.rules, &inputs.meters, &drawn, now);
        let mut alarms = Vec::new();
        self.heat(&found, now, &mut alarms);
        let (power, demand) = self.power(&found, drawn_power, inputs.into_quarter, now);
        let ceiling = self.ceiling(&found);
        let site = &self.site;
        let (asking, mut whys) =
            candidates(site, &self.rules, &self.memories, &reports, &ceiling, now);

        // Who should get how much once all have obeyed.
        let empty = Room::new(site, &found.base, power, self.rules.unbalance);
        let mut room = empty.clone();
        for (place, memory) in self.memories.iter().enumerate() {
            if !memory.follows(&reports[place]) {
                let station = &site.stations[place];
                room.add(place, station.terminals, memory.counted(station));
            }
        }
        let wanted = share(&asking, &mut room, site.stations.len());
        let given = self.given(&asking, &wanted, empty, &mut whys);
        self.last = now;
        let mut decision = self.tell(&reports, &given, &whys, now);
        alarms.append(&mut decision.alarms);
        Decision {
            alarms,
            power,
            demand,
            average: self.window.average(),
            ..decision
        }
    }

    /// What the stations draw, by circuit, and their power in W: measured, or the most that it can be.
    fn drawn(&self) -> (Vec<Currents>, f64) {
        let mut drawn = vec![Currents::default(); self.site.circuits.len()];
        let mut power = 0.0;
        for (place, (station, memory)) in self.site.stations.iter().zip(&self.memories).enumerate()
        {
            let current = match memory.measured {
                Some(measured) => measured.current,
                None => [memory.counted(station); 3],
            };
            power += current[..station.terminals].iter().sum::<f64>() * station.power;
            for (circuit, currents) in self.site.drawn(place, current) {
                drawn[circuit].add(&currents);
            }
        }
        (drawn, power)
    }

    fn heat(&mut self, found: &Found, now: Millis, alarms: &mut Vec<Alarm>) {
        let seconds = (now - self.last).max(0) as f64 / 1000.0;
        for (place, circuit) in self.site.circuits.iter().enumerate() {
            if found.silent.contains(&place) {
                alarms.push(Alarm::MeterSilent(circuit.id.clone()));
            }
            let Some(reading) = &found.fresh[place] else {
                continue;
            };
            for phase in Phase::ALL {
                let at = phase as usize;
                if circuit.rated[at] <= 0.0 {
                    continue;
                }
                let multiple = reading.current[at] / circuit.rated[at];
                self.heat[place][at].pass(multiple, seconds);
                if multiple > 1.0 {
                    alarms.push(Alarm::Overload(circuit.id.clone(), phase));
                }
            }
        }
    }

    /// Most that all stations may draw for the sake of the contract, in W, and what the depot takes now.
    fn power(
        &mut self,
        found: &Found,
        drawn: f64,
        into: Option<Millis>,
        now: Millis,
    ) -> (f64, Option<f64>) {
        let (mut measured, mut base) = (Some(0.0), 0.0);
        for (place, circuit) in self.site.circuits.iter().enumerate() {
            if circuit.parent.is_some() {
                continue;
            }
            let voltage = circuit.voltage;
            base += found.base[place].iter().sum::<f64>() * voltage;
            let reading = found.fresh[place];
            let power = reading.map(|reading| {
                let apparent = reading.current.iter().sum::<f64>() * voltage;
                reading.power.unwrap_or(apparent)
            });
            measured = measured.zip(power).map(|(sum, power)| sum + power);
        }
        self.window.pass(now, into, measured);
        let Some(target) = self.site.demand else {
            return (f64::INFINITY, measured);
        };
        if let Some(measured) = measured {
            base = (measured - drawn).max(0.0);
        }
        ((self.window.allows(target) - base).max(0.0), measured)
    }

    /// By station the most for safety's sake: under a silent meter its fall-back, under a hot breaker nothing.
    fn ceiling(&self, found: &Found) -> Vec<(f64, Why)> {
        let hot = |place: usize| {
            let parts = self.heat[place].iter().map(|heat| heat.part());
            parts.fold(0.0, f64::max) >= self.rules.hottest
        };
        let stations = self.site.stations.iter().map(|station| {
            let above = station.units[0].iter().map(|(circuit, _)| *circuit);
            above.fold((f64::INFINITY, Why::Nothing), |most, circuit| {
                if hot(circuit) {
                    (0.0, Why::Hot(circuit))
                } else if found.silent.contains(&circuit) && station.fallback < most.0 {
                    (station.fallback, Why::Silent(circuit))
                } else {
                    most
                }
            })
        });
        stations.collect()
    }

    /// Room is given once it is free: what is wanted, as far as it fits beside what all may still draw.
    /// `whys` learns what keeps stations from getting what they could have otherwise.
    fn given(
        &self,
        asking: &[Candidate],
        wanted: &[Share],
        empty: Room<'_>,
        whys: &mut [Why],
    ) -> Vec<Share> {
        let mut room = empty;
        for (place, (station, memory)) in self.site.stations.iter().zip(&self.memories).enumerate()
        {
            let phases = memory.on(station, wanted[place].phases);
            room.add(place, phases, memory.counted(station));
        }
        let mut given = wanted.to_vec();
        for one in asking {
            let (share, station) = (&mut given[one.station], &self.site.stations[one.station]);
            let memory = &self.memories[one.station];
            let counted = memory.counted(station);
            let phases = memory.on(station, share.phases);
            let step = station.options.step.max(0.1);
            while share.limit > counted + 1e-9
                && !room.fits(one.station, phases, share.limit - counted)
            {
                share.limit = (share.limit - step).max(counted);
            }
            if share.limit > counted {
                room.add(one.station, phases, share.limit - counted);
            }
            share.limit = (share.limit / step + 1e-9).floor() * step;
            if share.limit + 1e-9 < station.min {
                share.limit = 0.0;
            }
        }
        for one in asking {
            let share = given[one.station];
            if share.limit + 1e-6 < one.most {
                let more = if share.limit > 0.0 { 1.0 } else { one.min };
                let phases = share.phases.clamp(1, one.phases);
                let block = room.block(one.station, phases, more);
                whys[one.station] = block.map_or(Why::Others, Why::from);
            }
        }
        given
    }

    fn tell(
        &mut self,
        reports: &[StationReport],
        given: &[Share],
        whys: &[Why],
        now: Millis,
    ) -> Decision {
        let mut decision = Decision::default();
        for (place, memory) in self.memories.iter_mut().enumerate() {
            let (station, report) = (&self.site.stations[place], &reports[place]);
            let car = report.car.is_some();
            let share = given[place];
            // A station is switched when it gets something, not before.
            let waits = station.options.switches_phases && share.limit <= 0.0;
            let phases = if share.phases == 0 || waits {
                memory.phases
            } else {
                share.phases
            };
            let told = if station.options.switches_phases {
                phases
            } else {
                station.terminals
            };
            // One that does not do what it is told is told to take the least.
            let limit = if !memory.follows(report) && car {
                memory.limit.min(station.min)
            } else {
                share.limit
            };
            memory.decide(limit, phases, car, now);
            if report.linked && car {
                let budget = &mut memory.budget;
                let number = self.orders + 1;
                let held = memory.order.as_ref();
                if let Some(order) =
                    lease::next(held, (limit, told), &self.rules, budget, number, now)
                {
                    self.orders = number;
                    memory.entitled = memory.entitled.max(limit);
                    if limit > 0.0 {
                        memory.wide = memory.wide.max(told);
                    }
                    decision.writes.push(Write {
                        station: place,
                        number,
                        limit,
                        phases: told,
                        lease: order.lease,
                    });
                    memory.order = Some(order);
                }
            }
            if memory.faults.disobeys {
                decision.alarms.push(Alarm::Disobeys(station.id.clone()));
            }
            if memory.faults.unheard {
                decision.alarms.push(Alarm::Unheard(station.id.clone()));
            }
            if memory.faults.keeps_phases {
                decision.alarms.push(Alarm::KeepsPhases(station.id.clone()));
            }
            if report.claims_more {
                decision.alarms.push(Alarm::ClaimsMore(station.id.clone()));
            }
            decision.limits.push(Limit {
                current: limit,
                phases,
                waits: car && limit <= 0.0,
                counted: memory.counted(station),
                why: whys[place],
            });
        }
        decision
    }
}
