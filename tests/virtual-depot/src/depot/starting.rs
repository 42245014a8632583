//! Binding everything that can be connected to.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use tokio::net::TcpListener;

use super::{CarEntry, DepotError, Description, DeviceEntry, Keys, Shared, StationEntry};
use crate::{
    bus::{
        broadcast::Broadcast,
        connection,
        ecu::Ecu,
        elm327,
        model::{Model, WITH_DONGLE},
        server::{self as bus_server, BusHandle},
        socketcand::LONGEST_BUS,
    },
    chance::Chance,
    devices::{
        map::Device,
        server::{Server, UNIT, Which},
    },
    stations::{Central, Identity, Line, Plugs, Speaks, Witness},
    truth::sessions::SessionLog,
    yard::{ChargerReport, MeterReport, Setup, name},
};

/// Of so many cars one is reached through a dongle.
const DONGLES: usize = 10;

/// A depot that is being started.
pub(super) struct Starting {
    pub(super) shared: Arc<Shared>,
    pub(super) setup: Setup,
    pub(super) keys: Option<Keys>,
    pub(super) central: Option<Central>,
    /// Grows with every station.
    pub(super) plugs: Plugs,
    /// The truth of their transactions.
    pub(super) sessions: Arc<SessionLog>,
    /// Keys of all stations, in the world's order.
    pub(super) stations: Vec<String>,
    /// The next port to bind; any if there is none.
    pub(super) next_port: Option<u16>,
    /// Grows with everything that is bound.
    pub(super) description: Description,
}

impl Starting {
    /// Binds and starts everything that can be connected to.
    pub(super) async fn bind(
        &mut self,
        dir: &Path,
        model: &Arc<Model>,
        charger: &Arc<Device<ChargerReport>>,
        meter: &Arc<Device<MeterReport>>,
    ) -> Result<(Vec<BusHandle>, Vec<Option<Broadcast>>), DepotError> {
        let Setup {
            seed,
            cars,
            chargers,
            ..
        } = self.setup;
        let (listener, port) = self.listen().await?;
        let (mut buses, mut broadcasts, mut by_name) = (Vec::new(), Vec::new(), BTreeMap::new());
        for index in 0..cars {
            let asset = name("car", index, cars);
            debug_assert!(asset.len() <= LONGEST_BUS, "at most 2000 cars");
            if index % DONGLES == DONGLES - 1 {
                buses.push(self.dongle(asset, index).await?);
                broadcasts.push(None);
                continue;
            }
            let first = self.shared.log.define(&asset, &model.columns);
            let vin = self.shared.world().cars[index].vin.clone();
            let ecus = model.ecus.iter();
            let ecus = ecus.map(|ecu| Ecu::new(ecu, &asset, &vin, first, seed));
            let ecus = ecus.collect::<Result<Vec<_>, _>>()?;
            let bus = bus_server::start_bus(&self.shared, index, ecus);
            by_name.insert(asset.clone(), bus.clone());
            buses.push(bus);
            broadcasts.push(Some(Broadcast::new(model, &asset, first, index)));
            self.description.cars.push(CarEntry {
                interface: format!("socketcand://127.0.0.1:{port}/{asset}"),
                asset,
                vin,
                dbc: Some(dir.join("virtual-car.dbc")),
                profile: dir.join("virtual-car.toml"),
            });
        }
        let served = connection::serve(Arc::clone(&self.shared), listener, by_name);
        self.shared.tasks.spawn(served);
        for index in 0..chargers {
            let keys = self.keys.as_ref();
            let asset = keys.and_then(|keys| keys.stations.get(index).cloned());
            let asset = asset.unwrap_or_else(|| name("charger", index, chargers));
            self.stations.push(asset.clone());
            if self.connects(&asset, index) {
                continue;
            }
            let restless = self.central.as_ref().and_then(|central| central.restless);
            let witness = Witness::new(
                &self.shared,
                &self.sessions,
                &mut self.plugs,
                (&asset, index),
                restless,
                self.setup.seed,
            );
            self.shared.tasks.spawn(witness.run());
            let serial = self.shared.world().chargers[index].serial;
            let which = Which::Charger(index, Arc::clone(charger));
            let first = self.shared.log.define(&asset, &charger.columns);
            let entry = self
                .serve(asset, which, first, charger.name, serial)
                .await?;
            self.description.chargers.push(entry);
        }
        let serial = self.shared.world().meter.serial;
        let asset = match &self.keys {
            Some(keys) => keys.meter.clone(),
            None => "meter-01".to_owned(),
        };
        let first = self.shared.log.define(&asset, &meter.columns);
        let which = Which::Meter(Arc::clone(meter));
        let entry = self.serve(asset, which, first, meter.name, serial).await?;
        self.description.meters.push(entry);
        Ok((buses, broadcasts))
    }

