//! Servers of other implementations on real sockets.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use modbus::{Bus, Framing, Timing, map::Table};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::{ExceptionCode, Request, Response, server};

use crate::{
    pymodbus::{Pymodbus, on_tcp},
    support::{Asked, Registers, device, root},
};

fn shipped(name: &str) -> Arc<modbus::Device> {
    Arc::new(device(
        &std::fs::read_to_string(root().join("depot-config/devices").join(name)).unwrap(),
    ))
}

/// Three cycles of one unit by its signals' names, as values.
async fn three_cycles(
    port: u16,
    framing: Framing,
    timing: Timing,
    map: &str,
) -> Vec<(String, f64)> {
    let device = shipped(map);
    let mut bus = Bus::new(framing, timing, move || {
        TcpStream::connect(("127.0.0.1", port))
    });
    bus.add(1, Arc::clone(&device), Some("123456789".to_owned()))
        .unwrap();
    let mut values = Vec::new();
    for _ in 0..3 {
        let cycle = tokio::time::timeout(Duration::from_secs(20), bus.next())
            .await
            .unwrap();
        assert_eq!(cycle.errors, []);
        let found: Vec<_> = cycle
            .readings
            .iter()
            .map(|r| {
                (
                    device.map().points[r.point].signal.clone(),
                    device.signal_def(r.point).unwrap().encoding.value(r.raw),
                )
            })
            .collect();
        assert!(values.is_empty() || values == found);
        values = found;
    }
    values
}

/// The virtual meter as types and values that the peer encodes itself.
const METER: [(u16, &str, &str); 14] = [
    (0, "u32", "123456789"),
    (2, "i32", "-23456"),
    (4, "i32", "7000"),
    (6, "i32", "-40456"),
    (8, "i32", "10000"),
    (10, "i32", "3201"),
    (12, "i32", "-17500"),
    (14, "i32", "4300"),
    (16, "f32", "230.46"),
    (18, "f32", "231.04"),
    (20, "f32", "229.96"),
    (22, "f32", "59.987"),
    (24, "u64", "987654321012"),
    (28, "u64", "42"),
];

fn expected() -> Vec<(String, f64)> {
    let values = [
        ("W", -23456.0),
        ("WphA", 7000.0),
        ("WphB", -40456.0),
        ("WphC", 10000.0),
        ("AphA", 32.01),
        ("AphB", -175.0),
        ("AphC", 43.0),
        ("PhVphA", 230.5),
        ("PhVphB", 231.0),
        ("PhVphC", 230.0),
        ("Hz", 59.987),
        ("TotWhImp", 987_654_321_012.0),
        ("TotWhExp", 42.0),
    ];
    values
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
}

fn assert_near(found: &[(String, f64)], expected: &[(String, f64)]) {
    assert_eq!(found.len(), expected.len());
    for ((name, found), (wanted, value)) in found.iter().zip(expected) {
        assert_eq!(name, wanted);
        assert!(
            (found - value).abs() < 1e-9 * value.abs().max(1.0),
            "{name}: {found} instead of {value}"
        );
    }
}

/// Starts PyPI pymodbus with the registers of the virtual meter.
async fn pymodbus(framer: &str) -> Option<Pymodbus> {
    let value = |(address, kind, text): (u16, &str, &str)| {
        json!(["holding", address, kind, text, "big", "big"])
    };
    let unit = json!({ "unit": 1, "values": METER.map(value), "settings": [] });
    Pymodbus::start(vec![on_tcp(framer, &[unit])]).await
}

#[tokio::test]
async fn pymodbus_over_tcp() {
    let Some(peer) = pymodbus("socket").await else {
        return;
    };
    let port = peer.port(0);
    let found = three_cycles(
        port,
        Framing::Tcp,
        Timing::tcp(),
        "patio-virtual-meter.toml",
    )
    .await;
    assert_near(&found, &expected());
    let found = three_cycles(
        port,
        Framing::TcpGateway,
        Timing::tcp(),
        "patio-virtual-meter.toml",
    )
    .await;
    assert_near(&found, &expected());
}

