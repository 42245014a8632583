//! What is looked for: how finely it is coded, how fast it changes.

/// A quantity that a dashboard shows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    /// The signal of the catalogue.
    pub signal: &'static str,
    /// A short name, for DBC files.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Factors with which cars code it, the commonest first.
    pub factors: &'static [f64],
    /// Offsets with which cars code it, the commonest first.
    pub offsets: &'static [f64],
    /// Lengths in bits with which cars code it.
    pub lengths: (u8, u8),
    /// The fastest that it changes, per second.
    pub fastest: f64,
    /// Least and greatest value.
    pub range: (f64, f64),
    /// What the law's diagnostics say of it, if anything.
    pub standard: Option<Standard>,
}

/// A PID of service 01 that tells the quantity, or something that moves with it: value = raw × factor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standard {
    /// The PID (SAE J1979-DA).
    pub pid: u8,
    /// Its length in bytes.
    pub length: usize,
    /// Value of one step.
    pub factor: f64,
    /// How far apart both may be: a dashboard hides the ends of the battery.
    pub apart: f64,
    /// How much that may differ from one instant to another.
    pub wander: f64,
}

/// State of charge in percent.
pub const STATE_OF_CHARGE: Quantity = Quantity {
    signal: "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
    name: "StateOfCharge",
    unit: "%",
    factors: &[
        1.0,
        0.5,
        0.1,
        0.01,
        0.2,
        0.25,
        0.4,
        0.05,
        0.02,
        0.025,
        100.0 / 255.0,
        0.001,
        0.002,
    ],
    offsets: &[0.0, -10.0, -5.0, -20.0],
    lengths: (7, 17),
    fastest: 0.5,
    range: (0.0, 110.0),
    standard: Some(Standard {
        pid: 0x5B,
        length: 1,
        factor: 100.0 / 255.0,
        apart: 10.0,
        wander: 3.0,
    }),
};

/// Odometer in km.
pub const ODOMETER: Quantity = Quantity {
    signal: "Vehicle.TraveledDistance",
    name: "Odometer",
    unit: "km",
    factors: &[1.0, 0.1, 0.01, 0.001, 0.5, 0.125, 1.0 / 64.0, 0.05, 0.2],
    offsets: &[0.0],
    lengths: (16, 32),
    fastest: 0.1,
    range: (0.0, 2_000_000.0),
    standard: Some(Standard {
        pid: 0xA6,
        length: 4,
        factor: 0.1,
        apart: 1.0,
        wander: 1.0,
    }),
};

/// Voltage of the traction battery in V.
pub const PACK_VOLTAGE: Quantity = Quantity {
    signal: "Vehicle.Powertrain.TractionBattery.CurrentVoltage",
    name: "PackVoltage",
    unit: "V",
    factors: &[
        0.1, 1.0, 0.5, 0.25, 0.01, 0.2, 0.05, 0.02, 0.125, 0.0625, 2.0,
    ],
    offsets: &[0.0, 100.0, 200.0, 50.0],
    lengths: (8, 17),
    fastest: 40.0,
    range: (50.0, 1000.0),
    standard: None,
};

/// Voltage of the 12 V battery in V, as a multimeter shows it.
pub const LOW_VOLTAGE: Quantity = Quantity {
    signal: "Vehicle.LowVoltageBattery.CurrentVoltage",
    name: "LowVoltage",
    unit: "V",
    factors: &[0.1, 0.01, 0.05, 0.001, 0.0625, 0.02, 0.2],
    offsets: &[0.0, 5.0, 3.0],
    lengths: (7, 16),
    fastest: 5.0,
    range: (5.0, 20.0),
    standard: Some(Standard {
        pid: 0x42,
        length: 2,
        factor: 0.001,
        apart: 0.5,
        wander: 0.3,
    }),
};

/// All of them.
pub const QUANTITIES: [Quantity; 4] = [STATE_OF_CHARGE, ODOMETER, PACK_VOLTAGE, LOW_VOLTAGE];
