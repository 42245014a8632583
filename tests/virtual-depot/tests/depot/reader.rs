//! A small gateway: reads a whole depot through the decoders of the real one and keeps what it gets, so that it can be
//! compared with the truth. It connects again whenever it has to.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use isotp::{
    CanId, Config, Frame, Link,
    uds::{Client, ClientOutput, Request, Timing},
};
use modbus::{Bus, Framing};
use shared_protocol::{Encoding, SignalDef, SignalRef, Source, catalogue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::Instant,
};
use vehicles::{
    dbc::{Dbc, Decoder},
    diagnostic::Table,
    profile::Profile,
};
use virtual_depot::{
    ColumnId, Description, Stored,
    depot::{CarEntry, DeviceEntry},
    devices::map::{CHARGER, METER},
};

/// How often the reader asks an ECU something.
const ASKING: Duration = Duration::from_millis(60);

/// How long it waits for a Modbus answer; faults that come late come later.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

/// What has been read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(Arc<Mutex<Stored>>);

impl Kept {
    pub(crate) fn keep(&self, asset: &str, source: Source, def: &SignalDef, raw: i64) {
        let step = match (&def.signal, def.encoding) {
            (SignalRef::Catalogue(id), _) => catalogue().get(*id).unwrap().resolution,
            (SignalRef::Named { .. }, Encoding::Scaled { scale, .. }) => scale,
            (named, _) => panic!("{named:?}"),
        };
        let raw = def.encoding.in_steps_of(raw, step).unwrap();
        let column = ColumnId::new(asset, source.name(), def.signal.name());
        self.0.lock().unwrap().entry(column).or_default().push(raw);
    }

    pub(crate) fn stored(&self) -> Stored {
        self.0.lock().unwrap().clone()
    }
}

/// Reads everything in the background.
pub(crate) struct Reader {
    pub(crate) kept: Kept,
    done: Arc<AtomicBool>,
    cars: Vec<JoinHandle<()>>,
    devices: Vec<JoinHandle<()>>,
}

impl Reader {
    pub(crate) fn start(description: &Description) -> Self {
        let (kept, done) = (Kept::default(), Arc::new(AtomicBool::new(false)));
        // One behind a dongle has a test of its own.
        let cars = description.cars.iter().filter(|entry| entry.dbc.is_some());
        let cars = cars.map(|entry| {
            let (entry, kept, done) = (entry.clone(), kept.clone(), Arc::clone(&done));
            tokio::spawn(follow_car(entry, kept, done))
        });
        let devices = description.chargers.iter().chain(&description.meters);
        let devices = devices.map(|entry| {
            let (entry, kept) = (entry.clone(), kept.clone());
            tokio::spawn(poll_device(entry, kept))
        });
        Self {
            cars: cars.collect(),
            devices: devices.collect(),
            kept,
            done,
        }
    }

    /// Ends in the middle of whatever it does; what was read until then.
    pub(crate) fn kill(self) -> Stored {
        self.cars
            .iter()
            .chain(&self.devices)
            .for_each(JoinHandle::abort);
        self.kept.stored()
    }

    /// What was read. The depot is paused (exchanges come to their end) and is stopped by the caller's `stop`.
    pub(crate) async fn finish<F: Future<Output = T>, T>(self, stop: F) -> (Stored, T) {
        tokio::time::sleep(PATIENCE * 3).await;
        self.devices.iter().for_each(JoinHandle::abort);
        self.done.store(true, Ordering::Release);
        let result = stop.await;
        for car in self.cars {
            car.await.unwrap();
        }
        (self.kept.stored(), result)
    }
}

/// The frames of a socketcand connection.
pub(crate) struct CanConnection {
    stream: TcpStream,
    buffer: String,
}

impl CanConnection {
    pub(crate) async fn open(interface: &str) -> io::Result<Self> {
        let (address, bus) = interface
            .strip_prefix("socketcand://")
            .unwrap()
            .split_once('/')
            .unwrap();
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self {
            stream,
            buffer: String::new(),
        };
        connection.expect("< hi >").await?;
        connection.say(&format!("< open {bus} >")).await?;
        connection.expect("< ok >").await?;
        connection.say("< rawmode >").await?;
        connection.expect("< ok >").await?;
        Ok(connection)
    }

    pub(crate) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    pub(crate) async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        let mut text = format!("< send {} {} ", frame.id(), frame.data().len());
        for byte in frame.data() {
            write!(text, "{byte:x} ").unwrap();
        }
        self.say(&(text + ">")).await
    }

    /// The next text between `<` and `>`. Safe to drop.
    pub(crate) async fn next(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.buffer.find('>') {
                return Ok(self.buffer.drain(..=end).collect());
            }
            let mut bytes = [0; 4096];
            match self.stream.read(&mut bytes).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self
                    .buffer
                    .push_str(std::str::from_utf8(&bytes[..count]).unwrap()),
            }
        }
    }

    async fn expect(&mut self, text: &str) -> io::Result<()> {
        assert_eq!(self.next().await?, text);
        Ok(())
    }
}

