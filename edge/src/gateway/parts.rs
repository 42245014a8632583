//! From what the configuration says to what runs: keys, certificates, vehicles, lines. What is wrong is found here.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use ::ocpp::{AuthList, Policy, Token};
use depot_config::depot::Depot;
use firmware_config::{
    gateway::{Can, Gateway, Interface, Page, Stations},
    profiles,
};
use shared_protocol::{AssetKey, SigningKey};
use tokio_rustls::TlsAcceptor;
use vehicles::{
    dbc::{Dbc, Decoder},
    diagnostic::Table,
};

use super::StartError;
use crate::{
    clock::Clock,
    control::{Control, Remembered, Vouched, commission},
    health, page,
    sources::{Letterbox, dongles::Dongles, modbus, ocpp, vehicle},
    transactions::Bookkeeper,
    uplink,
};

/// The gateway's own metrics are of an asset with a key that nothing else may have.
pub(super) fn reserved(config: &Gateway) -> Result<(), StartError> {
    let cars = config.can.iter().map(|can| &can.asset);
    let devices = config.modbus.iter().flat_map(|line| &line.devices);
    let stations = config.stations.iter().flat_map(|one| &one.stations);
    let mut assets = cars
        .chain(devices.map(|device| &device.asset))
        .chain(stations.map(|station| &station.asset));
    if assets.any(|asset| asset.as_str() == health::ASSET) {
        return Err(StartError::Reserved);
    }
    Ok(())
}

/// A listener for whoever is on this machine.
pub(super) fn listen(address: SocketAddr) -> Result<Arc<tokio::net::TcpListener>, StartError> {
    let failed = |source| StartError::Listen { address, source };
    if !address.ip().is_loopback() {
        let what = "metrics are for this machine alone: give an address of 127.0.0.0/8 or ::1";
        return Err(failed(io::Error::other(what)));
    }
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    Ok(Arc::new(listener))
}

/// Reads a secret key file: 64 hexadecimal digits.
pub fn read_key(path: &Path) -> Result<SigningKey, StartError> {
    let text = fs::read_to_string(path).map_err(StartError::file(path))?;
    SigningKey::from_hex(&text).map_err(|error| StartError::File {
        path: path.to_owned(),
        what: format!("{error}; `edge keygen` makes one"),
    })
}

pub(super) fn link(config: &Gateway) -> Result<uplink::Link, StartError> {
    let read = |path: &Path| fs::read(path).map_err(StartError::file(path));
    let tls = match &config.cloud.tls {
        Some(tls) => Some(uplink::Tls {
            ca: read(&tls.ca)?,
            client: match &tls.identity {
                Some(identity) => Some((read(&identity.certificate)?, read(&identity.key)?)),
                None => None,
            },
        }),
        None => None,
    };
    let address = &config.cloud.broker.address;
    Ok(uplink::Link {
        host: address.host.clone(),
        port: address.port,
        tls,
    })
}

/// The networks in which vehicles' dongles are looked for.
#[derive(Debug, Default)]
pub(super) struct Networks(pub(super) Vec<Arc<Dongles>>);

impl Networks {
    fn of(&mut self, interface: &Interface) -> Option<Arc<Dongles>> {
        let &Interface::Dongle {
            network,
            port,
            bitrate,
        } = interface
        else {
            return None;
        };
        let wanted = Dongles::new(network, port, bitrate);
        let known = self.0.iter().find(|known| known.is_like(&wanted)).cloned();
        Some(known.unwrap_or_else(|| {
            let new = Arc::new(wanted);
            self.0.push(new.clone());
            new
        }))
    }
}

