//! Which signals of a device matter here, and what they said last.

use load_manager::Millis;

/// What a signal is to the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Status,
    L1,
    L2,
    L3,
    Power,
    StateOfCharge,
    Offered,
    Energy,
}

/// Names of the catalogue: OCPP's of stations, SunSpec's of meters.
const ROLES: [(&str, Role); 12] = [
    ("ChargePointStatus", Role::Status),
    ("Current.Import.L1", Role::L1),
    ("Current.Import.L2", Role::L2),
    ("Current.Import.L3", Role::L3),
    ("Power.Active.Import", Role::Power),
    ("SoC", Role::StateOfCharge),
    ("Current.Offered", Role::Offered),
    ("Energy.Active.Import.Register", Role::Energy),
    ("AphA", Role::L1),
    ("AphB", Role::L2),
    ("AphC", Role::L3),
    ("W", Role::Power),
];

/// What a signal of this name is, if it matters.
pub(super) fn role(name: &str) -> Option<Role> {
    let found = ROLES.iter().find(|(of, _)| *of == name);
    found.map(|(_, role)| *role)
}

/// What a device said last, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Said([Option<(f64, Millis)>; 8]);

impl Said {
    pub(super) fn hear(&mut self, role: Role, value: f64, at: Millis) {
        self.0[role as usize] = Some((value, at));
    }

    pub(super) fn get(&self, role: Role) -> Option<(f64, Millis)> {
        self.0[role as usize]
    }

    /// What was said at this time or later.
    pub(super) fn since(&self, role: Role, earliest: Millis) -> Option<f64> {
        let (value, at) = self.get(role)?;
        (at >= earliest).then_some(value)
    }

    /// When anything was said last.
    pub(super) fn newest(&self) -> Option<Millis> {
        self.0.iter().flatten().map(|(_, at)| *at).max()
    }

    /// The magnitudes of these currents and the oldest of their times, if all were said. A breaker carries what flows either
    /// way; and a current transformer that was put on the wrong way round must not look like room.
    pub(super) fn currents(&self, wanted: [bool; 3]) -> Option<([f64; 3], Millis)> {
        let (mut currents, mut oldest) = ([0.0; 3], Millis::MAX);
        for (place, role) in [Role::L1, Role::L2, Role::L3].into_iter().enumerate() {
            if wanted[place] {
                let (value, at) = self.get(role)?;
                currents[place] = f64::abs(value);
                oldest = oldest.min(at);
            }
        }
        (oldest < Millis::MAX).then_some((currents, oldest))
    }
}

#[cfg(test)]
mod tests {
    use shared_protocol::catalogue;

    use super::*;

    #[test]
    fn every_name_is_in_the_catalogue_with_its_unit() {
        for (name, role) in ROLES {
            let unit = &catalogue().by_name(name).expect(name).unit;
            let expected = match role {
                Role::Status => "1",
                Role::L1 | Role::L2 | Role::L3 | Role::Offered => "A",
                Role::Power => "W",
                Role::Energy => "Wh",
                Role::StateOfCharge => "percent",
            };
            assert_eq!(unit, expected, "{name}");
        }
    }

    #[test]
    fn currents_are_as_old_as_the_oldest_of_them() {
        let mut said = Said::default();
        said.hear(Role::L1, -12.0, 1000);
        assert_eq!(said.currents([true; 3]), None);
        assert_eq!(
            said.currents([true, false, false]),
            Some(([12.0, 0.0, 0.0], 1000))
        );
        said.hear(Role::L2, 3.0, 900);
        said.hear(Role::L3, 4.0, 1000);
        assert_eq!(said.currents([true; 3]), Some(([12.0, 3.0, 4.0], 900)));
        assert_eq!(said.currents([false; 3]), None);
        assert_eq!(said.since(Role::L2, 901), None);
        assert_eq!(said.newest(), Some(1000));
    }
}
