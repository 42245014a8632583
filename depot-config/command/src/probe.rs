//! Which map fits a device: each that ships is tried on it, one after the other, read-only, and judged by what comes back.
//!
//! A map fits when the device answers all that it asks for, its identity and guards are right, and what was read can be true:
//! frequencies of grids, voltages that somebody uses, a power that is the sum of its phases. Two maps may fit, for makers take each
//! other's registers; then the display decides.

use std::{cmp::Reverse, error::Error, process::ExitCode, sync::Arc, time::Duration};

use depot_config::devices::DEVICES;
use modbus::{Bus, Cycle, Device, Framing, Timing};
use tokio::net::TcpStream;

/// How long one map may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The port of Modbus TCP.
const PORT: u16 = 502;

/// Where the device is.
#[derive(clap::Args)]
pub(crate) struct Where {
    /// Its address: HOST or HOST:PORT.
    host: String,
    /// Its unit number.
    #[arg(long, default_value_t = 1)]
    unit: u8,
    /// It is behind a gateway that passes on RTU frames as they are.
    #[arg(long)]
    rtu: bool,
}

/// What a map makes of a device.
#[derive(Debug, PartialEq)]
struct Verdict {
    map: &'static str,
    /// Values that were read and can be true, and points of the map.
    right: usize,
    points: usize,
    /// What does not fit.
    against: Vec<String>,
    /// Some values, for people.
    shown: Vec<String>,
}

impl Verdict {
    fn fits(&self) -> bool {
        self.right == self.points && self.against.is_empty()
    }
}

/// Tries all maps; prints those of which anything was read, best first. Status 1 when none fits.
pub(crate) fn probe(place: &Where) -> Result<ExitCode, Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut verdicts = runtime.block_on(all(place))?;
    verdicts.sort_by_key(|verdict| {
        let share = verdict.right * 1000 / verdict.points.max(1);
        (
            Reverse(verdict.fits()),
            Reverse(share),
            Reverse(verdict.points),
        )
    });
    for verdict in verdicts.iter().filter(|verdict| verdict.right > 0) {
        let word = if verdict.fits() {
            "fits"
        } else {
            "does not fit"
        };
        println!(
            "{word}: {}: {} of {} values ({})",
            verdict.map,
            verdict.right,
            verdict.points,
            verdict.shown.join(", ")
        );
        for against in verdict.against.iter().take(3) {
            println!("    {against}");
        }
    }
    let fits = verdicts.iter().any(Verdict::fits);
    if !fits {
        println!("no map that ships fits: depot-config/devices/README.md tells how one is written");
    }
    Ok(ExitCode::from(u8::from(!fits)))
}

async fn all(place: &Where) -> Result<Vec<Verdict>, Box<dyn Error>> {
    let address = if place.host.contains(':') {
        place.host.clone()
    } else {
        format!("{}:{PORT}", place.host)
    };
    // Nobody there is no verdict on maps.
    tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(&address))
        .await
        .map_err(|_| format!("{address}: nobody answers"))?
        .map_err(|error| format!("{address}: {error}"))?;
    let framing = if place.rtu {
        Framing::Rtu
    } else {
        Framing::Tcp
    };
    let mut verdicts = Vec::new();
    for name in DEVICES.names() {
        let Some(Ok(map)) = DEVICES.shipped(name) else {
            continue;
        };
        let Ok(device) = Device::new(map) else {
            continue;
        };
        let device = Arc::new(device);
        let to = address.clone();
        let mut bus = Bus::new(framing, Timing::tcp(), move || {
            TcpStream::connect(to.clone())
        });
        let nothing = |why: String| Verdict {
            map: name,
            right: 0,
            points: device.map().points.len(),
            against: vec![why],
            shown: Vec::new(),
        };
        // The map of a device that only has Ethernet cannot be used on every line.
        verdicts.push(match bus.add(place.unit, Arc::clone(&device), None) {
            Err(error) => nothing(error.to_string()),
            Ok(_) => match tokio::time::timeout(LIMIT, bus.next()).await {
                Ok(cycle) => judge(name, &device, &cycle),
                Err(_) => nothing("it takes too long".to_owned()),
            },
        });
    }
    Ok(verdicts)
}

fn judge(map: &'static str, device: &Device, cycle: &Cycle) -> Verdict {
    let mut against: Vec<String> = cycle.errors.iter().map(ToString::to_string).collect();
    let mut values = Vec::new();
    for reading in &cycle.readings {
        let signal = device.map().points[reading.point].signal.as_str();
        if let Some(def) = device.signal_def(reading.point) {
            values.push((signal, def.encoding.value(reading.raw)));
        }
    }
    let mut right = 0;
    for (signal, value) in &values {
        if can_be(signal, *value) {
            right += 1;
        } else {
            against.push(format!("{signal} cannot be {value}"));
        }
    }
    let of = |name: &str| values.iter().find(|(signal, _)| *signal == name);
    let phases = ["WphA", "WphB", "WphC"].map(|name| of(name).map(|(_, value)| *value));
    if let (Some((_, total)), [Some(a), Some(b), Some(c)]) = (of("W"), phases) {
        let apart = (a + b + c - total).abs();
        if apart > 50.0 + 0.05 * total.abs() {
            against.push(format!(
                "W is {total}, and its phases are {} together",
                a + b + c
            ));
        }
    }
    let telling = [
        "Hz",
        "PhVphA",
        "W",
        "Power.Active.Import",
        "Voltage.L1-N",
        "TotWhImp",
    ];
    let shown = telling.iter().filter_map(|name| of(name));
    Verdict {
        map,
        right,
        points: device.map().points.len(),
        against,
        shown: shown
            .map(|(name, value)| format!("{name} {value}"))
            .collect(),
    }
}