pub(super) fn build_vehicle(
    can: Can,
    networks: &mut Networks,
) -> Result<vehicle::Vehicle, StartError> {
    let mut decoders = Vec::new();
    if let Some(path) = &can.dbc {
        decoders.push(Decoder::new(&read_dbc(path)?));
    }
    let mut diagnostics = None;
    if let Some((profile, bus)) = &can.profile {
        for file in profile.dbc.iter().filter(|file| file.bus == *bus) {
            let path = Path::new(&file.file);
            let dbc = profiles::dbc(&file.file).map_err(StartError::file(path))?;
            warn(path, &dbc);
            let decoder = Decoder::mapped(&dbc, &file.signal, file.only_mapped);
            decoders.push(decoder.map_err(|errors| StartError::wrong(path, &errors))?);
        }
        if can.diagnostics {
            let commands = profile
                .command
                .iter()
                .filter(|command| command.bus.as_ref().is_none_or(|on| on == bus));
            let table = Table::new(commands.cloned().collect());
            diagnostics = Some(
                table.map_err(|problems| StartError::wrong(Path::new(&profile.name), &problems))?,
            );
        }
    }
    Ok(vehicle::Vehicle {
        dongles: networks.of(&can.interface),
        asset: can.asset,
        interface: can.interface,
        decoders,
        diagnostics,
        vin: can.vin,
        orders: Letterbox::default(),
    })
}

fn read_dbc(path: &Path) -> Result<Dbc, StartError> {
    let dbc = Dbc::parse(&fs::read(path).map_err(StartError::file(path))?);
    warn(path, &dbc);
    Ok(dbc)
}

fn warn(path: &Path, dbc: &Dbc) {
    for warning in &dbc.warnings {
        tracing::warn!(file = %path.display(), %warning, "DBC");
    }
}

/// A line; `connects`: whether an asset is a station that connects and tells its transactions itself.
pub(super) fn build_line(
    line: firmware_config::gateway::Line,
    connects: impl Fn(&AssetKey) -> bool,
) -> Result<modbus::Line, StartError> {
    let devices = line
        .devices
        .into_iter()
        .map(|device| {
            let mut map = (*device.map).clone();
            if let Some(interval) = device.interval {
                map.defaults.interval_ms = interval.as_millis() as u32;
            }
            let checked = ::modbus::Device::new(map)
                .map_err(|problems| StartError::wrong(Path::new(&device.map.model), &problems))?;
            Ok(modbus::LineDevice {
                observed: modbus::is_observable(&checked) && !connects(&device.asset),
                asset: device.asset,
                unit: device.unit,
                device: Arc::new(checked),
            })
        })
        .collect::<Result<_, StartError>>()?;
    Ok(modbus::Line {
        name: line.name,
        address: line.address,
        timeout: line.timeout,
        devices,
    })
}

/// The depot whose limits this gateway holds, with the stations on its lines; `signed`: by an installer. `folder` has what
/// was found of stations.
pub(super) fn build_control(
    depot: Arc<Depot>,
    signed: bool,
    folder: &Path,
    lines: &[modbus::Line],
    clock: &Clock,
) -> Result<Arc<Control>, StartError> {
    let devices = lines.iter().flat_map(|line| &line.devices);
    let devices = devices.map(|device| (device.asset.clone(), device.device.clone()));
    if !signed {
        tracing::warn!(depot = %depot.site.id, "the depot's ratings are unsigned: whoever writes its file can raise them; have an installer sign them (depot-config sign) and put `installer_key` under [control]");
    }
    let verdicts = commission::verdicts(folder).map_err(|error| StartError::File {
        path: commission::file(folder),
        what: format!(
            "{error}: stations that ignore for how long they are told a limit would be relied on; remove it only to test all stations again"
        ),
    })?;
    let vouched = Vouched {
        signed,
        verdicts,
        remembered: Remembered::read(folder, clock.boot, clock.now_us()),
    };
    let control = Control::new(depot, vouched, &devices.collect(), clock.now_us() / 1000)?;
    Ok(Arc::new(control))
}

/// What the page is made of, where it is served, and how.
pub(super) fn build_page(
    page: Page,
    clock: &Arc<Clock>,
) -> Result<
    (
        page::Settings,
        Arc<tokio::net::TcpListener>,
        Option<TlsAcceptor>,
    ),
    StartError,
