//! Every charger that ships is limited: what pymodbus finds in the registers that were written is what was meant, by the function that the
//! map names, and is read back from where the map says.

use std::sync::Arc;

use modbus::{Bus, Device, Framing, SettingName, Timing, WriteError, map::Setting};
use serde_json::Value;
use shared_protocol::Decimal;
use tokio::net::TcpStream;

use crate::{
    described::{described, function_of, settings, shipped},
    numbers::Pick,
    pymodbus::{Pymodbus, on_tcp},
    support::Random,
};

/// The ends of what may be written, the value below them that has a meaning of its own, and thousandths between.
fn values(setting: &Setting, random: &mut Random) -> Vec<Decimal> {
    let (min, max) = (setting.min.to_f64(), setting.max.to_f64());
    let (least, most) = ((min * 1000.0) as u64, (max * 1000.0) as u64);
    let between = (0..20).map(|_| {
        let thousandths = least + random.below(most - least + 1);
        Decimal::new(thousandths as i64, -3).unwrap()
    });
    [setting.min, setting.max]
        .into_iter()
        .chain(setting.off)
        .chain(between)
        .collect()
}

#[tokio::test]
async fn every_charger_takes_its_settings_from_pymodbus_registers() {
    let mut maps = shipped();
    maps.retain(|(_, map)| map.control.is_some());
    for (_, map) in &mut maps {
        // Nobody has to be waited for here.
        map.defaults.pause_ms = 0;
    }
    let mut random = Random(7);
    let units: Vec<Value> = maps
        .iter()
        .enumerate()
        .map(|(at, (_, map))| described(map, at + 1, Pick::Any, 0, &mut random).unit)
        .collect();
    let Some(mut peer) = Pymodbus::start(vec![on_tcp("socket", &units)]).await else {
        return;
    };
    let port = peer.port(0);
    let mut bus = Bus::new(Framing::Tcp, Timing::tcp(), move || {
        TcpStream::connect(("127.0.0.1", port))
    });
    let mut written = 0;
    for (at, (model, map)) in maps.iter().enumerate() {
        let device = Arc::new(Device::new(map.clone()).unwrap());
        let unit = bus.add(at as u8 + 1, device, None).unwrap();
        for (name, setting) in settings(map) {
            for value in values(setting, &mut random) {
                let what = format!("{model}: {name:?} {value}");
                assert_eq!(bus.write(unit, name, value).await, Ok(()), "{what}");
                let told = peer.says().await;
                assert_eq!(told[1], at + 1, "{what}: {told}");
                assert_eq!(told[2], function_of(setting), "{what}: {told}");
                let address = setting.address - map.defaults.first_address;
                assert_eq!(told[3], address, "{what}: {told}");
                let step = setting.scale.to_f64();
                let found = told[4].as_f64().unwrap() * step;
                // Never more than was meant, and less than a step below.
                let short = value.to_f64() - found;
                assert!((-1e-9..step).contains(&short), "{what}: {told}");
                assert_eq!(bus.has(unit, name, value).await, Ok(true), "{what}");
                assert_eq!(bus.keep(unit, name, value).await, Ok(false), "{what}");
                written += 1;
            }
            refused(&mut bus, unit, name, setting).await;
        }
    }
    println!("{written} settings of {} chargers", maps.len());
}

/// What lies outside of the bounds is not sent: the next thing that the peer tells is the next write.
async fn refused<C, F>(bus: &mut Bus<C, TcpStream>, unit: usize, name: SettingName, of: &Setting)
where
    C: FnMut() -> F,
    F: Future<Output = std::io::Result<TcpStream>>,
{
    for beyond in [of.min.to_f64() - 0.5, of.max.to_f64() + 0.5] {
        let beyond = Decimal::new((beyond * 10.0) as i64, -1).unwrap();
        let result = bus.write(unit, name, beyond).await;
        assert!(matches!(result, Err(WriteError::Value(_))), "{result:?}");
    }
}
