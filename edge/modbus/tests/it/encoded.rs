//! Every map that ships is read from registers that pymodbus encoded, by what the map says of them: address, type and orders.

use std::{collections::BTreeMap, fmt::Write as _, io, sync::Arc, time::Duration};

use modbus::{Bus, Device, DeviceMap, Framing, Timing};
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
    time::timeout,
};
use tokio_serial::SerialPortBuilderExt as _;

use crate::{
    described::{Described, described, shipped},
    numbers::Pick,
    pymodbus::{Pymodbus, on_pty, on_tcp},
    support::Random,
};

/// Devices of each map: two with the ends of all ranges, the others with anything, and as many as the longest list of states.
const TURNS: usize = 13;

/// A line of one device for each map, all of them with values of this turn.
fn line(maps: &[(String, DeviceMap)], turn: usize) -> Vec<Described> {
    let pick = match turn {
        0 => Pick::Least,
        1 => Pick::Greatest,
        _ => Pick::Any,
    };
    let mut random = Random(turn as u64);
    let device = |(at, (_, map)): (usize, &(String, DeviceMap))| {
        described(map, at + 1, pick, turn, &mut random)
    };
    maps.iter().enumerate().map(device).collect()
}

fn units(line: &[Described]) -> Vec<Value> {
    line.iter()
        .map(|described| described.unit.clone())
        .collect()
}

/// Reads every unit once and compares all of its points; gives their number.
async fn compare<C, F, S>(
    mut bus: Bus<C, S>,
    maps: &[(String, DeviceMap)],
    line: &[Described],
) -> usize
where
    C: FnMut() -> F,
    F: Future<Output = io::Result<S>>,
    S: AsyncRead + AsyncWrite + Unpin,
{
    for (at, (_, map)) in maps.iter().enumerate() {
        let device = Arc::new(Device::new(map.clone()).unwrap());
        let unit = bus.add(at as u8 + 1, device, line[at].identity.clone());
        assert_eq!(unit, Ok(at));
    }
    let mut compared = vec![0; maps.len()];
    while compared.contains(&0) {
        let cycle = timeout(Duration::from_mins(1), bus.next()).await.unwrap();
        let (name, map) = &maps[cycle.unit];
        if compared[cycle.unit] > 0 {
            continue;
        }
        let described = &line[cycle.unit];
        assert_eq!(cycle.errors, [], "{name}");
        assert_eq!(cycle.identity, described.identity, "{name}");
        assert_eq!(cycle.readings.len(), map.points.len(), "{name}");
        let device = Device::new(map.clone()).unwrap();
        for reading in &cycle.readings {
            let found = device.signal_def(reading.point).unwrap();
            let found = found.encoding.value(reading.raw);
            let wanted = &described.wanted[reading.point];
            let signal = &map.points[reading.point].signal;
            assert!(
                (found - wanted.value).abs() <= wanted.within,
                "{name}: {signal} is {found} instead of {wanted:?}"
            );
            compared[cycle.unit] += 1;
        }
    }
    compared.iter().sum()
}

#[tokio::test]
async fn every_map_reads_what_pymodbus_encodes() {
    let maps = Arc::new(shipped());
    let states = maps.iter().flat_map(|(_, map)| &map.points);
    let states = states.filter_map(|point| point.states.as_ref().map(BTreeMap::len));
    assert!(states.max().unwrap() <= TURNS);
    let lines: Vec<_> = (0..TURNS).map(|turn| line(&maps, turn)).collect();
    let servers = lines.iter().map(|line| on_tcp("socket", &units(line)));
    let Some(peer) = Pymodbus::start(servers.collect()).await else {
        return;
    };
    let mut readers = JoinSet::new();
    for (turn, line) in lines.into_iter().enumerate() {
        let (port, maps) = (peer.port(turn), Arc::clone(&maps));
        let bus = Bus::new(Framing::Tcp, Timing::tcp(), move || {
            TcpStream::connect(("127.0.0.1", port))
        });
        readers.spawn(async move { compare(bus, &maps, &line).await });
    }
    let compared: usize = readers.join_all().await.into_iter().sum();
    let points: usize = maps.iter().map(|(_, map)| map.points.len()).sum();
    assert_eq!(compared, TURNS * points);
    println!("{compared} values of {} maps", maps.len());
}

