//! What elements mean: `data/avl.toml`, or a list of one's own in the same form.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use devices::{Device, Digest, Unread, Why, signal};
use jiff::Timestamp;
use serde::Deserialize;
use shared_protocol::{Decimal, SignalDef, SignalRef};

use crate::{Record, RecordCodec, Value};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    element: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: u16,
    bytes: u8,
    #[serde(default)]
    signed: bool,
    scale: Decimal,
    signal: String,
    unit: String,
    #[expect(dead_code, reason = "it is for people who read the list")]
    about: String,
}

#[derive(Debug)]
struct Known {
    rank: usize,
    bytes: u8,
    signed: bool,
    def: Arc<SignalDef>,
    /// Under its own name, when a better element of the record has the signal.
    own: Arc<SignalDef>,
}

/// A list of elements.
#[derive(Debug)]
pub struct List {
    elements: HashMap<u16, Known>,
    gnss: [Arc<SignalDef>; 5],
    gnss_speed: Arc<SignalDef>,
}

/// The list that ships.
pub fn shipped() -> Arc<List> {
    static LIST: LazyLock<Arc<List>> = LazyLock::new(|| {
        let list = List::read(include_str!("../data/avl.toml"));
        Arc::new(list.expect("a test reads the list that ships"))
    });
    Arc::clone(&LIST)
}

impl List {
    /// Reads a list; the error says which entry is wrong.
    pub fn read(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut elements = HashMap::new();
        for (rank, entry) in file.element.into_iter().enumerate() {
            let wrong = |why: String| format!("element {}: {why}", entry.id);
            if !matches!(entry.bytes, 1 | 2 | 4 | 8) {
                return Err(wrong(format!(
                    "{} bytes; there are 1, 2, 4 and 8",
                    entry.bytes
                )));
            }
            let define =
                |name: &str| signal(name, &entry.unit, entry.scale, Decimal::ZERO).map(Arc::new);
            let known = Known {
                rank,
                bytes: entry.bytes,
                signed: entry.signed,
                def: define(&entry.signal).map_err(wrong)?,
                own: define(&format!("Teltonika.AVL.{}", entry.id)).map_err(wrong)?,
            };
            if elements.insert(entry.id, known).is_some() {
                return Err(wrong("it stands there twice".to_owned()));
            }
        }
        let plain = |name: &str, unit: &str, scale: &str| -> Result<Arc<SignalDef>, String> {
            let scale = scale
                .parse::<Decimal>()
                .map_err(|error| error.to_string())?;
            signal(name, unit, scale, Decimal::ZERO).map(Arc::new)
        };
        let place = |name: &str, unit: &str, scale: &str| {
            plain(&format!("Vehicle.CurrentLocation.{name}"), unit, scale)
        };
        Ok(Self {
            elements,
            gnss: [
                place("Latitude", "degrees", "0.0000001")?,
                place("Longitude", "degrees", "0.0000001")?,
                place("Altitude", "m", "1")?,
                place("Heading", "degrees", "1")?,
                plain("Vehicle.Speed", "km/h", "1")?,
            ],
            gnss_speed: plain("Teltonika.GNSS.Speed", "km/h", "1")?,
        })
    }

    /// What a record says, in the words of the catalogue. A record that is sent again has the same digest.
    pub fn record(&self, device: &Arc<Device>, record: &Record) -> devices::Record {
        let mut payload = Vec::new();
        // In one codec whatever it came in, so that a tracker which changes its codec sends the same record again.
        record.write(RecordCodec::EightExtended, &mut payload);
        let mut unread = Vec::new();
        let mut found = Vec::new();
        for element in &record.elements {
            let code = format!("avl:{}", element.id);
            let mut count = |detail: String| {
                unread.push(Unread {
                    code: code.clone(),
                    why: Why::Unmapped,
                    detail,
                });
            };
            match (&element.value, self.elements.get(&element.id)) {
                (Value::Number { width, raw }, Some(known)) if *width == known.bytes => {
                    match number(*raw, *width, known.signed) {
                        Some(raw) => found.push((known.rank, code, known, raw)),
                        None => count(format!("{raw} is too large")),
                    }
                }
                (Value::Number { width, raw }, Some(known)) => {
                    count(format!(
                        "{raw} in {width} bytes, the list says {}",
                        known.bytes
                    ));
                }
                (Value::Number { raw, .. }, None) => count(raw.to_string()),
                (Value::Bytes(bytes), _) => count(format!("{} bytes", bytes.len())),
            }
        }
        found.sort_by_key(|(rank, ..)| *rank);
        let mut taken: HashSet<SignalRef> = HashSet::new();
        let mut values = Vec::new();
        for (_, code, known, raw) in found {
            let def = if taken.insert(known.def.signal.clone()) {
                &known.def
            } else {
                &known.own
            };
            values.push((code, Arc::clone(def), raw));
        }
        let gnss = &record.gnss;
        if gnss.satellites > 0 {
            let numbers: [i64; 5] = [
                gnss.latitude.into(),
                gnss.longitude.into(),
                gnss.altitude.into(),
                gnss.angle.into(),
                gnss.speed.into(),
            ];
            for (def, raw) in self.gnss.iter().zip(numbers) {
                let def = if taken.insert(def.signal.clone()) {
                    def
                } else {
                    &self.gnss_speed
                };
                values.push(("gnss".to_owned(), Arc::clone(def), raw));
            }
        }
        let time = Timestamp::from_millisecond(record.time_ms);
        devices::Record {
            device: Arc::clone(device),
            time: time.unwrap_or(if record.time_ms < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            }),
            digest: Digest::of(&payload),
            values,
            unread,
            payload,
        }
    }
}

