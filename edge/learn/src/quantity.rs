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
};

/// All of them.
pub const QUANTITIES: [Quantity; 3] = [STATE_OF_CHARGE, ODOMETER, PACK_VOLTAGE];