/// The serial line of the product, at the other end of a pair of pseudo-terminals.
#[tokio::test]
async fn every_map_for_serial_lines_reads_what_pymodbus_encodes_on_a_pair_of_pseudo_terminals() {
    let mut maps = shipped();
    maps.retain(|(_, map)| {
        let device = Device::new(map.clone()).unwrap();
        !modbus::plan(&device).syncs.is_empty()
    });
    let line = line(&maps, 2);
    let Some(peer) = Pymodbus::start(vec![on_pty(&units(&line))]).await else {
        return;
    };
    let path = peer.ends[0].as_str().unwrap().to_owned();
    let bus = Bus::new(Framing::Rtu, Timing::serial(115_200), move || {
        let port = tokio_serial::new(path.as_str(), 115_200).open_native_async();
        std::future::ready(port.map_err(io::Error::from))
    });
    let compared = compare(bus, &maps, &line).await;
    println!("{compared} values of {} maps", maps.len());
}

/// All types in all orders, with signs, factors and bits: those too that no shipped map has.
#[tokio::test]
async fn every_type_in_every_order_reads_what_pymodbus_encodes() {
    let maps: Vec<_> = ["holding", "input"].map(every_type).into();
    let lines: Vec<_> = (0..TURNS).map(|turn| line(&maps, turn)).collect();
    let servers = lines.iter().map(|line| on_tcp("socket", &units(line)));
    let Some(peer) = Pymodbus::start(servers.collect()).await else {
        return;
    };
    for (turn, line) in lines.iter().enumerate() {
        let port = peer.port(turn);
        let bus = Bus::new(Framing::Tcp, Timing::tcp(), move || {
            TcpStream::connect(("127.0.0.1", port))
        });
        let compared = compare(bus, &maps, line).await;
        assert_eq!(compared, 2 * maps[0].1.points.len());
    }
}

/// A map with every type in every order, at addresses with gaps.
fn every_type(table: &str) -> (String, DeviceMap) {
    let mut points = String::new();
    let mut address = 0;
    let mut add = |line: String| {
        let at = address;
        writeln!(
            points,
            "{{ signal = \"s{at}\", unit = \"1\", address = {at}, {line} }},"
        )
        .unwrap();
        address += 5;
    };
    for words in ["big", "little"] {
        for bytes in ["big", "little"] {
            let orders = format!("word_order = \"{words}\", byte_order = \"{bytes}\"");
            for kind in [
                "u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64", "f16", "bcd16", "bcd32",
                "mod10k32", "mod10k48", "mod10k64",
            ] {
                add(format!("type = \"{kind}\", {orders}"));
            }
            for kind in ["i16", "i32", "i64"] {
                add(format!("type = \"{kind}\", sign = \"magnitude\", {orders}"));
                add(format!("type = \"{kind}\", sign = \"inverted\", {orders}"));
            }
            for kind in ["u16", "u32", "u64"] {
                let bits = "bits = { first = 3, count = 5 }";
                add(format!("type = \"{kind}\", {bits}, {orders}"));
            }
        }
    }
    for (address, table) in [(7, "coil"), (23, "coil"), (0, "discrete"), (40, "discrete")] {
        writeln!(
            points,
            "{{ signal = \"{table}{address}\", unit = \"1\", address = {address}, type = \"bool\", function = \"{table}\" }},"
        )
        .unwrap();
    }
    let text = format!(
        "manufacturer = \"Test\"\nmodel = \"Types\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [\n{points}]\n[defaults]\nfunction = \"{table}\"\nmax_gap = 4\n"
    );
    (table.to_owned(), toml::from_str(&text).unwrap())
}
