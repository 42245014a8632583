//! A setting of a charger as the request that writes it.

use shared_protocol::Decimal;
use tokio_modbus::Request;

use crate::{
    device::{Layout, ResolvedSetting},
    map::{Order, RegisterType, Write},
};

/// Why a value cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// Outside of the bounds that the map gives.
    #[error("{found} is outside of {min} to {max}")]
    OutOfBounds {
        /// What was to be written.
        found: Decimal,
        /// Least.
        min: Decimal,
        /// Greatest.
        max: Decimal,
    },
    /// The register cannot hold it.
    #[error("{found} does not fit into the register")]
    DoesNotFit {
        /// What was to be written.
        found: Decimal,
    },
}

impl ResolvedSetting {
    /// The registers for a value, rounded down to what the register can hold: a limit is never written as more than it is.
    ///
    /// The value must lie within the bounds of the map, or be its `off` value.
    pub fn words(&self, value: Decimal) -> Result<Vec<u16>, SettingError> {
        self.encoded(value, self.layout)
    }

    /// What stands where the setting is read when it has this value.
    pub fn words_back(&self, value: Decimal) -> Result<Vec<u16>, SettingError> {
        self.encoded(value, self.back.1)
    }

    fn encoded(&self, value: Decimal, layout: Layout) -> Result<Vec<u16>, SettingError> {
        let within = (self.min.to_f64()..=self.max.to_f64()).contains(&value.to_f64());
        if !within && self.off != Some(value) {
            return Err(SettingError::OutOfBounds {
                found: value,
                min: self.min,
                max: self.max,
            });
        }
        let misfit = SettingError::DoesNotFit { found: value };
        let steps = floor(value, self.scale).ok_or(misfit.clone())?;
        let mut words = match layout.register_type {
            RegisterType::U16 => vec![u16::try_from(steps).map_err(|_| misfit)?],
            RegisterType::I16 => vec![i16::try_from(steps).map_err(|_| misfit)?.cast_unsigned()],
            RegisterType::U32 => pair(u32::try_from(steps).map_err(|_| misfit)?),
            RegisterType::I32 => pair(i32::try_from(steps).map_err(|_| misfit)?.cast_unsigned()),
            RegisterType::F32 => {
                let exact = value.to_f64() / self.scale.to_f64();
                let nearest = exact as f32;
                pair(
                    if f64::from(nearest) > exact {
                        nearest.next_down()
                    } else {
                        nearest
                    }
                    .to_bits(),
                )
            }
            _ => return Err(misfit),
        };
        if layout.word_order == Order::Little {
            words.reverse();
        }
        if layout.byte_order == Order::Little {
            words = words.into_iter().map(u16::swap_bytes).collect();
        }
        Ok(words)
    }

    /// The request that writes these registers.
    pub fn write_request(&self, words: Vec<u16>) -> Request<'static> {
        match (self.write, &words[..]) {
            (Write::Single, [word]) => Request::WriteSingleRegister(self.place.address, *word),
            _ => Request::WriteMultipleRegisters(self.place.address, words.into()),
        }
    }

    /// The request that reads them back.
    pub fn read_request(&self) -> Request<'static> {
        Request::ReadHoldingRegisters(self.back.0.address, self.back.0.count)
    }
}

/// The two registers of a 32-bit number, most significant first.
fn pair(bits: u32) -> Vec<u16> {
    vec![(bits >> 16) as u16, bits as u16]
}

/// The greatest number of whole steps in a value.
fn floor(value: Decimal, step: Decimal) -> Option<i64> {
    let exponent = i32::from(value.exponent()) - i32::from(step.exponent());
    let power = 10i128.checked_pow(exponent.unsigned_abs())?;
    let (mut up, mut down) = (i128::from(value.mantissa()), i128::from(step.mantissa()));
    if exponent >= 0 {
        up = up.checked_mul(power)?;
    } else {
        down = down.checked_mul(power)?;
    }
    i64::try_from(up.div_euclid(down)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::Place, map::Table};

    fn setting(register_type: RegisterType, word_order: Order) -> ResolvedSetting {
        let decimal = |text: &str| text.parse().unwrap();
        let place = Place {
            table: Table::Holding,
            address: 100,
            count: register_type.registers().unwrap(),
        };
        let layout = Layout {
            register_type,
            word_order,
            byte_order: Order::Big,
        };
        ResolvedSetting {
            place,
            layout,
            back: (place, layout),
            scale: decimal("0.1"),
            min: decimal("6"),
            max: decimal("32"),
            off: Some(Decimal::ZERO),
            write: Write::Multiple,
        }
    }

    #[test]
    fn a_limit_is_rounded_down_and_kept_within_its_bounds() {
        let limit = setting(RegisterType::U16, Order::Big);
        assert_eq!(limit.words("15.99".parse().unwrap()), Ok(vec![159]));
        assert_eq!(limit.words(Decimal::ZERO), Ok(vec![0]));
        for wrong in ["5.9", "32.1", "-1"] {
            let wrong = wrong.parse().unwrap();
            assert!(
                matches!(limit.words(wrong), Err(SettingError::OutOfBounds { .. })),
                "{wrong}"
            );
        }
        assert_eq!(
            setting(RegisterType::F32, Order::Big).words("16".parse().unwrap()),
            Ok(vec![0x4320, 0])
        );
        assert_eq!(
            setting(RegisterType::U32, Order::Little).words("16".parse().unwrap()),
            Ok(vec![160, 0])
        );
        let mut shown = limit.clone();
        shown.back.1.register_type = RegisterType::U32;
        assert_eq!(shown.words("15.99".parse().unwrap()), Ok(vec![159]));
        assert_eq!(shown.words_back("15.99".parse().unwrap()), Ok(vec![0, 159]));
        let request = limit.write_request(vec![160]);
        assert_eq!(
            request,
            Request::WriteMultipleRegisters(100, vec![160].into())
        );
    }
}
