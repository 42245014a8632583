//! Writing: confirmed, read back, and never to a unit that is not known to be in step.

use std::{sync::Arc, time::Duration};

use modbus::{AddError, Bus, Framing, SettingName, Timing, UnitError, WriteError, map::Table};
use tokio::{
    io::{AsyncWriteExt, duplex},
    time::sleep,
};

use crate::support::{
    Asked, Registers, device, opened_once, root, rtu_frame, rtu_request, serve_rtu,
};

fn charger() -> Arc<modbus::Device> {
    Arc::new(device(
        &std::fs::read_to_string(root().join("depot-config/devices/patio-virtual-charger.toml"))
            .unwrap(),
    ))
}

fn registers(serial: u16) -> Registers {
    let mut registers = Registers::default();
    registers.put(Table::Holding, 100, &[0; 22]);
    registers.put(Table::Holding, 103, &[serial]);
    registers.put(Table::Holding, 200, &[320, 60, 60]);
    registers
}

#[tokio::test(start_paused = true)]
async fn a_limit_is_written_and_read_back() {
    let (near, far) = duplex(1024);
    tokio::spawn(serve_rtu(far, registers(7)));
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(19_200), opened_once(near));
    let unit = bus.add(1, charger(), Some("7".to_owned())).unwrap();
    for (name, value) in [
        (SettingName::CurrentLimit, "16"),
        (SettingName::FailSafeCurrent, "6"),
        (SettingName::Watchdog, "60"),
    ] {
        assert_eq!(bus.write(unit, name, value.parse().unwrap()).await, Ok(()));
    }
    assert!(matches!(
        bus.write(unit, SettingName::CurrentLimit, "33".parse().unwrap())
            .await,
        Err(WriteError::Value(_))
    ));
    let missing = WriteError::NoSuchSetting {
        name: SettingName::Watchdog,
    };
    assert_eq!(
        bus.write(9, SettingName::Watchdog, "60".parse().unwrap())
            .await,
        Err(missing)
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_to_another_device() {
    let (near, mut far) = duplex(1024);
    let (sender, mut written) = tokio::sync::mpsc::channel(8);
    tokio::spawn(async move {
        let mut registers = registers(8);
        while let Some((unit, asked)) = rtu_request(&mut far).await {
            if let Asked::Write { address, .. } = asked {
                sender.send(address).await.unwrap();
            }
            let _ = far
                .write_all(&rtu_frame(unit, &registers.answer(&asked)))
                .await;
        }
    });
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(19_200), opened_once(near));
    let unit = bus.add(1, charger(), Some("7".to_owned())).unwrap();
    let error = bus
        .write(unit, SettingName::CurrentLimit, "16".parse().unwrap())
        .await;
    let identity = UnitError::Identity {
        expected: "7".to_owned(),
        found: "8".to_owned(),
    };
    assert_eq!(error, Err(WriteError::Unit(identity.clone())));
    assert!(written.try_recv().is_err());
    // Nor is anything read from it, however often it is asked.
    for _ in 0..5 {
        let cycle = bus.next().await;
        assert_eq!(
            (cycle.readings, cycle.errors, cycle.identity),
            (Vec::new(), vec![identity.clone()], None)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_charger_that_takes_something_else_is_found_out() {
    let (near, mut far) = duplex(1024);
    tokio::spawn(async move {
        let mut registers = registers(7);
        while let Some((unit, asked)) = rtu_request(&mut far).await {
            let answer = registers.answer(&asked);
            registers.put(Table::Holding, 200, &[100]);
            let _ = far.write_all(&rtu_frame(unit, &answer)).await;
        }
    });
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(19_200), opened_once(near));
    let unit = bus.add(1, charger(), None).unwrap();
    let result = bus
        .write(unit, SettingName::CurrentLimit, "16".parse().unwrap())
        .await;
    assert_eq!(
        result,
        Err(WriteError::NotKept {
            written: vec![160],
            found: vec![100]
        })
    );
}

/// An exchanged device is taken over after three cycles when no serial number was configured, and said so.
#[tokio::test(start_paused = true)]
async fn an_exchanged_device_is_reported_before_it_is_read() {
    let (near, mut far) = duplex(1024);
    tokio::spawn(async move {
        let mut units = registers(7);
        while let Some((unit, asked)) = rtu_request(&mut far).await {
            if asked_at_exchange(&asked, &mut units) {
                sleep(Duration::from_secs(5)).await;
                continue;
            }
            let _ = far.write_all(&rtu_frame(unit, &units.answer(&asked))).await;
        }
    });
    let mut bus = Bus::new(Framing::Rtu, Timing::serial(19_200), opened_once(near));
    bus.add(1, charger(), None).unwrap();
    let mut seen = Vec::new();
    for _ in 0..14 {
        let cycle = bus.next().await;
        let is_strange = |error: &UnitError| matches!(error, UnitError::Identity { .. });
        assert!(cycle.identity.is_some() || cycle.readings.is_empty());
        assert_eq!(
            cycle.identity.is_none(),
            cycle.errors.iter().any(is_strange)
        );
        seen.push(cycle.identity);
    }
    // Twice another, the third time it is taken over.
    let strange = seen.iter().filter(|identity| identity.is_none()).count();
    assert_eq!(strange, 2, "{seen:?}");
    seen.dedup();
    assert_eq!(seen, [Some("7".to_owned()), None, Some("8".to_owned())]);
}

/// After the fourth block the device is unplugged, and another one comes back.
fn asked_at_exchange(asked: &Asked, units: &mut Registers) -> bool {
    let Asked::Read { count: 22, .. } = asked else {
        return false;
    };
    let asked_before = units.0.entry((Table::Input, 0)).or_default();
    *asked_before += 1;
    if *asked_before == 4 {
        units.put(Table::Holding, 103, &[8]);
        return true;
    }
    false
}

#[test]
fn a_map_that_leaves_no_sync_read_is_refused_where_answers_are_not_numbered() {
    let text = "manufacturer = \"Test\"\nmodel = \"One\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [{ signal = \"W\", address = 1, type = \"i32\" }]\n";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let one = Arc::new(device(text));
        for (framing, refused) in [
            (Framing::Rtu, true),
            (Framing::TcpGateway, true),
            (Framing::Tcp, false),
        ] {
            let (near, _far) = duplex(64);
            let mut bus = Bus::new(framing, Timing::tcp(), opened_once(near));
            let added = bus.add(1, Arc::clone(&one), None);
            assert_eq!(
                matches!(added, Err(AddError::NoSync { .. })),
                refused,
                "{framing:?}"
            );
        }
        let (near, _far) = duplex(64);
        let mut bus = Bus::new(Framing::Rtu, Timing::tcp(), opened_once(near));
        assert_eq!(
            bus.add(0, charger(), None),
            Err(AddError::Address { found: 0 })
        );
        assert_eq!(bus.add(1, charger(), None), Ok(0));
        assert_eq!(
            bus.add(1, charger(), None),
            Err(AddError::Twice { address: 1 })
        );
    });
}
