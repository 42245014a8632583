//! A device by its map: which register holds what, encoded from what the simulated device knows.
//!
//! The maps are those that gateways read the virtual devices by, `patio-virtual-charger.toml` and
//! `patio-virtual-meter.toml`. Only what they use is simulated: holding registers, most significant first.

use std::{collections::BTreeMap, ops::Range};

use modbus::map::{DeviceMap, Order, Pattern, Point, RegisterType, Setting, Sign, Table};
use shared_protocol::{Decimal, Source, catalogue};

use crate::truth::ColumnKind;

/// Name of the charger's map, and the map.
pub const CHARGER: (&str, &str) = (
    "patio-virtual-charger",
    include_str!("../../../../depot-config/devices/patio-virtual-charger.toml"),
);

/// Name of the meter's map, and the map.
pub const METER: (&str, &str) = (
    "patio-virtual-meter",
    include_str!("../../../../depot-config/devices/patio-virtual-meter.toml"),
);

/// Why a map cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// Not a device map.
    #[error("{name}.toml: {error}")]
    Unreadable {
        /// Which.
        name: &'static str,
        /// Why.
        error: toml::de::Error,
    },
    /// It uses something that the simulator does not have.
    #[error("{name}.toml: {place}: {what}")]
    Impossible {
        /// Which.
        name: &'static str,
        /// Where in it.
        place: String,
        /// What.
        what: String,
    },
}

/// An exception of Modbus (application protocol V1.1b3 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// The function is not one of 3, 6 and 16.
    IllegalFunction = 1,
    /// A register that the map does not have.
    IllegalDataAddress = 2,
    /// A value out of bounds, or a count that is none.
    IllegalDataValue = 3,
    /// What a fault answers.
    ServerDeviceFailure = 4,
    /// Another unit than the one that is here.
    GatewayTargetFailed = 11,
}

/// What is written to a charger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Largest current per phase, in A.
    CurrentLimit,
    /// Largest current after the watchdog has run out, in A.
    FailSafeCurrent,
    /// The watchdog's time, in s.
    Watchdog,
}

/// A line of the map. `R` finds the value.
#[derive(Clone, Debug)]
struct Line<R> {
    address: u16,
    register_type: RegisterType,
    scale: Decimal,
    offset: Decimal,
    step: Decimal,
    range: (f64, f64),
    absent: u64,
    report: R,
}

#[derive(Clone, Debug)]
struct Setpoint {
    address: u16,
    scale: Decimal,
    bounds: (f64, f64),
    off: Option<f64>,
    what: Written,
}

/// A kind of device.
#[derive(Clone, Debug)]
pub struct Device<R> {
    /// Name of its map.
    pub name: &'static str,
    /// What a reader keeps of its registers, in the order of the map's points.
    pub columns: Vec<ColumnKind>,
    lines: Vec<Line<R>>,
    identity: u16,
    setpoints: Vec<Setpoint>,
    readable: Vec<Range<u32>>,
}

/// The registers of an answer, and what a reader gets by them: column and raw integer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The registers.
    pub words: Vec<u16>,
    /// Of every point that lies in them whole.
    pub samples: Vec<(usize, i64)>,
}

