//! Circuits and stations: what they are rated for.

use config_file::{Kind, Syntax};
use serde::{Deserialize, Serialize};
use shared_protocol::{AssetKey, GatewayId};

use super::{Phase, Phases, Unit};

/// Voltages between two phases and between a phase and neutral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VoltageSystem {
    /// 220 V between phases, 127 V to neutral: Mexico.
    #[serde(rename = "220Y/127")]
    V220,
    /// 440 V and 254 V: Mexican industry.
    #[serde(rename = "440Y/254")]
    V440,
    /// 400 V and 230 V: IEC 60038.
    #[serde(rename = "400Y/230")]
    V400,
    /// 208 V and 120 V: ANSI C84.1.
    #[serde(rename = "208Y/120")]
    V208,
    /// 480 V and 277 V: ANSI C84.1.
    #[serde(rename = "480Y/277")]
    V480,
}

impl VoltageSystem {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] =
        &["220Y/127", "440Y/254", "400Y/230", "208Y/120", "480Y/277"];

    /// Nominal voltage between two phases, in V.
    pub const fn between_phases(self) -> f64 {
        match self {
            Self::V220 => 220.0,
            Self::V440 => 440.0,
            Self::V400 => 400.0,
            Self::V208 => 208.0,
            Self::V480 => 480.0,
        }
    }

    /// Its text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::V220 => "220Y/127",
            Self::V440 => "440Y/254",
            Self::V400 => "400Y/230",
            Self::V208 => "208Y/120",
            Self::V480 => "480Y/277",
        }
    }

    /// Power of 1 A at power factor 1, in W.
    pub fn power_per_ampere(self, connection: Connection) -> f64 {
        let voltage = self.between_phases();
        match connection {
            Connection::PhaseNeutral => voltage / 3.0_f64.sqrt(),
            Connection::PhasePhase => voltage,
            Connection::ThreePhase => voltage * 3.0_f64.sqrt(),
        }
    }
}

/// Between which conductors a station draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Between one phase and neutral (L-N).
    PhaseNeutral,
    /// Between two phases (L-L).
    PhasePhase,
    /// From three phases.
    ThreePhase,
}

/// What one breaker protects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Circuit {
    /// Its id.
    pub id: AssetKey,
    /// The circuit that feeds it; `None` at the supply.
    pub parent: Option<AssetKey>,
    /// Rating of its breaker per phase, in A.
    pub breaker: u32,
    /// The phases that it carries.
    pub phases: Phases,
    /// Whether it carries its full rating continuously.
    pub rated_100_percent: bool,
    /// Kept free per phase for loads that are not stations, in A.
    pub reserved: f64,
    /// Limits below the breaker's, one for each of its phases in their order, in A.
    pub phase_limits: Option<Vec<f64>>,
    /// Most that its neutral conductor may carry, in A; `None`: as much as a phase.
    pub neutral_limit: Option<f64>,
    /// The transformer through which it is fed; its breaker is on the secondary side.
    pub transformer: Option<Transformer>,
}

/// A three-phase transformer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    /// Rated power, in kVA.
    pub power: f64,
    /// Vector group (IEC 60076-1).
    pub connection: VectorGroup,
    /// Voltages of its secondary side.
    pub voltage_system: VoltageSystem,
}

/// Vector group of a transformer (IEC 60076-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VectorGroup {
    /// Delta to wye, the secondary 30° behind.
    Dyn1,
    /// Delta to wye, the secondary 30° ahead.
    Dyn11,
    /// Wye to wye.
    Yyn0,
}

impl VectorGroup {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] = &["Dyn1", "Dyn11", "Yyn0"];
}

/// What plugs into the vehicle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connector {
    /// IEC 62196-2 type 1, SAE J1772.
    #[serde(rename = "Type 1")]
    Type1,
    /// IEC 62196-2 type 2.
    #[serde(rename = "Type 2")]
    Type2,
    /// Combined Charging System, configuration EE.
    #[serde(rename = "CCS1")]
    Ccs1,
    /// Combined Charging System, configuration FF.
    #[serde(rename = "CCS2")]
    Ccs2,
    /// GB/T 20234.2.
    #[serde(rename = "GB/T AC")]
    GbtAc,
    /// GB/T 20234.3.
    #[serde(rename = "GB/T DC")]
    GbtDc,
    /// CHAdeMO.
    #[serde(rename = "CHAdeMO")]
    Chademo,
    /// SAE J3400, with AC or DC.
    #[serde(rename = "NACS")]
    Nacs,
}

