//! The points of a map: each gets its place, its layout, its rule and its encoding.

use std::{collections::HashMap, time::Duration};

use shared_protocol::{Decimal, Encoding, SignalDef, SignalRef, Standard, catalogue};

use super::Check;
use crate::{
    device::{Place, Range, ResolvedPoint, Rule},
    map::{Kind, Point, RegisterType, Sign, Table},
};

impl Check<'_> {
    pub(super) fn signals_once(&mut self) {
        let mut first = HashMap::new();
        for (index, point) in self.map.points.iter().enumerate() {
            if let Some(before) = first.insert(point.signal.as_str(), index) {
                self.problem(
                    format!("points[{index}].signal"),
                    format!("`{}` is already points[{before}]", point.signal),
                );
            }
        }
    }

    pub(super) fn point(&mut self, index: usize, holes: &[Place]) -> Option<ResolvedPoint> {
        let point = &self.map.points[index];
        let path = |key: &str| format!("points[{index}].{key}");
        let before = self.problems.len();
        let table = point.function.unwrap_or(self.map.defaults.function);
        let register_type = point.register_type;
        let is_bool = register_type == RegisterType::Bool;
        self.require(
            register_type != RegisterType::String,
            path("type"),
            "text is not a measured value; only `identity` may be one",
        );
        if is_bool != table.is_bits() {
            self.problem(path("type"), "`bool` goes with `function` coil or discrete, every other type with holding or input");
        }
        let place = self.place(
            &path("address"),
            table,
            point.address,
            register_type.registers().unwrap_or(1),
        );
        self.readable(&path("address"), place, holes);
        let interval = point.interval_ms.unwrap_or(self.map.defaults.interval_ms);
        if point.interval_ms.is_some() {
            self.interval(&path("interval_ms"), interval);
        }
        self.integer_options(index, point);
        if let Some(patterns) = &point.invalid {
            self.patterns(&path("invalid"), register_type, patterns);
        }
        let (signal, range, resolution) = self.signal(index, point);
        let rule = self.rule(index, point, table, resolution, holes);
        let (place, rule) = (place?, rule?);
        if self.problems.len() > before {
            return None;
        }
        let scale = signed(point.scale.unwrap_or(Decimal::ONE), point.sign)?;
        let offset = point.offset.unwrap_or(Decimal::ZERO);
        let encoding = match &rule {
            Rule::Integer if register_type == RegisterType::U64 && point.bits.is_none() => {
                Encoding::Unsigned { scale, offset }
            }
            Rule::Integer => Encoding::Scaled { scale, offset },
            Rule::Steps { resolution, .. } => Encoding::Scaled {
                scale: *resolution,
                offset: Decimal::ZERO,
            },
            Rule::FloatBits => Encoding::Float,
            Rule::States(_) => Encoding::PLAIN,
        };
        let default_invalid = || self.map.defaults.invalid.get(&register_type);
        Some(ResolvedPoint {
            place,
            layout: self.layout(register_type, point.word_order, point.byte_order),
            sign: point.sign,
            bits: point.bits,
            invalid: point
                .invalid
                .as_ref()
                .or_else(default_invalid)
                .into_iter()
                .flatten()
                .map(|p| p.0)
                .collect(),
            rule,
            range,
            interval: Duration::from_millis(u64::from(interval)),
            def: SignalDef { signal, encoding },
        })
    }

    /// The signal, what values of it can be true, and the resolution that values are quantised to.
    fn signal(
        &mut self,
        index: usize,
        point: &Point,
    ) -> (SignalRef, Option<Range>, Option<Decimal>) {
        let path = |key: &str| format!("points[{index}].{key}");
        if let Some(signal) = catalogue().by_name(&point.signal) {
            let (standard, whose) = match self.map.kind {
                Kind::Meter => (Standard::Sunspec, "a SunSpec point"),
                Kind::Charger => (Standard::Ocpp, "an OCPP measurand"),
            };
            self.require(
                signal.standard == standard,
                path("signal"),
                format!("`{}` is not {whose}", point.signal),
            );
            self.require(
                point.resolution.is_none(),
                path("resolution"),
                "the catalogue gives the resolution of this signal",
            );
            let unit = point.unit.as_ref().is_none_or(|unit| *unit == signal.unit);
            self.require(
                unit,
                path("unit"),
                format!("the catalogue's unit of this signal is {}", signal.unit),
            );
            let (least, greatest) = signal.raw_range();
            let range = Range {
                resolution: signal.resolution,
                least,
                greatest,
            };
            return (
                SignalRef::Catalogue(signal.id),
                Some(range),
                Some(signal.resolution),
            );
        }
        let Some(unit) = point.unit.clone() else {
            let says = format!(
                "the catalogue knows no signal `{}`: correct the name, or give it a `unit` of its own",
                point.signal
            );
            self.problem(path("signal"), says);
            return (
                SignalRef::Named {
                    name: point.signal.clone(),
                    unit: String::new(),
                },
                None,
                None,
            );
        };
        self.require(
            !point.signal.trim().is_empty(),
            path("signal"),
            "must not be empty",
        );
        let positive = point.resolution.is_none_or(|r| r.mantissa() > 0);
        self.require(positive, path("resolution"), "must be positive");
        (
            SignalRef::Named {
                name: point.signal.clone(),
                unit,
            },
            None,
            point.resolution,
        )
    }

    fn integer_options(&mut self, index: usize, point: &Point) {
        let path = |key: &str| format!("points[{index}].{key}");
        let register_type = point.register_type;
        let zero = point.scale.is_some_and(|scale| scale.mantissa() == 0);
        self.require(!zero, path("scale"), "must not be 0");
        let negatable = point
            .scale
            .is_none_or(|scale| signed(scale, point.sign).is_some());
        self.require(
            negatable,
            path("scale"),
            "has no negative of as many digits",
        );
        if let Some(bits) = point.bits {
            let width = register_type.registers().unwrap_or(0) * 16;
            let fits = bits.count > 0 && u16::from(bits.first) + u16::from(bits.count) <= width;
            self.require(
                register_type.is_unsigned(),
                path("bits"),
                "only unsigned integers have bits",
            );
            self.require(
                fits,
                path("bits"),
                format!(
                    "must be at least one of the bits 0 to {}",
                    width.saturating_sub(1)
                ),
            );
        }
        let magnitude = point.sign == Sign::Magnitude;
        self.require(
            !magnitude || register_type.is_signed(),
            path("sign"),
            "`magnitude` goes with i16, i32 and i64",
        );
        if let Some(states) = &point.states {
            self.require(
                !states.is_empty(),
                path("states"),
                "must name at least one number",
            );
            for key in states.keys() {
                let is_number = key.parse::<i64>().is_ok();
                self.require(
                    is_number,
                    path("states"),
                    format!("`{key}` is not a number that a register can hold"),
                );
            }
            self.require(
                !register_type.is_float(),
                path("states"),
                "only integers and bits have states",
            );
            let plain = point.scale.is_none()
                && point.offset.is_none()
                && point.scale_factor.is_none()
                && point.sign == Sign::Normal;
            self.require(
                plain,
                path("states"),
                "the table gives the values: no scale, offset, sign or scale_factor goes with it",
            );
        }
    }

    fn rule(
        &mut self,
        index: usize,
        point: &Point,
        table: Table,
        resolution: Option<Decimal>,
        holes: &[Place],
    ) -> Option<Rule> {
        let path = |key: &str| format!("points[{index}].{key}");
        if let Some(states) = &point.states {
            return Some(Rule::States(
                states
                    .iter()
                    .filter_map(|(key, &value)| Some((key.parse().ok()?, value)))
                    .collect(),
            ));
        }
        let is_float = point.register_type.is_float();
        let factor = match point.scale_factor {
            None => None,
            Some(_) if is_float || table.is_bits() => {
                self.problem(path("scale_factor"), "only integers have a scale factor");
                return None;
            }
            Some(address) => {
                let place = self.place(&path("scale_factor"), table, address, 1);
                self.readable(&path("scale_factor"), place, holes);
                Some(place?)
            }
        };
        if !is_float && factor.is_none() {
            self.require(
                point.resolution.is_none(),
                path("resolution"),
                "integers are stored untouched; only floats and scale factors need one",
            );
            return Some(Rule::Integer);
        }
        let scaled = point.scale.is_some() || point.offset.is_some() || point.sign != Sign::Normal;
        match resolution {
            Some(resolution) => Some(Rule::Steps {
                scale: signed(point.scale.unwrap_or(Decimal::ONE), point.sign)?,
                offset: point.offset.unwrap_or(Decimal::ZERO),
                resolution,
                factor,
            }),
            None if is_float && !scaled => Some(Rule::FloatBits),
            // The name of the signal has been complained about, or a resolution is missing.
            None => {
                self.require(
                    point.unit.is_none(),
                    path("resolution"),
                    "is needed: a scaled float or a scale factor is stored in steps",
                );
                None
            }
        }
    }
}

fn signed(scale: Decimal, sign: Sign) -> Option<Decimal> {
    match sign {
        Sign::Inverted => {
            Decimal::new(scale.mantissa().checked_neg()?, i32::from(scale.exponent())).ok()
        }
        Sign::Normal | Sign::Magnitude => Some(scale),
    }
}