    /// A car that is reached through a dongle alone.
    async fn dongle(&mut self, asset: String, index: usize) -> Result<BusHandle, DepotError> {
        let model = Model::with_dongle()?;
        let (listener, port) = self.listen().await?;
        let first = self.shared.log.define(&asset, &model.columns);
        let vin = self.shared.world().cars[index].vin.clone();
        let ecus = model.ecus.iter();
        let ecus = ecus.map(|ecu| Ecu::new(ecu, &asset, &vin, first, self.setup.seed));
        let bus = bus_server::start_bus(&self.shared, index, ecus.collect::<Result<Vec<_>, _>>()?);
        let served = elm327::serve(Arc::clone(&self.shared), listener, bus.clone(), index);
        self.shared.tasks.spawn(served);
        self.description.cars.push(CarEntry {
            interface: format!("elm327://127.0.0.1:{port}"),
            asset,
            vin,
            dbc: None,
            profile: WITH_DONGLE.0.into(),
        });
        Ok(bus)
    }

    /// Starts a station that speaks OCPP; false when this one does not.
    fn connects(&mut self, asset: &str, index: usize) -> bool {
        let Some(central) = &self.central else {
            return false;
        };
        let Speaks::Ocpp { version, id } = central.of(index) else {
            return false;
        };
        let mut chance = Chance::new(self.setup.seed, &format!("{asset}/password"));
        let password =
            (0..4).map(|_| format!("{:08x}", (chance.unit() * f64::from(u32::MAX)) as u32));
        let identity = Identity {
            key: asset.to_owned(),
            id: id.clone().unwrap_or_else(|| asset.to_owned()),
            version: *version,
            password: password.collect(),
            index,
        };
        let line = Line::new(
            &self.shared,
            &self.sessions,
            &self.plugs,
            central,
            &identity,
            self.setup.seed,
        );
        self.plugs.add(&line);
        self.shared.tasks.spawn(line.run());
        self.description.stations.push(StationEntry {
            asset: identity.key,
            id: identity.id,
            version: identity.version,
            password: identity.password,
        });
        true
    }

    async fn serve(
        &mut self,
        asset: String,
        which: Which,
        first_column: u32,
        map: &str,
        serial: u32,
    ) -> Result<DeviceEntry, DepotError> {
        let (listener, port) = self.listen().await?;
        let server = Server {
            shared: Arc::clone(&self.shared),
            asset: asset.clone(),
            which,
            first_column,
            seed: self.setup.seed,
        };
        self.shared.tasks.spawn(server.serve(listener));
        Ok(DeviceEntry {
            asset,
            address: format!("tcp://127.0.0.1:{port}"),
            unit: UNIT,
            map: map.to_owned(),
            identity: serial.to_string(),
        })
    }

    async fn listen(&mut self) -> Result<(TcpListener, u16), DepotError> {
        let port = self.next_port.unwrap_or(0);
        let failed = |error| DepotError::Port { port, error };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?.port();
        self.next_port = self.next_port.map(|port| port + 1);
        Ok((listener, bound))
    }
}
