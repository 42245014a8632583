//! What stands beside the points: identity, guards and settings.

use super::Check;
use crate::{
    device::{Layout, Place, ResolvedControl, ResolvedGuard, ResolvedSetting},
    map::{Control, Identity, Kind, ReadBack, RegisterType, Setting, Table, Write},
};

/// The types that a setting may have.
const SETTING_TYPES: &str = "must be u16, i16, u32, i32 or f32";

/// How many registers a setting of this type has; `None` if it cannot have it.
const fn setting_registers(register_type: RegisterType) -> Option<u16> {
    use RegisterType::{F32, I16, I32, U16, U32};
    match register_type {
        U16 | I16 | U32 | I32 | F32 => register_type.registers(),
        _ => None,
    }
}

impl Check<'_> {
    pub(super) fn identity(
        &mut self,
        identity: &Identity,
        holes: &[Place],
    ) -> Option<(Place, Layout)> {
        let registers = match (identity.register_type, identity.registers) {
            (RegisterType::String, Some(n)) if n > 0 => n,
            (RegisterType::String, _) => {
                self.problem(
                    "identity.registers",
                    "is needed: how many registers the text has",
                );
                return None;
            }
            (other, registers) => {
                self.require(
                    registers.is_none(),
                    "identity.registers",
                    "goes with type string only",
                );
                let integer = other.is_signed()
                    || other.is_unsigned()
                    || matches!(other, RegisterType::Bcd16 | RegisterType::Bcd32);
                if !integer {
                    self.problem("identity.type", "must be an integer or string");
                    return None;
                }
                other.registers()?
            }
        };
        let table = identity.function.unwrap_or(self.map.defaults.function);
        self.require(
            !table.is_bits(),
            "identity.function",
            "must be holding or input",
        );
        let place = self.place("identity.address", table, identity.address, registers);
        self.readable("identity.address", place, holes);
        Some((
            place?,
            self.layout(
                identity.register_type,
                identity.word_order,
                identity.byte_order,
            ),
        ))
    }

    pub(super) fn guards(&mut self, holes: &[Place]) -> Vec<ResolvedGuard> {
        let mut guards = Vec::new();
        for (index, guard) in self.map.guards.iter().enumerate() {
            let path = |key: &str| format!("guards[{index}].{key}");
            let register_type = guard.register_type;
            let integer = register_type.is_signed() || register_type.is_unsigned();
            self.require(integer, path("type"), "must be an integer type");
            self.require(
                !guard.values.is_empty(),
                path("values"),
                "must give at least one value",
            );
            let table = guard.function.unwrap_or(self.map.defaults.function);
            self.require(
                !table.is_bits(),
                path("function"),
                "must be holding or input",
            );
            let place = self.place(
                &path("address"),
                table,
                guard.address,
                register_type.registers().unwrap_or(1),
            );
            self.readable(&path("address"), place, holes);
            let layout = self.layout(register_type, None, None);
            guards.extend(place.map(|place| ResolvedGuard {
                place,
                layout,
                values: guard.values.clone(),
                about: guard.about.clone(),
            }));
        }
        guards
    }

    pub(super) fn control(&mut self, control: &Control) -> Option<ResolvedControl> {
        self.require(
            self.map.kind == Kind::Charger,
            "control",
            "only a charger is controlled",
        );
        let current_limit = self.setting("control.current_limit", &control.current_limit);
        let fail_safe = control
            .fail_safe_current
            .as_ref()
            .map(|s| self.setting("control.fail_safe_current", s));
        let watchdog = control
            .watchdog
            .as_ref()
            .map(|s| self.setting("control.watchdog", s));
        Some(ResolvedControl {
            current_limit: current_limit?,
            fail_safe_current: fail_safe.flatten(),
            watchdog: watchdog.flatten(),
        })
    }

    fn setting(&mut self, path: &str, setting: &Setting) -> Option<ResolvedSetting> {
        let register_type = setting.register_type;
        let Some(count) = setting_registers(register_type) else {
            self.problem(format!("{path}.type"), SETTING_TYPES);
            return None;
        };
        let single = setting.write == Write::Single && count != 1;
        self.require(
            !single,
            format!("{path}.write"),
            "`single` writes one register, this setting has two",
        );
        self.require(
            setting.scale.mantissa() > 0,
            format!("{path}.scale"),
            "must be positive",
        );
        let (min, max) = (setting.min.to_f64(), setting.max.to_f64());
        self.require(
            min <= max,
            format!("{path}.min"),
            format!("{} is more than max = {}", setting.min, setting.max),
        );
        let off = setting.off.is_none_or(|off| off.to_f64() < min);
        self.require(
            off,
            format!("{path}.off"),
            "must be below min; a value within the bounds needs no word",
        );
        let place = self.place(
            &format!("{path}.address"),
            Table::Holding,
            setting.address,
            count,
        )?;
        let layout = self.layout(register_type, setting.word_order, None);
        let back = match &setting.read_back {
            None => (place, layout),
            Some(back) => (
                self.shown(path, back)?,
                self.layout(back.register_type, setting.word_order, None),
            ),
        };
        let resolved = ResolvedSetting {
            place,
            layout,
            back,
            scale: setting.scale,
            min: setting.min,
            max: setting.max,
            off: setting.off,
            write: setting.write,
        };
        if setting.scale.mantissa() > 0 && min <= max {
            for (key, value) in [
                ("min", Some(setting.min)),
                ("max", Some(setting.max)),
                ("off", setting.off),
            ] {
                let fits = |value| resolved.words(value).and(resolved.words_back(value));
                if let Some(Err(error)) = value.map(fits) {
                    self.problem(format!("{path}.{key}"), error.to_string());
                }
            }
        }
        Some(resolved)
    }

    /// Where a setting is shown whose own register cannot be read.
    fn shown(&mut self, path: &str, back: &ReadBack) -> Option<Place> {
        let Some(count) = setting_registers(back.register_type) else {
            self.problem(format!("{path}.read_back.type"), SETTING_TYPES);
            return None;
        };
        self.place(
            &format!("{path}.read_back.address"),
            Table::Holding,
            back.address,
            count,
        )
    }
}