/// The number that bytes mean; `None`: no signed number of 64 bits holds it.
fn number(raw: u64, width: u8, signed: bool) -> Option<i64> {
    if signed {
        let unused = 64 - 8 * u32::from(width);
        Some((raw << unused).cast_signed() >> unused)
    } else {
        i64::try_from(raw).ok()
    }
}

#[cfg(test)]
mod tests {
    use devices::Kind;
    use platform::OrganizationId;

    use super::*;
    use crate::{Element, Gnss};

    fn record(elements: &[(u16, u8, u64)], satellites: u8) -> devices::Record {
        let device = Arc::new(Device {
            id: 1,
            organization: OrganizationId(1),
            asset: 7,
            kind: Kind::Teltonika,
            key: "356307042441013".to_owned(),
        });
        let elements = elements.iter().map(|&(id, width, raw)| Element {
            id,
            value: Value::Number { width, raw },
        });
        let record = Record {
            time_ms: 1_700_000_000_000,
            priority: 0,
            gnss: Gnss {
                latitude: -328_000_000,
                speed: 50,
                satellites,
                ..Gnss::default()
            },
            event: 0,
            generation: None,
            elements: elements.collect(),
        };
        shipped().record(&device, &record)
    }

    fn values(record: &devices::Record) -> Vec<(String, f64)> {
        let value = |(_, def, raw): &(String, Arc<SignalDef>, i64)| {
            (def.signal.name().to_owned(), def.encoding.value(*raw))
        };
        record.values.iter().map(value).collect()
    }

    #[test]
    fn elements_become_signals() {
        let record = record(
            &[
                (1152, 2, 0xFFFB),
                (411, 1, 80),
                (755, 2, 210),
                (66, 2, 12_600),
            ],
            0,
        );
        let expected = [
            (
                "Vehicle.Powertrain.TractionBattery.StateOfCharge.Displayed",
                80.0,
            ),
            (
                "Vehicle.Powertrain.TractionBattery.Temperature.Average",
                -5.0,
            ),
            ("Vehicle.Powertrain.TractionBattery.Range", 210_000.0),
            ("Vehicle.LowVoltageBattery.CurrentVoltage", 12.6),
        ];
        assert_eq!(
            values(&record),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
        assert_eq!(record.unread, []);
    }

    #[test]
    fn one_element_is_the_signal_the_others_stay_visible() {
        let record = record(&[(24, 2, 51), (37, 1, 52), (81, 1, 53)], 9);
        let speeds: Vec<_> = values(&record);
        let find = |name: &str| {
            speeds
                .iter()
                .find(|(found, _)| found == name)
                .map(|(_, value)| *value)
        };
        assert_eq!(find("Vehicle.Speed"), Some(53.0));
        assert_eq!(find("Teltonika.AVL.37"), Some(52.0));
        assert_eq!(find("Teltonika.AVL.24"), Some(51.0));
        assert_eq!(find("Teltonika.GNSS.Speed"), Some(50.0));
        assert_eq!(find("Vehicle.CurrentLocation.Latitude"), Some(-32.8));
    }

    #[test]
    fn what_no_list_knows_is_counted() {
        let record = record(&[(9999, 4, 5), (411, 2, 80)], 0);
        let codes: Vec<_> = record
            .unread
            .iter()
            .map(|unread| unread.code.as_str())
            .collect();
        assert_eq!(codes, ["avl:9999", "avl:411"]);
        assert_eq!(values(&record), []);
    }

    #[test]
    fn a_list_says_what_is_wrong_with_it() {
        let entry = |id: u16, bytes: u8, unit: &str| {
            format!(
                "[[element]]\nid = {id}\nbytes = {bytes}\nscale = \"1\"\nsignal = \"Vehicle.Speed\"\nunit = \"{unit}\"\nabout = \"\"\n"
            )
        };
        for (text, expected) in [
            (entry(1, 3, "km/h"), "3 bytes"),
            (entry(1, 1, "m/s"), "is given in km/h"),
            (entry(1, 1, "km/h").repeat(2), "twice"),
        ] {
            let error = List::read(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