impl<R: Copy> Device<R> {
    /// Reads a map. `report` finds the value of a signal.
    pub fn read(
        (name, text): (&'static str, &str),
        report: impl Fn(&str) -> Option<R>,
    ) -> Result<Self, MapError> {
        let map: DeviceMap =
            toml::from_str(text).map_err(|error| MapError::Unreadable { name, error })?;
        let impossible = |place: String, what: String| MapError::Impossible { name, place, what };
        let simple = map.defaults.function == Table::Holding
            && map.defaults.word_order == Order::Big
            && map.defaults.byte_order == Order::Big
            && map.defaults.first_address == 0
            && map.guards.is_empty()
            && map.unreadable.is_empty();
        if !simple {
            let what = "only plain holding registers from 0 on are simulated".to_owned();
            return Err(impossible("defaults".to_owned(), what));
        }
        let mut device = Self {
            name,
            columns: Vec::new(),
            lines: Vec::new(),
            identity: 0,
            setpoints: Vec::new(),
            readable: Vec::new(),
        };
        let identity = map.identity.as_ref();
        match identity {
            Some(identity) if identity.register_type == RegisterType::U32 => {
                device.identity = identity.address as u16;
            }
            _ => {
                let what = "must be a u32".to_owned();
                return Err(impossible("identity".to_owned(), what));
            }
        }
        for (index, point) in map.points.iter().enumerate() {
            device
                .add_point(point, &report)
                .map_err(|what| impossible(format!("points[{index}]"), what))?;
        }
        if let Some(control) = &map.control {
            let settings = [
                (Some(&control.current_limit), Written::CurrentLimit),
                (control.fail_safe_current.as_ref(), Written::FailSafeCurrent),
                (control.watchdog.as_ref(), Written::Watchdog),
            ];
            for (setting, what) in settings {
                if let Some(setting) = setting {
                    device
                        .add_setting(setting, what)
                        .map_err(|what| impossible("control".to_owned(), what))?;
                }
            }
        }
        device.readable = device.blocks();
        Ok(device)
    }

    fn add_point(
        &mut self,
        point: &Point,
        report: impl Fn(&str) -> Option<R>,
    ) -> Result<(), String> {
        let name = &point.signal;
        let signal = catalogue()
            .by_name(name)
            .ok_or_else(|| format!("`{name}` is not in the catalogue"))?;
        let plain = point.function.is_none()
            && point.word_order.is_none()
            && point.byte_order.is_none()
            && point.scale_factor.is_none()
            && point.sign == Sign::Normal
            && point.bits.is_none()
            && point.states.is_none();
        if !plain {
            return Err("only a type, a scale, an offset and `invalid` are simulated".to_owned());
        }
        let scale = point.scale.unwrap_or(Decimal::ONE);
        let offset = point.offset.unwrap_or(Decimal::ZERO);
        match point.register_type {
            RegisterType::U16
            | RegisterType::I16
            | RegisterType::U32
            | RegisterType::I32
            | RegisterType::U64 => {}
            RegisterType::F32 if scale == Decimal::ONE && offset == Decimal::ZERO => {}
            other => return Err(format!("{other:?} with this scale is not simulated")),
        }
        let absent = point.invalid.as_ref().and_then(|patterns| patterns.first());
        self.lines.push(Line {
            address: point.address as u16,
            register_type: point.register_type,
            scale,
            offset,
            step: signal.resolution,
            range: (signal.range.0.to_f64(), signal.range.1.to_f64()),
            absent: absent.map_or(0, |Pattern(bits)| *bits),
            report: report(name).ok_or_else(|| format!("nobody knows {name}"))?,
        });
        self.columns.push(ColumnKind {
            source: Source::Modbus,
            signal: name.clone(),
            unit: signal.unit.clone(),
            step: signal.resolution,
        });
        Ok(())
    }

    fn add_setting(&mut self, setting: &Setting, what: Written) -> Result<(), String> {
        if setting.register_type != RegisterType::U16 {
            return Err(format!("{what:?} must be a u16"));
        }
        self.setpoints.push(Setpoint {
            address: setting.address as u16,
            scale: setting.scale,
            bounds: (setting.min.to_f64(), setting.max.to_f64()),
            off: setting.off.map(Decimal::to_f64),
            what,
        });
        Ok(())
    }

    /// The ranges without a gap that the map covers.
    fn blocks(&self) -> Vec<Range<u32>> {
        let points = self
            .lines
            .iter()
            .map(|line| (line.address, size(line.register_type)));
        let settings = self.setpoints.iter().map(|setpoint| (setpoint.address, 1));
        let mut places: Vec<_> = points.chain(settings).chain([(self.identity, 2)]).collect();
        places.sort_unstable();
        let mut blocks: Vec<Range<u32>> = Vec::new();
        for (address, count) in places {
            let (from, to) = (u32::from(address), u32::from(address) + u32::from(count));
            match blocks.last_mut() {
                Some(last) if last.end >= from => last.end = last.end.max(to),
                _ => blocks.push(from..to),
            }
        }
        blocks
    }

    /// The registers `address..address + count` at one instant. `value` applies a report, `setting` tells what was written.
    pub fn image(
        &self,
        address: u16,
        count: u16,
        serial: u32,
        value: impl Fn(R) -> Option<f64>,
        setting: impl Fn(Written) -> f64,
    ) -> Result<Image, Exception> {
        if !(1..=125).contains(&count) {
            return Err(Exception::IllegalDataValue);
        }
        let wanted = u32::from(address)..u32::from(address) + u32::from(count);
        let readable = |block: &Range<u32>| block.start <= wanted.start && wanted.end <= block.end;
        if !self.readable.iter().any(readable) {
            return Err(Exception::IllegalDataAddress);
        }
        let mut words: BTreeMap<u32, u16> = BTreeMap::new();
        let mut samples = Vec::new();
        let mut put = |address: u16, bits: u64, count: u16| {
            for index in 0..count {
                let word = (bits >> (16 * (count - 1 - index))) as u16;
                words.insert(u32::from(address) + u32::from(index), word);
            }
        };
        put(self.identity, u64::from(serial), 2);
        for setpoint in &self.setpoints {
            let raw = setting(setpoint.what) / setpoint.scale.to_f64();
            put(setpoint.address, raw.round() as u64, 1);
        }
        for (index, line) in self.lines.iter().enumerate() {
            let count = size(line.register_type);
            let (bits, raw) =
                value(line.report).map_or((line.absent, None), |value| line.encode(value));
            put(line.address, bits, count);
            let from = u32::from(line.address);
            let whole = wanted.start <= from && from + u32::from(count) <= wanted.end;
            samples.extend(raw.filter(|_| whole).map(|raw| (index, raw)));
        }
        let words = wanted.map(|address| words.get(&address).copied().unwrap_or(0));
        Ok(Image {
            words: words.collect(),
            samples,
        })
    }

    /// What a write sets, in the unit of the setting. Nothing is set unless all of it can be.
    pub fn written(&self, address: u16, words: &[u16]) -> Result<Vec<(Written, f64)>, Exception> {
        if words.is_empty() || words.len() > 123 {
            return Err(Exception::IllegalDataValue);
        }
        let mut set = Vec::new();
        for (address, word) in (u32::from(address)..).zip(words) {
            let setpoint = self
                .setpoints
                .iter()
                .find(|setpoint| u32::from(setpoint.address) == address)
                .ok_or(Exception::IllegalDataAddress)?;
            let value = f64::from(*word) * setpoint.scale.to_f64();
            let (least, most) = setpoint.bounds;
            let possible =
                (least - 1e-9..=most + 1e-9).contains(&value) || setpoint.off == Some(value);
            if !possible {
                return Err(Exception::IllegalDataValue);
            }
            set.push((setpoint.what, value));
        }
        Ok(set)
    }
}

impl<R> Line<R> {
    /// The bits in the registers, and the raw integer that a reader makes of them.
    fn encode(&self, value: f64) -> (u64, Option<i64>) {
        let value = value.clamp(self.range.0, self.range.1);
        if self.register_type == RegisterType::F32 {
            let float = value as f32;
            // Steps of a decimal resolution m × 10^-e: the value times 10^e, divided by m.
            let exponent = -i32::from(self.step.exponent());
            let steps = f64::from(float) * 10_f64.powi(exponent) / self.step.mantissa() as f64;
            return (u64::from(float.to_bits()), Some(steps.round() as i64));
        }
        let raw = ((value - self.offset.to_f64()) / self.scale.to_f64()).round();
        let (least, most) = match self.register_type {
            RegisterType::U16 => (0.0, f64::from(u16::MAX)),
            RegisterType::I16 => (f64::from(i16::MIN), f64::from(i16::MAX)),
            RegisterType::U32 => (0.0, f64::from(u32::MAX)),
            RegisterType::I32 => (f64::from(i32::MIN), f64::from(i32::MAX)),
            _ => (0.0, 9.0e18),
        };
        let raw = raw.clamp(least, most) as i64;
        let steps = Decimal::rescale(raw, self.scale, self.offset, self.step);
        (raw.cast_unsigned(), steps)
    }
}

/// How many registers a simulated type has.
fn size(register_type: RegisterType) -> u16 {
    register_type.registers().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yard::{charger_report, meter_report};

    fn charger() -> Device<crate::yard::ChargerReport> {
        Device::read(CHARGER, charger_report).unwrap()
    }

    #[test]
    fn the_shipped_maps_can_be_simulated() {
        assert_eq!(charger().readable, [100..122, 200..203]);
        let meter = Device::read(METER, meter_report).unwrap();
        assert_eq!(meter.readable.first(), Some(&(0..32)));
        assert_eq!(meter.readable.len(), 1);
        assert_eq!(meter.columns.len(), 13);
    }

    #[test]
    fn only_whole_points_count() {
        let device = charger();
        let image =
            |address, count| device.image(address, count, 7_000_001, |_| Some(3.0), |_| 16.0);
        let whole = image(100, 22).unwrap();
        assert_eq!((whole.words.len(), whole.samples.len()), (22, 13));
        assert_eq!(whole.words[2..4], [0x006A, 0xCFC1]);
        // Register 105 is the second half of the power, 107 that of the current on L1.
        let cut = image(105, 4).unwrap();
        assert_eq!((cut.words.len(), cut.samples), (4, vec![(3, 300)]));
        assert_eq!(image(200, 3).unwrap().words, [160, 160, 16]);
        for (address, count, exception) in [
            (99, 2, Exception::IllegalDataAddress),
            (121, 2, Exception::IllegalDataAddress),
            (100, 0, Exception::IllegalDataValue),
            (100, 126, Exception::IllegalDataValue),
            (0xFFFF, 2, Exception::IllegalDataAddress),
        ] {
            assert_eq!(image(address, count), Err(exception), "{address} {count}");
        }
    }

    #[test]
    fn what_is_not_known_is_not_a_sample() {
        let image = charger().image(121, 1, 0, |_| None, |_| 0.0).unwrap();
        assert_eq!((image.words, image.samples), (vec![0xFFFF], vec![]));
    }

    #[test]
    fn writes_are_kept_within_their_bounds() {
        let device = charger();
        assert_eq!(
            device.written(200, &[160]),
            Ok(vec![(Written::CurrentLimit, 16.0)])
        );
        assert_eq!(
            device.written(200, &[0]),
            Ok(vec![(Written::CurrentLimit, 0.0)])
        );
        let both = vec![(Written::FailSafeCurrent, 6.0), (Written::Watchdog, 60.0)];
        assert_eq!(device.written(201, &[60, 60]), Ok(both));
        for (address, words, exception) in [
            (200, vec![59], Exception::IllegalDataValue),
            (200, vec![321], Exception::IllegalDataValue),
            (202, vec![9], Exception::IllegalDataValue),
            (202, vec![60, 1], Exception::IllegalDataAddress),
            (100, vec![1], Exception::IllegalDataAddress),
            (200, vec![], Exception::IllegalDataValue),
        ] {
            assert_eq!(
                device.written(address, &words),
                Err(exception),
                "{address} {words:?}"
            );
        }
    }

    #[test]
    fn what_is_not_simulated_is_named() {
        let (name, text) = CHARGER;
        for (text, says) in [
            (
                text.replace("\"SoC\"", "\"VAR\""),
                "points[12]: nobody knows VAR",
            ),
            (
                text.replace("\"u64\"", "\"mod10k64\""),
                "points[9]: Mod10k64",
            ),
            (
                text.replace("function = \"holding\"", "function = \"input\""),
                "defaults: only plain",
            ),
        ] {
            let error = Device::read((name, &text), charger_report)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