> {
    let read = |path: &Path| fs::read(path).map_err(StartError::file(path));
    let tls = match &page.identity {
        None => None,
        Some(identity) => {
            let keys = ocpp::Keys {
                certificate: read(&identity.certificate)?,
                key: read(&identity.key)?,
                client_ca: None,
            };
            let config = ocpp::server(&keys, clock.clone())?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
    };
    let address = page.listen;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::error!(%address, "the page is served without TLS: whoever listens on the depot's network hears the PIN");
    }
    let failed = |source| StartError::Page { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let settings = page::Settings {
        pin: page.pin,
        token: page.token,
    };
    Ok((settings, Arc::new(listener), tls))
}

/// Whoever has the book of charging transactions, if there is any device whose transactions are told: stations that connect, or
/// chargers on a line.
pub(super) fn build_keeper(
    stations: Option<&Stations>,
    lines: &[modbus::Line],
    folder: &Path,
) -> Result<Option<Arc<Bookkeeper>>, StartError> {
    let mut devices = lines.iter().flat_map(|line| &line.devices);
    if stations.is_none() && !devices.any(|device| device.observed) {
        return Ok(None);
    }
    fs::create_dir_all(folder).map_err(StartError::file(folder))?;
    Ok(Some(Arc::new(Bookkeeper::new(folder)?)))
}

/// The central system of charging stations, and where they connect.
pub(super) fn build_central(
    stations: Stations,
    keeper: Arc<Bookkeeper>,
    clock: Arc<Clock>,
) -> Result<(Arc<ocpp::Central>, Arc<tokio::net::TcpListener>), StartError> {
    let read = |path: &Path| fs::read(path).map_err(StartError::file(path));
    let keys = match &stations.identity {
        None => None,
        Some(identity) => Some(ocpp::Keys {
            certificate: read(&identity.certificate)?,
            key: read(&identity.key)?,
            client_ca: stations.client_ca.as_deref().map(read).transpose()?,
        }),
    };
    let mut tokens = AuthList::default();
    for token in stations.tokens {
        let known = Token {
            blocked: token.blocked,
            expires: token.expires,
            group: token.group,
        };
        tokens.set(&token.id, known);
    }
    let known = stations.stations.into_iter().map(|station| {
        let password = match &station.relay_password {
            None => None,
            Some(path) => Some(fs::read_to_string(path).map_err(StartError::file(path))?),
        };
        let authorities = station.relay_ca.as_deref().map(read).transpose()?;
        let known = ocpp::Known {
            asset: station.asset,
            password: station.password,
            certificate: station.certificate,
            relay: station.relay.map(|url| ocpp::Relay {
                url,
                password: password.map(|text| text.trim_end().to_owned()),
                authorities,
            }),
        };
        Ok((station.id, known))
    });
    let known: Result<_, StartError> = known.collect();
    let settings = ocpp::Settings {
        stations: known?,
        policy: Policy {
            heartbeat: stations.heartbeat,
            tokens: Arc::new(tokens),
        },
    };
    let door = ocpp::Door::new(keys.as_ref(), stations.insecure, &settings.stations, clock)?;
    let address = stations.listen;
    let failed = |source| StartError::Stations { address, source };
    let listener = std::net::TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let central = ocpp::Central::new(settings, door, keeper);
    Ok((Arc::new(central), Arc::new(listener)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Profiles that ship name DBC files that ship: nothing of them is looked for on the disk.
    #[test]
    fn what_a_car_tells_by_itself_comes_with_its_profile() {
        let profile = profiles::PROFILES.shipped("tesla-model-3").unwrap();
        let can = Can {
            asset: "car-1".parse().unwrap(),
            interface: "socketcan:can0".parse().unwrap(),
            profile: Some((Arc::new(profile.unwrap()), "vehicle".to_owned())),
            dbc: None,
            diagnostics: false,
            vin: None,
        };
        let vehicle = build_vehicle(can, &mut Networks::default()).unwrap();
        let [decoder] = &vehicle.decoders[..] else {
            panic!("one DBC file")
        };
        let mut readings = Vec::new();
        let odometer: isotp::CanId = "3B6".parse().unwrap();
        decoder.decode(odometer, &34_512_576u32.to_le_bytes(), &mut readings);
        let [reading] = readings[..] else {
            panic!("{readings:?}")
        };
        let def = &decoder.signals()[reading.signal as usize].def;
        let known = shared_protocol::catalogue().by_name("Vehicle.TraveledDistance");
        let known = shared_protocol::SignalRef::Catalogue(known.unwrap().id);
        assert_eq!(def.signal, known);
        assert!((def.encoding.value(reading.raw) - 34_512.576).abs() < 1e-9);
    }
}
