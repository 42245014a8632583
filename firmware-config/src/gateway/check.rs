//! From the file to what a gateway can use: references are followed, and what contradicts itself is reported.

use std::{
    hash::Hash,
    path::{Path, PathBuf},
    sync::Arc,
};

use config_file::{Fault, Faults, Loader, Spans};
use depot_config::devices::DEVICES;
use isotp::uds::Vin;
use modbus::map::DeviceMap;
use shared_protocol::VerifyingKey;
use vehicles::profile::{Bus, Profile};

use super::{
    Can, Cloud, Device, Gateway, Identity, Interface, Line, Tls, file, limits, page, schema,
    stations,
};
use crate::profiles::{PROFILES, dbc_content};

/// Checks a file and follows what it names.
pub(super) fn check(file: file::File, spans: &Spans) -> Result<Gateway, Faults> {
    let mut check = Check {
        spans,
        faults: Vec::new(),
        profiles: Loader::new(&PROFILES),
        maps: Loader::new(&DEVICES),
    };
    check.buses(&file.can);
    check.lines(&file.modbus);
    let key = check.existing("gateway.key", &file.gateway.key);
    let data = check.folder("gateway.data", &file.gateway.data);
    let cloud = check.cloud(file.cloud);
    let can: Vec<_> = file
        .can
        .into_iter()
        .enumerate()
        .map(|(index, can)| check.can(index, can))
        .collect();
    check.wired(&can);
    let modbus: Vec<_> = file
        .modbus
        .into_iter()
        .enumerate()
        .map(|(index, line)| check.line(index, line))
        .collect();
    let stations = file
        .stations
        .and_then(|written| stations::check(written, spans, &mut check.faults));
    let ours = stations.as_ref().map_or(&[][..], |one| &one.stations);
    let controls = file.control.is_some();
    let control = file.control.and_then(|written| {
        let gateway = &file.gateway.id;
        limits::check(&written, gateway, &modbus, ours, &mut check)
    });
    let page = file.page.and_then(|written| {
        let stations = stations.as_ref();
        page::check(written, stations, controls, spans, &mut check.faults)
    });
    let (depot, installer) = control.unzip();
    let parts = (
        key,
        cloud,
        can.into_iter().collect(),
        modbus.into_iter().collect(),
    );
    match parts {
        (Some(key), Some(cloud), Some(can), Some(modbus)) if check.faults.is_empty() => {
            Ok(Gateway {
                id: file.gateway.id,
                key,
                data,
                quota: file.gateway.quota,
                cloud,
                can,
                modbus,
                stations,
                depot,
                installer: installer.flatten(),
                page,
                log_level: file.log.level,
            })
        }
        _ => Err(Faults::from(check.faults)),
    }
}

/// The name of the profile that ships for a VIN; what the law demands of every vehicle if there is none.
fn profile_for(vin: &Vin) -> &'static str {
    let vin = vin.to_string();
    let fits =
        |name: &&str| matches!(PROFILES.shipped(name), Some(Ok(profile)) if profile.is_for(&vin));
    PROFILES.names().find(fits).unwrap_or("obd2")
}

/// Every step that returns `None` has added a fault.
pub(super) struct Check<'a> {
    spans: &'a Spans,
    faults: Vec<Fault>,
    profiles: Loader<Profile>,
    maps: Loader<DeviceMap>,
}

