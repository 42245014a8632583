//! Chargers and meter, read by tokio-modbus and by hand.

use std::{collections::BTreeMap, time::Duration};

use shared_protocol::{SignalRef, catalogue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_modbus::{
    ExceptionCode,
    client::{Context, Reader, Writer, tcp},
    prelude::Slave,
};
use virtual_depot::{ColumnId, Config, Depot, Fault, Handle, Plan, Truth, depot::DeviceEntry};

use crate::reader::{address, device};

async fn depot(dir: &tempfile::TempDir) -> Handle {
    let mut config = Config::new(dir.path(), 3, 2, 2);
    config.setup.plan = Plan::Charging;
    Depot::start(config).await.unwrap()
}

async fn client(entry: &DeviceEntry, unit: u8) -> Context {
    tcp::connect_slave(address(entry), Slave(unit))
        .await
        .unwrap()
}

/// Values by signal, in steps of the catalogue, decoded by the gateway's own decoder.
fn decode(entry: &DeviceEntry, first: u16, words: Vec<u16>) -> BTreeMap<String, i64> {
    let device = device(entry);
    let mut image = modbus::decode::Image::default();
    image.insert(modbus::map::Table::Holding, first, words);
    let points: Vec<usize> = (0..device.map().points.len()).collect();
    let (readings, errors) = modbus::decode(&device, &points, &image);
    // The charge of no car is the only value that there may not be.
    assert!(errors.len() <= 1, "{errors:?}");
    let value = |reading: &modbus::Reading| {
        let def = device.signal_def(reading.point).unwrap();
        let SignalRef::Catalogue(id) = def.signal else {
            panic!("{def:?}")
        };
        let signal = catalogue().get(id).unwrap();
        let raw = def
            .encoding
            .in_steps_of(reading.raw, signal.resolution)
            .unwrap();
        assert!(signal.admits(raw), "{} {raw}", signal.name);
        (signal.name.clone(), raw)
    };
    readings.iter().map(value).collect()
}

fn given(truth: &Truth, asset: &str, signal: &str) -> Vec<i64> {
    let column = truth
        .column(&ColumnId::new(asset, "modbus", signal))
        .unwrap();
    column.given.iter().map(|record| record.raw).collect()
}

#[tokio::test]
async fn what_tokio_modbus_reads_is_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let entries = [
        &depot.description().chargers[0],
        &depot.description().meters[0],
    ]
    .map(Clone::clone);
    let (mut charger, mut meter) = (client(&entries[0], 1).await, client(&entries[1], 1).await);
    let mut read: BTreeMap<(String, String), Vec<i64>> = BTreeMap::new();
    for _ in 0..20 {
        let answers = [
            (
                &entries[0],
                100,
                charger
                    .read_holding_registers(100, 22)
                    .await
                    .unwrap()
                    .unwrap(),
            ),
            (
                &entries[1],
                0,
                meter.read_holding_registers(0, 32).await.unwrap().unwrap(),
            ),
        ];
        for (entry, first, words) in answers {
            for (signal, raw) in decode(entry, first, words) {
                read.entry((entry.asset.clone(), signal))
                    .or_default()
                    .push(raw);
            }
        }
        tokio::time::sleep(Duration::from_millis(110)).await;
    }
    depot.stop().await.unwrap();
    let truth = Truth::read(&dir.path().join("truth.jsonl")).unwrap();
    assert_eq!(read.len(), 26);
    for ((asset, signal), raws) in &read {
        assert_eq!(given(&truth, asset, signal), *raws, "{asset} {signal}");
    }
    let varied = read
        .values()
        .filter(|raws| raws.iter().any(|raw| *raw != raws[0]));
    assert!(varied.count() > 18);
}

#[tokio::test]
async fn an_answer_shows_one_instant() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let entry = depot.description().meters[0].clone();
    let mut meter = client(&entry, 1).await;
    for _ in 0..30 {
        let words = meter.read_holding_registers(0, 32).await.unwrap().unwrap();
        let values = decode(&entry, 0, words);
        let phases = values["WphA"] + values["WphB"] + values["WphC"];
        assert!((phases - values["W"]).abs() <= 2, "{values:?}");
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    depot.stop().await.unwrap();
}

#[tokio::test]
async fn a_part_of_a_point_is_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let mut charger = client(&depot.description().chargers[0], 1).await;
    charger
        .read_holding_registers(105, 2)
        .await
        .unwrap()
        .unwrap();
    charger
        .read_holding_registers(102, 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(depot.summary().given, 0);
    charger
        .read_holding_registers(104, 2)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(depot.summary().given, 1);
    depot.stop().await.unwrap();
}

#[tokio::test]
async fn limits_are_written_and_held() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let mut charger = client(&depot.description().chargers[0], 1).await;
    charger
        .write_single_register(200, 100)
        .await
        .unwrap()
        .unwrap();
    charger
        .write_multiple_registers(201, &[70, 30])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        charger
            .read_holding_registers(200, 3)
            .await
            .unwrap()
            .unwrap(),
        [100, 70, 30]
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    {
        let world = depot.world();
        let settings = world.chargers[0].settings;
        assert_eq!((settings.fail_safe_current, settings.watchdog), (7.0, 30.0));
        assert!(
            (9.0..10.05).contains(&world.chargers[0].currents[0]),
            "{:?}",
            world.chargers[0].currents
        );
    }
    for (register, value, code) in [
        (200, 400, ExceptionCode::IllegalDataValue),
        (150, 1, ExceptionCode::IllegalDataAddress),
    ] {
        assert_eq!(
            charger
                .write_single_register(register, value)
                .await
                .unwrap(),
            Err(code)
        );
    }
    let mut meter = client(&depot.description().meters[0], 1).await;
    let refused = meter.write_single_register(0, 1).await.unwrap();
    assert_eq!(refused, Err(ExceptionCode::IllegalFunction));
    depot.stop().await.unwrap();
}