/// Whether a depot's device may say so. What stands still at 0 everywhere says nothing for a map, but a phase may be without
/// voltage and a car away.
fn can_be(signal: &str, value: f64) -> bool {
    let within = |least: f64, most: f64| (least..=most).contains(&value);
    match signal {
        "Hz" => within(45.0, 65.0),
        "PF" => within(-1.0, 1.0),
        _ if signal.starts_with("PhVph") || signal.starts_with("Voltage.") => {
            value == 0.0 || within(80.0, 300.0)
        }
        _ if signal.starts_with("PPVph") => value == 0.0 || within(140.0, 520.0),
        _ if signal.starts_with("Aph") || signal.starts_with("Current.") => within(-5000.0, 5000.0),
        "W" | "WphA" | "WphB" | "WphC" | "VA" | "VAR" | "Power.Active.Import" => {
            within(-2e6, 2e6) && (value == 0.0 || value.abs() > 1e-3)
        }
        _ if signal.starts_with("TotWh") || signal.starts_with("Energy.") => within(0.0, 1e13),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// A meter with these registers, input and holding alike; others are refused.
    async fn meter(registers: HashMap<u16, u16>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let registers = Arc::new(registers);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let registers = Arc::clone(&registers);
                tokio::spawn(async move {
                    let mut asked = [0; 12];
                    while stream.read_exact(&mut asked).await.is_ok() {
                        let start = u16::from_be_bytes([asked[8], asked[9]]);
                        let count = u16::from_be_bytes([asked[10], asked[11]]);
                        let at = |n| registers.get(&start.wrapping_add(n)).copied();
                        let found: Option<Vec<u16>> = (0..count).map(at).collect();
                        let body = match found {
                            Some(found) => {
                                let mut body = vec![asked[6], asked[7], (count * 2) as u8];
                                body.extend(found.iter().flat_map(|one| one.to_be_bytes()));
                                body
                            }
                            None => vec![asked[6], asked[7] | 0x80, 2],
                        };
                        let mut answer = asked[..4].to_vec();
                        answer.extend((body.len() as u16).to_be_bytes());
                        answer.extend(body);
                        if stream.write_all(&answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        address
    }

    fn put(registers: &mut HashMap<u16, u16>, address: u16, value: f32) {
        let bits = value.to_bits();
        registers.insert(address, (bits >> 16) as u16);
        registers.insert(address + 1, bits as u16);
    }

    #[tokio::test]
    async fn the_map_of_the_device_fits_and_no_stranger_s() {
        let mut registers: HashMap<u16, u16> = (0..80).map(|address| (address, 0)).collect();
        // An SDM120: one phase.
        for (address, value) in [
            (0x00, 127.3),
            (0x06, 10.0),
            (0x0C, 1250.0),
            (0x12, 1273.0),
            (0x18, -240.0),
            (0x1E, 0.98),
            (0x46, 60.0),
            (0x48, 1234.5),
            (0x4A, 0.25),
        ] {
            put(&mut registers, address, value);
        }
        put(&mut registers, 0x4C, 12.0);
        registers.extend([(0xFC00, 0x0012), (0xFC01, 0xD687)]);
        let place = Where {
            host: meter(registers).await,
            unit: 1,
            rtu: false,
        };
        let verdicts = all(&place).await.unwrap();
        let fit: Vec<&str> = verdicts
            .iter()
            .filter(|verdict| verdict.fits())
            .map(|verdict| verdict.map)
            .collect();
        // Its sister has the same registers.
        assert_eq!(fit, ["eastron-sdm120", "eastron-sdm230"]);
        let own = verdicts
            .iter()
            .find(|one| one.map == "eastron-sdm120")
            .unwrap();
        assert!(own.shown.contains(&"Hz 60".to_owned()), "{own:?}");
        assert_eq!(verdicts.len(), DEVICES.names().count());
    }

    #[test]
    fn values_that_cannot_be() {
        assert!(can_be("Hz", 60.0) && !can_be("Hz", 0.0));
        assert!(can_be("PhVphB", 0.0) && !can_be("PhVphB", 3.2));
        assert!(can_be("W", -7000.0) && !can_be("W", 1e-30));
        assert!(can_be("TotWhImp", 5e9) && !can_be("TotWhImp", -1.0));
    }
}