impl Connector {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] = &[
        "Type 1", "Type 2", "CCS1", "CCS2", "GB/T AC", "GB/T DC", "CHAdeMO", "NACS",
    ];

    /// Its text.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Type1 => "Type 1",
            Self::Type2 => "Type 2",
            Self::Ccs1 => "CCS1",
            Self::Ccs2 => "CCS2",
            Self::GbtAc => "GB/T AC",
            Self::GbtDc => "GB/T DC",
            Self::Chademo => "CHAdeMO",
            Self::Nacs => "NACS",
        }
    }

    /// Most current per phase and most phases that it carries as AC, in A; `None` where it may carry DC, whose
    /// currents are not those of the circuit. Type 1: SAE J1772, 80 A single-phase; type 2: IEC 62196-2, 70 A
    /// single-phase and 63 A three-phase; GB/T 20234.2: 32 A single-phase and 63 A three-phase.
    pub const fn ac_limit(self, three_phase: bool) -> Option<f64> {
        match (self, three_phase) {
            (Self::Type1, _) => Some(80.0),
            (Self::Type2, false) => Some(70.0),
            (Self::Type2 | Self::GbtAc, true) => Some(63.0),
            (Self::GbtAc, false) => Some(32.0),
            _ => None,
        }
    }
}

/// A charging station. Its connectors share what it draws.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Station {
    /// Its id.
    pub id: AssetKey,
    /// The circuit that feeds it.
    pub circuit: AssetKey,
    /// The phases that it is wired to, in the order of its terminals.
    pub phases: Phases,
    /// What plugs into the vehicle, by the number of the connector from 1.
    pub connectors: Vec<Connector>,
    /// Most that it draws from each of its phases, in A.
    pub max_current: f64,
    /// Least with which it charges; below, it pauses, in A.
    pub min_current: f64,
    /// What it falls back to by itself when nobody tells it a limit, in A.
    pub fallback_current: f64,
    /// How often a limit may be written to it in a day; `None`: as usual.
    pub writes_per_day: Option<u32>,
    /// Whether it can be told to use its first phase alone.
    pub switches_phases: bool,
    /// The gateway that limits it; `None` where there is only one.
    pub gateway: Option<GatewayId>,
    /// How it is read and limited over Modbus.
    pub modbus: Option<Unit>,
    /// How it is known over OCPP.
    pub ocpp: Option<Ocpp>,
}

/// A station that connects to its gateway by OCPP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ocpp {
    /// Its identity, the last part of the address that it connects to.
    pub id: String,
    /// The version that it speaks.
    pub version: OcppVersion,
}

/// A version of OCPP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OcppVersion {
    /// OCPP-J 1.6.
    #[serde(rename = "1.6")]
    V1_6,
    /// OCPP 2.0.1.
    #[serde(rename = "2.0.1")]
    V2_0_1,
}

impl OcppVersion {
    /// Every text that names one.
    pub const TEXTS: &'static [&'static str] = &["1.6", "2.0.1"];
}

impl Ocpp {
    /// An identity: OCPP-J 1.6 §3.1.1 sends it as a part of a URL, and CiString20 bounds it.
    pub const ID: Kind = Kind::Syntax(Syntax {
        form: "an OCPP identity (1 to 20 of a-z A-Z 0-9 . - _)",
        check: |text| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if (1..=20).contains(&text.len()) && text.bytes().all(plain) {
                Ok(())
            } else {
                Err(String::new())
            }
        },
    });
}

impl Station {
    /// Between which conductors it draws: one phase is L-N, two are L-L.
    pub fn connection(&self) -> Connection {
        match self.phases.as_slice().len() {
            1 => Connection::PhaseNeutral,
            2 => Connection::PhasePhase,
            _ => Connection::ThreePhase,
        }
    }

    /// Whether a vehicle still charges at what the station falls back to.
    pub fn charges_alone(&self) -> bool {
        self.fallback_current > 0.0 && self.fallback_current >= self.min_current
    }
}

impl Transformer {
    /// Rated current of its secondary, in A.
    pub fn rated_current(&self) -> f64 {
        self.power * 1000.0 / (3.0_f64.sqrt() * self.voltage_system.between_phases())
    }
}

impl Circuit {
    /// What it may carry on a phase for as long as charging takes, in A: its rating or 80 % of it (a load of three
    /// hours or more is continuous: NOM-001-SEDE-2012 and NEC, 100, 210-20(a), 215-3), the limit of the phase, what
    /// its transformer delivers; less what is reserved.
    pub fn usable(&self, phase: Phase) -> f64 {
        self.continuous(phase) - self.reserved
    }

    /// Like [`Circuit::usable`], with what is reserved.
    pub fn continuous(&self, phase: Phase) -> f64 {
        let rating = f64::from(self.breaker);
        let rating = if self.rated_100_percent {
            rating
        } else {
            rating * 4.0 / 5.0
        };
        rating.min(self.rated(phase))
    }

    /// What it may carry on a phase for a while, in A: the rating of breaker or transformer, or the limit of the phase.
    pub fn rated(&self, phase: Phase) -> f64 {
        let transformer = self
            .transformer
            .as_ref()
            .map_or(f64::INFINITY, Transformer::rated_current);
        let place = self.phases.as_slice().iter().position(|p| *p == phase);
        let limits = self.phase_limits.as_deref().unwrap_or_default();
        let limit = place.and_then(|place| limits.get(place).copied());
        f64::from(self.breaker)
            .min(transformer)
            .min(limit.unwrap_or(f64::INFINITY))
    }
}