/// `< frame 123 23.424242 1A220344 >`
pub(crate) fn parse_frame(text: &str) -> Option<Frame> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let (id, data) = match words[..] {
        ["<", "frame", id, _, data, ">"] => (id, data),
        ["<", "frame", id, _, ">"] => (id, ""),
        _ => return None,
    };
    let id: CanId = id.parse().unwrap();
    let bytes: Vec<u8> = (0..data.len() / 2)
        .map(|n| u8::from_str_radix(&data[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    Some(Frame::classic(id, &bytes).unwrap())
}

pub(crate) fn decoders(entry: &CarEntry) -> (Decoder, Table) {
    let text = std::fs::read_to_string(&entry.profile).unwrap();
    let profile: Profile = toml::from_str(&text).unwrap();
    assert_eq!(
        profile.check(),
        [],
        "the profile of the virtual car has problems"
    );
    assert!(profile.is_for(&entry.vin));
    let dbc = Dbc::parse(&std::fs::read(entry.dbc.as_ref().unwrap()).unwrap());
    assert_eq!(dbc.warnings, []);
    let mapping = &profile.dbc[0];
    let decoder = Decoder::mapped(&dbc, &mapping.signal, mapping.only_mapped).unwrap();
    (decoder, Table::new(profile.command).unwrap())
}

async fn follow_car(entry: CarEntry, kept: Kept, done: Arc<AtomicBool>) {
    let (decoder, table) = decoders(&entry);
    while !done.load(Ordering::Acquire) {
        // Whatever ends a session: the next begins.
        let ended = session(&entry, &kept, &decoder, &table, &done).await;
        assert!(ended.is_err());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One connection to a bus, until it ends.
async fn session(
    entry: &CarEntry,
    kept: &Kept,
    decoder: &Decoder,
    table: &Table,
    done: &AtomicBool,
) -> io::Result<()> {
    let mut connection = CanConnection::open(&entry.interface).await?;
    let start = Instant::now();
    let mut clients: BTreeMap<CanId, (Client, usize)> = BTreeMap::new();
    for command in table.commands() {
        let link = Link::new(Config::new(command.address().unwrap()).padded(0)).unwrap();
        let timing = Timing {
            p2: Duration::from_secs(1),
            late_answer: Duration::from_secs(1),
            ..Timing::default()
        };
        clients
            .entry(command.request)
            .or_insert_with(|| (Client::new(link, timing), 0));
    }
    let mut asking = tokio::time::interval(ASKING);
    let mut next_command = 0;
    loop {
        for (client, asked) in clients.values_mut() {
            while let Some(output) = client.poll(start.elapsed()) {
                match output {
                    ClientOutput::Transmit(frame) => connection.send(&frame).await?,
                    ClientOutput::Finished(Ok(answer)) => {
                        let mut readings = Vec::new();
                        table
                            .decode(*asked, answer.payload(), &mut readings)
                            .unwrap();
                        for reading in readings {
                            let def = &table.signals()[reading.signal as usize].def;
                            kept.keep(&entry.asset, Source::Obd, def, reading.raw);
                        }
                    }
                    ClientOutput::Finished(Err(_))
                    | ClientOutput::Sent
                    | ClientOutput::Stray(_) => {}
                }
            }
        }
        let deadlines = clients
            .values()
            .filter_map(|(client, _)| client.next_deadline());
        let deadline = deadlines
            .min()
            .map_or(start + Duration::from_secs(3600), |at| start + at);
        tokio::select! {
            text = connection.next() => {
                let Some(frame) = parse_frame(&text?) else { continue };
                let mut readings = Vec::new();
                decoder.decode(frame.id(), frame.data(), &mut readings);
                for reading in readings {
                    let def = &decoder.signals()[reading.signal as usize].def;
                    kept.keep(&entry.asset, Source::Can, def, reading.raw);
                }
                for (client, _) in clients.values_mut() {
                    client.on_frame(start.elapsed(), &frame);
                }
            }
            () = tokio::time::sleep_until(deadline) => {}
            _ = asking.tick() => {
                let number = next_command % table.commands().len();
                let command = &table.commands()[number];
                let (client, asked) = clients.get_mut(&command.request).unwrap();
                if client.is_idle() && !done.load(Ordering::Acquire) {
                    *asked = number;
                    client.request(Request::decode(&command.payload()).unwrap()).unwrap();
                }
                next_command += 1;
            }
        }
    }
}

/// The device that a gateway makes of a map's name.
pub(crate) fn device(entry: &DeviceEntry) -> modbus::Device {
    let (_, text) = [CHARGER, METER]
        .into_iter()
        .find(|(name, _)| *name == entry.map)
        .unwrap();
    modbus::Device::new(toml::from_str(text).unwrap()).unwrap()
}

pub(crate) fn address(entry: &DeviceEntry) -> std::net::SocketAddr {
    entry
        .address
        .strip_prefix("tcp://")
        .unwrap()
        .parse()
        .unwrap()
}

async fn poll_device(entry: DeviceEntry, kept: Kept) {
    let device = Arc::new(device(&entry));
    let timing = modbus::Timing {
        response: PATIENCE,
        ..modbus::Timing::tcp()
    };
    let to = address(&entry);
    let mut bus = Bus::new(Framing::Tcp, timing, move || TcpStream::connect(to));
    bus.add(
        entry.unit,
        Arc::clone(&device),
        Some(entry.identity.clone()),
    )
    .unwrap();
    loop {
        let cycle = bus.next().await;
        for reading in cycle.readings {
            let def = device.signal_def(reading.point).unwrap();
            kept.keep(&entry.asset, Source::Modbus, def, reading.raw);
        }
    }
}