#[tokio::test]
async fn pymodbus_with_rtu_frames_over_tcp() {
    let Some(peer) = pymodbus("rtu").await else {
        return;
    };
    let port = peer.port(0);
    let found = three_cycles(
        port,
        Framing::Rtu,
        Timing::serial(115_200),
        "patio-virtual-meter.toml",
    )
    .await;
    assert_near(&found, &expected());
}

/// A server of tokio-modbus.
struct Charger(Mutex<Registers>);

impl server::Service for Charger {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = std::future::Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Request<'static>) -> Self::Future {
        let mut registers = self.0.lock().unwrap();
        std::future::ready(match request {
            Request::ReadHoldingRegisters(address, count) => {
                let words: Option<Vec<u16>> = (address..address + count)
                    .map(|at| registers.0.get(&(Table::Holding, at)).copied())
                    .collect();
                words
                    .map(Response::ReadHoldingRegisters)
                    .ok_or(ExceptionCode::IllegalDataAddress)
            }
            Request::WriteMultipleRegisters(address, words) => {
                registers.answer(&Asked::Write {
                    address,
                    words: words.to_vec(),
                    single: false,
                });
                Ok(Response::WriteMultipleRegisters(
                    address,
                    words.len() as u16,
                ))
            }
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

#[tokio::test]
async fn a_server_of_tokio_modbus_is_read_and_written() {
    let mut registers = Registers::default();
    let serial = 123_456_789_u32;
    registers.put(
        Table::Holding,
        100,
        &[
            2,
            0,
            (serial >> 16) as u16,
            serial as u16,
            0,
            7360,
            0,
            3200,
            0,
            3190,
            0,
            3210,
        ],
    );
    registers.put(
        Table::Holding,
        112,
        &[2301, 2302, 2303, 0, 0, 18, 52_000, 320, 0xffd8, 0xffff],
    );
    registers.put(Table::Holding, 200, &[320, 60, 60]);
    let charger = Arc::new(Charger(Mutex::new(registers)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = Arc::clone(&charger);
    tokio::spawn(async move {
        let on_connected = |stream, address| {
            let service = Arc::clone(&service);
            async move {
                server::tcp::accept_tcp_connection(stream, address, |_| {
                    Ok(Some(Arc::clone(&service)))
                })
            }
        };
        server::tcp::Server::new(listener)
            .serve(&on_connected, |error: io::Error| panic!("{error}"))
            .await
    });
    let device = shipped("patio-virtual-charger.toml");
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), move || {
        TcpStream::connect(("127.0.0.1", port))
    });
    let unit = bus.add(1, Arc::clone(&device), None).unwrap();
    let cycle = bus.next().await;
    assert_eq!(cycle.identity.as_deref(), Some("123456789"));
    let raw = |signal: &str| {
        let at = device
            .map()
            .points
            .iter()
            .position(|point| point.signal == signal)
            .unwrap();
        cycle
            .readings
            .iter()
            .find(|reading| reading.point == at)
            .map(|reading| reading.raw)
    };
    assert_eq!(raw("ChargePointStatus"), Some(2));
    assert_eq!(
        raw("Energy.Active.Import.Register"),
        Some(18 * 65536 + 52_000)
    );
    assert_eq!(raw("Temperature"), Some(-40));
    // 0xFFFF is "no vehicle tells one".
    assert_eq!(raw("SoC"), None);
    assert_eq!(cycle.errors.len(), 1, "{:?}", cycle.errors);

    bus.write(
        unit,
        modbus::SettingName::CurrentLimit,
        "12.34".parse().unwrap(),
    )
    .await
    .unwrap();
    assert_eq!(charger.0.lock().unwrap().0[&(Table::Holding, 200)], 123);
}