impl Check<'_> {
    pub(super) fn fault(&mut self, key: &str, expected: impl AsRef<str>, found: impl AsRef<str>) {
        let fault = self.spans.fault(key, expected, found);
        self.faults.push(fault);
    }

    pub(super) fn existing(&mut self, key: &str, written: &Path) -> Option<PathBuf> {
        self.spans
            .existing_file(key, written)
            .map_err(|fault| self.faults.push(fault))
            .ok()
    }

    fn folder(&mut self, key: &str, written: &Path) -> PathBuf {
        let path = self.spans.resolve(written);
        if path.exists() && !path.is_dir() {
            self.fault(
                key,
                format!("a folder at {}, or nothing yet", path.display()),
                "a file",
            );
        }
        path
    }

    fn unique<T: Hash + Eq>(&mut self, expected: &str, keys: impl Iterator<Item = (String, T)>) {
        self.faults.extend(self.spans.repeated(expected, keys));
    }

    /// One reader for each bus: a second one would read every frame twice.
    fn buses(&mut self, buses: &[file::Can]) {
        let keyed = |exclusive: bool| {
            buses
                .iter()
                .enumerate()
                .filter(move |(_, can)| can.interface.is_exclusive() == exclusive)
                .map(|(index, can)| {
                    let asset = (!can.interface.is_exclusive()).then_some(&can.asset);
                    (
                        format!("can[{index}].interface"),
                        (can.interface.to_string(), asset),
                    )
                })
        };
        self.unique("a bus that nothing else reads", keyed(true));
        self.unique(
            "a recording that this asset does not replay yet",
            keyed(false),
        );
    }

    /// A bus of a vehicle has one reader, too.
    fn wired(&mut self, buses: &[Option<Can>]) {
        let wired = buses.iter().enumerate().filter_map(|(index, can)| {
            let can = can.as_ref()?;
            let (_, bus) = can.profile.as_ref()?;
            Some((format!("can[{index}].bus"), (&can.asset, bus)))
        });
        self.unique("a bus of the vehicle that nothing else reads", wired);
    }

    /// One client for each line, one device for each asset: two that read the same signal would mix their values.
    fn lines(&mut self, lines: &[file::Modbus]) {
        let indexed = || lines.iter().enumerate();
        let names = indexed().map(|(index, line)| (format!("modbus[{index}].name"), &line.name));
        self.unique("a name of its own", names);
        let addresses = indexed().map(|(index, line)| {
            // A serial port is one line whatever its speed.
            let address = line.address.to_string();
            let port = address.split('?').next().unwrap_or_default().to_owned();
            (format!("modbus[{index}].address"), port)
        });
        self.unique(
            "a line of its own; devices on one line are listed together",
            addresses,
        );
        let devices = || {
            indexed().flat_map(|(line, modbus)| {
                let devices = modbus.device.iter().enumerate();
                devices.map(move |(index, device)| {
                    (line, format!("modbus[{line}].device[{index}]"), device)
                })
            })
        };
        let assets = devices().map(|(_, key, device)| (format!("{key}.asset"), &device.asset));
        self.unique("an asset that no other Modbus device is", assets);
        let units = devices()
            .map(|(line, key, device)| (format!("{key}.unit"), (line, device.unit, &device.map)));
        self.unique("a unit and map of its own", units);
    }

    pub(super) fn public_key(&mut self, key: &str, written: &str) -> Option<VerifyingKey> {
        schema::public_key(written)
            .map_err(|problem| self.fault(key, "an Ed25519 public key", problem))
            .ok()
    }

    fn cloud(&mut self, cloud: file::Cloud) -> Option<Cloud> {
        let public_key = self.public_key("cloud.public_key", &cloud.public_key);
        let before = self.faults.len();
        let ca = cloud
            .ca
            .as_deref()
            .and_then(|path| self.existing("cloud.ca", path));
        let certificate = cloud
            .certificate
            .as_deref()
            .and_then(|path| self.existing("cloud.certificate", path));
        let key = cloud
            .certificate_key
            .as_deref()
            .and_then(|path| self.existing("cloud.certificate_key", path));
        match (cloud.certificate.is_some(), cloud.certificate_key.is_some()) {
            (true, false) => self.fault(
                "cloud.certificate_key",
                "the key of the certificate",
                "none",
            ),
            (false, true) => self.fault("cloud.certificate", "the certificate of the key", "none"),
            _ => {}
        }
        if cloud.broker.tls && cloud.ca.is_none() {
            self.fault(
                "cloud.ca",
                "certificates to verify the broker with, as it is reached by mqtts",
                "none",
            );
        }
        if !cloud.broker.tls {
            let given = [
                ("ca", cloud.ca.is_some()),
                ("certificate", cloud.certificate.is_some()),
                ("certificate_key", cloud.certificate_key.is_some()),
            ];
            for (name, _) in given.into_iter().filter(|(_, given)| *given) {
                self.fault(
                    &format!("cloud.{name}"),
                    "no certificates, as the broker is reached by mqtt without TLS",
                    "one",
                );
            }
        }
        if self.faults.len() > before {
            return None;
        }
        let identity = certificate
            .zip(key)
            .map(|(certificate, key)| Identity { certificate, key });
        Some(Cloud {
            tls: ca.map(|ca| Tls { ca, identity }),
            broker: cloud.broker,
            public_key: public_key?,
        })
    }

    fn can(&mut self, index: usize, can: file::Can) -> Option<Can> {
        let key = |name: &str| format!("can[{index}].{name}");
        let before = self.faults.len();
        let interface = match can.interface {
            Interface::Replay { path, bus, speed } => self
                .existing(&key("interface"), &path)
                .map(|path| Interface::Replay { path, bus, speed }),
            other => Some(other),
        };
        // Its form is checked by the schema.
        let vin: Option<Vin> = can.vin.as_deref().and_then(|vin| vin.parse().ok());
        if vin.is_some() && !can.diagnostics {
            self.fault(
                &key("vin"),
                "diagnostics = true, to ask the vehicle for it",
                "false",
            );
        }
        if can.vin.is_none() && matches!(interface, Some(Interface::Dongle { .. })) {
            self.fault(
                &key("vin"),
                "its VIN, by which its dongle is found in the network",
                "none",
            );
        }
        let by_vin = vin
            .filter(|_| can.profile.is_none() && can.diagnostics)
            .map(|vin| profile_for(&vin).to_owned());
        let written = can.profile.clone().or(by_vin);
        let profile = written.as_ref().and_then(|written| {
            let profile =
                self.profiles
                    .load(written, &key("profile"), self.spans, &mut self.faults)?;
            let bus = self.bus(&profile, can.bus.as_deref(), &key("bus"))?;
            if can.diagnostics {
                self.diagnostics(&profile, &bus, &key("diagnostics"));
            }
            Some((profile, bus.name))
        });
        let dbc = can
            .dbc
            .as_ref()
            .and_then(|written| self.dbc(&key("dbc"), written));
        if written.is_none() {
            if can.dbc.is_none() {
                self.fault(&key("profile"), "a profile, a DBC file, or both", "neither");
            }
            if can.bus.is_some() {
                self.fault(&key("bus"), "a profile that has this bus", "none");
            }
            if can.diagnostics {
                self.fault(
                    &key("diagnostics"),
                    "a profile that says what the vehicle can be asked",
                    "none",
                );
            }
        }
        let sound = self.faults.len() == before;
        let interface = interface.filter(|_| sound)?;
        Some(Can {
            asset: can.asset,
            interface,
            profile,
            dbc,
            diagnostics: can.diagnostics,
            vin,
        })
    }

    /// The bus of a profile that an entry means.
    fn bus(&mut self, profile: &Profile, named: Option<&str>, key: &str) -> Option<Bus> {
        let names: Vec<_> = profile.bus.iter().map(|bus| bus.name.as_str()).collect();
        let bus = match (named, profile.bus.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(name), _) => profile.bus(name),
        };
        if bus.is_none() {
            let expected = format!("a bus of the profile, one of {}", names.join(", "));
            self.fault(
                key,
                expected,
                named.map_or("none".to_owned(), |name| format!("`{name}`")),
            );
        }
        bus.cloned()
    }

    fn diagnostics(&mut self, profile: &Profile, bus: &Bus, key: &str) {
        let asked = |name: Option<&str>| name.is_none_or(|name| name == bus.name);
        if bus.listen_only {
            self.fault(
                key,
                "a bus on which the profile allows to send",
                format!("the listen_only bus `{}`", bus.name),
            );
        } else if !profile
            .command
            .iter()
            .any(|command| asked(command.bus.as_deref()))
        {
            self.fault(
                key,
                format!("a profile with commands for the bus `{}`", bus.name),
                "one without",
            );
        }
    }

    fn dbc(&mut self, key: &str, written: &Path) -> Option<PathBuf> {
        let path = self.existing(key, written)?;
        match dbc_content(&path) {
            Ok(_) => Some(path),
            Err(found) => {
                self.fault(
                    key,
                    format!("a DBC file with messages at {}", path.display()),
                    found,
                );
                None
            }
        }
    }

    fn line(&mut self, index: usize, line: file::Modbus) -> Option<Line> {
        let rtu = line.address.is_rtu();
        if line.device.is_empty() {
            self.fault(
                &format!("modbus[{index}]"),
                "at least one device on the line",
                "none",
            );
        }
        let mut devices = Vec::new();
        for (place, device) in line.device.into_iter().enumerate() {
            let key = |name: &str| format!("modbus[{index}].device[{place}].{name}");
            if rtu && !(1..=247).contains(&device.unit) {
                self.fault(
                    &key("unit"),
                    "a unit from 1 to 247, as on every RTU line",
                    device.unit.to_string(),
                );
            }
            let map: Option<Arc<_>> =
                self.maps
                    .load(&device.map, &key("map"), self.spans, &mut self.faults);
            devices.push(map.map(|map| Device {
                asset: device.asset,
                unit: device.unit,
                map,
                interval: device.interval,
            }));
        }
        Some(Line {
            name: line.name,
            address: line.address,
            timeout: line.timeout,
            pause: line.pause,
            devices: devices.into_iter().collect::<Option<_>>()?,
        })
    }
}
