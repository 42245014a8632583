//! What stations are told once: it is remembered that they took it, over restarts of the gateway.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use serde::{Deserialize, Serialize};
use shared_protocol::AssetKey;

use super::{Post, Station, lock};

/// The settings that stations have taken, so that they are not written to their flash again at each start of the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::control) struct Told(BTreeMap<AssetKey, Taken>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Taken {
    /// The serial number of the device that took them, if it said one.
    serial: Option<String>,
    ceiling: Option<String>,
    interval: Option<String>,
}

impl Taken {
    fn value(&mut self, setting: Setting) -> &mut Option<String> {
        match setting {
            Setting::Ceiling => &mut self.ceiling,
            Setting::Interval => &mut self.interval,
        }
    }
}

/// What a station is told once, and again when another device may stand there: it keeps it in flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Setting {
    /// The most that it draws, whatever else it is told.
    Ceiling,
    /// How often it measures.
    Interval,
}

impl Post {
    /// What the station has to be told and has not answered to yet; `value` is what it is to have. What the same device took
    /// from an earlier run, it has.
    pub(in crate::control) fn unsettled(
        &self,
        value: impl Fn(Setting) -> String,
    ) -> Option<Setting> {
        let station = self.station()?;
        let mut settled = lock(&station.settled);
        [Setting::Ceiling, Setting::Interval]
            .into_iter()
            .find(|setting| {
                let settled = &mut settled[*setting as usize];
                *settled = *settled || self.has(station, *setting, &value(*setting));
                !*settled
            })
    }

    /// Whether a station has taken this value before, and is known to be the device that did. One that has booted without
    /// a serial number may be another one.
    fn has(&self, station: &Station, setting: Setting, value: &str) -> bool {
        let mut told = lock(&self.board.told);
        let Some(taken) = told.0.0.get_mut(&station.id) else {
            return false;
        };
        let serial = lock(&station.serial).clone();
        let same = match (&serial, &taken.serial) {
            (Some(now), Some(before)) => now == before,
            _ => !station.booted.load(Ordering::Acquire),
        };
        same && taken.value(setting).as_deref() == Some(value)
    }

    /// The station has answered to this: it took this value, or `None`: it did not.
    pub(in crate::control) fn settled(&self, setting: Setting, value: Option<String>) {
        let Some(station) = self.station() else {
            return;
        };
        lock(&station.settled)[setting as usize] = true;
        let serial = lock(&station.serial).clone();
        let mut told = lock(&self.board.told);
        let taken = told.0.0.entry(station.id.clone()).or_default();
        let before = taken.clone();
        if taken.serial != serial {
            *taken = Taken {
                serial,
                ..Taken::default()
            };
        }
        *taken.value(setting) = value;
        told.1 |= told.0.0.get(&station.id) != Some(&before);
    }
}