#[tokio::test]
async fn wrong_questions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let entry = &depot.description().chargers[0];
    let mut charger = client(entry, 1).await;
    let beyond = charger.read_holding_registers(100, 23).await.unwrap();
    assert_eq!(beyond, Err(ExceptionCode::IllegalDataAddress));
    let input = charger.read_input_registers(100, 1).await.unwrap();
    assert_eq!(input, Err(ExceptionCode::IllegalFunction));
    let mut stranger = client(entry, 2).await;
    let elsewhere = stranger.read_holding_registers(100, 1).await.unwrap();
    assert_eq!(elsewhere, Err(ExceptionCode::GatewayTargetDevice));
    assert_eq!(depot.summary().given, 0);
    depot.stop().await.unwrap();
}

/// A connection that sees every byte.
struct Raw(TcpStream);

impl Raw {
    async fn open(entry: &DeviceEntry) -> Self {
        Self(TcpStream::connect(address(entry)).await.unwrap())
    }

    async fn ask(&mut self, transaction: u8) {
        let request = [0, transaction, 0, 0, 0, 6, 1, 3, 0, 104, 0, 2];
        self.0.write_all(&request).await.unwrap();
    }

    /// What comes within this time; `None` when the connection is closed without another byte.
    async fn hear(&mut self, ms: u64) -> Option<Vec<u8>> {
        let mut bytes = vec![0; 512];
        let count = timeout(Duration::from_millis(ms), self.0.read(&mut bytes)).await;
        match count {
            Ok(count) => match count.unwrap_or(0) {
                0 => None,
                count => Some(bytes[..count].to_vec()),
            },
            Err(_) => Some(Vec::new()),
        }
    }
}

#[tokio::test]
async fn each_fault_on_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    depot.faults().set("patience-ms=200".parse().unwrap());
    let entry = depot.description().chargers[0].clone();
    let inject = |fault| depot.faults().inject("charger-01", fault, 1);
    let mut raw = Raw::open(&entry).await;

    inject(Fault::Exception);
    raw.ask(1).await;
    assert_eq!(
        raw.hear(1000).await.unwrap(),
        [0, 1, 0, 0, 0, 3, 1, 0x83, 4]
    );

    inject(Fault::WrongUnit);
    raw.ask(2).await;
    assert_eq!(
        raw.hear(1000).await.unwrap()[..9],
        [0, 2, 0, 0, 0, 7, 2, 3, 4]
    );

    inject(Fault::Late);
    raw.ask(3).await;
    assert!(raw.hear(250).await.unwrap().is_empty(), "it is late");
    raw.ask(4).await;
    let prompt = raw.hear(30).await.unwrap();
    assert_eq!(prompt[..2], [0, 4], "the next answer is not held up");
    let late = raw.hear(600).await.unwrap();
    assert_eq!((late.len(), &late[..2]), (13, &[0, 3][..]));

    inject(Fault::Duplicate);
    raw.ask(5).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let twice = raw.hear(1000).await.unwrap();
    assert_eq!((twice.len(), &twice[..13]), (26, &twice[13..]));

    inject(Fault::Drop);
    raw.ask(6).await;
    assert_eq!(raw.hear(1000).await, None);

    let (mut shorter, mut torn) = (0, 0);
    while shorter == 0 || torn == 0 {
        let mut raw = Raw::open(&entry).await;
        inject(Fault::Truncate);
        raw.ask(7).await;
        match &raw.hear(1000).await.unwrap()[..] {
            [0, 7, 0, 0, 0, 5, 1, 3, 2, _, _] => shorter += 1,
            [0, 7, 0, 0, 0, 7, 1, 3, 4, _, _, _] => {
                torn += 1;
                assert_eq!(raw.hear(1000).await, None);
            }
            other => panic!("{other:?}"),
        }
    }
    depot.stop().await.unwrap();

    let truth = Truth::read(&dir.path().join("truth.jsonl")).unwrap();
    let column = ColumnId::new("charger-01", "modbus", "Power.Active.Import");
    let column = truth.column(&column).unwrap();
    // Answers 4 and 5 were given, each once.
    assert_eq!(column.given.len(), 2);
    let reasons: Vec<_> = column
        .withheld
        .iter()
        .map(|r| r.withheld.as_deref().unwrap())
        .collect();
    assert_eq!(reasons[..4], ["exception", "wrong-unit", "late", "drop"]);
    assert!(reasons[4..].iter().all(|reason| *reason == "truncate"));
}

#[tokio::test]
async fn a_station_that_reboots_is_gone_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(&dir).await;
    let entry = depot.description().chargers[1].clone();
    let mut charger = client(&entry, 1).await;
    charger
        .write_single_register(200, 80)
        .await
        .unwrap()
        .unwrap();
    depot.reboot(1);
    assert!(charger.read_holding_registers(100, 22).await.is_err());
    let mut reborn = client(&entry, 1).await;
    assert!(reborn.read_holding_registers(100, 22).await.is_err());
    tokio::time::sleep(Duration::from_millis(4300)).await;
    let mut charger = client(&entry, 1).await;
    assert_eq!(
        charger
            .read_holding_registers(200, 1)
            .await
            .unwrap()
            .unwrap(),
        [320]
    );
    depot.stop().await.unwrap();
}
