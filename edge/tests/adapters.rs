//! Adapters on a line of text: an ELM327 that is not ours over a pseudo-terminal, one over TCP that comes and goes, SLCAN.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::Read as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use edge::{
    clock::Clock,
    sources::{
        can::{Bus, Heard},
        dongles::Dongles,
    },
    supervise::Beat,
};
use isotp::{
    Frame,
    uds::{Answer, Group, GroupOutput, Request, Timing},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const PATIENCE: Duration = Duration::from_secs(60);

async fn open(interface: &str, clock: &Arc<Clock>) -> Bus {
    Bus::open(&interface.parse().unwrap(), clock.clone())
        .await
        .unwrap()
}

/// Asks all ECUs; whoever answers first. Nothing is asked before the bus has said something, as the gateway does.
async fn ask(bus: &mut Bus, clock: &Clock, request: Request) -> Answer {
    let mut group = Group::obd_11(Timing {
        p2: Duration::from_secs(20),
        ..Timing::default()
    });
    let began = Instant::now();
    group.request(request.clone()).unwrap();
    loop {
        assert!(began.elapsed() < PATIENCE, "no answer to {request:?}");
        let now = Duration::from_micros(clock.now_us() as u64);
        while let Some(output) = group.poll(now) {
            match output {
                GroupOutput::Transmit(frame) => bus.send(&frame).await.unwrap(),
                GroupOutput::Answered {
                    result: Ok(answer), ..
                } => return answer,
                GroupOutput::Answered {
                    result: Err(error), ..
                } => panic!("{request:?}: {error}"),
                GroupOutput::Stray { .. } => {}
                GroupOutput::Finished => group.request(request.clone()).unwrap(),
            }
        }
        let heard = tokio::time::timeout(Duration::from_millis(100), bus.hear()).await;
        if let Ok(heard) = heard
            && let Heard::Frame(received) = heard.unwrap()
        {
            group.on_frame(
                Duration::from_micros(received.time_us as u64),
                &received.frame,
            );
        }
    }
}

async fn voltage(bus: &mut Bus) -> u32 {
    tokio::time::timeout(PATIENCE, async {
        loop {
            if let Heard::Voltage { millivolts, .. } = bus.hear().await.unwrap() {
                return millivolts;
            }
        }
    })
    .await
    .expect("a voltage")
}

/// The emulator and the device that it made; it ends with this.
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_adapter_that_is_not_ours() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let python = root.join(".patio/venv/bin/python");
    let probe = Command::new(&python).args(["-c", "import elm"]).output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: no ELM327-emulator (scripts/python-peers installs it)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let said = folder.path().join("device");
    let child = Command::new(&python)
        .args(["-m", "elm", "-s", "car", "-b"])
        .arg(&said)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _emulator = Emulator(child);
    let began = Instant::now();
    let device = loop {
        let text = std::fs::read_to_string(&said).unwrap_or_default();
        if let Some(device) = text
            .split_whitespace()
            .find(|word| word.starts_with("/dev/"))
        {
            break device.to_owned();
        }
        assert!(
            began.elapsed() < PATIENCE,
            "the emulator made no device: {text}"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let clock = Arc::new(Clock::start().unwrap());
    let mut bus = open(&format!("elm327:{device}"), &clock).await;
    let millivolts = voltage(&mut bus).await;
    assert!((5_000..20_000).contains(&millivolts), "{millivolts} mV");
    // A single frame, and one in several frames.
    let supported = ask(&mut bus, &clock, Request::pid(0)).await;
    assert!(supported.supported().unwrap().iter().count() > 0);
    let speed = ask(&mut bus, &clock, Request::pid(0x0D)).await;
    assert_eq!(speed.pids().unwrap()[0].0, 0x0D);
    let vin = ask(&mut bus, &clock, Request::decode(&[9, 2]).unwrap()).await;
    assert_eq!(vin.vin().unwrap().to_string().len(), 17);
}

/// An ELM327 on the network, as far as one request needs it.
async fn serve(listener: TcpListener, answers_before_it_leaves: usize) -> TcpListener {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut text = Vec::new();
    let mut answered = 0;
    while answered < answers_before_it_leaves {
        let Ok(byte) = stream.read_u8().await else {
            break;
        };
        if byte != b'\r' {
            text.push(byte);
            continue;
        }
        let command = String::from_utf8(std::mem::take(&mut text)).unwrap();
        let said = match command.as_str() {
            "ATZ" | "ATI" => "ELM327 v1.5",
            "ATRV" => "14.1V",
            "010D" => "7E8 03 41 0D 32",
            _ if command.starts_with("AT") => "OK",
            _ => "NO DATA",
        };
        answered += usize::from(command == "010D");
        let line = format!("{said}\r\r>");
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    listener
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_on_the_network_comes_and_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let interface = format!("elm327://{}", listener.local_addr().unwrap());
    let clock = Arc::new(Clock::start().unwrap());
    let mut listener = Some(listener);
    for _ in 0..2 {
        let adapter = tokio::spawn(serve(listener.take().unwrap(), 1));
        let mut bus = open(&interface, &clock).await;
        assert!(!bus.hears_all());
        let speed = ask(&mut bus, &clock, Request::pid(0x0D)).await;
        assert_eq!(speed.pids().unwrap(), [(0x0D, &[0x32][..])]);
        listener = Some(adapter.await.unwrap());
        // It has gone, and that is told.
        let gone = tokio::time::timeout(PATIENCE, async { while bus.hear().await.is_ok() {} });
        gone.await.expect("the end of the adapter is told");
    }
}

/// A dongle in a car with this VIN, at this voltage, until it is dropped; how often the car was asked.
fn dongle(
    listener: TcpListener,
    vin: &'static str,
    volts: &'static str,
) -> (tokio::task::JoinHandle<()>, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = Vec::new();
            while let Ok(byte) = stream.read_u8().await {
                if byte != b'\r' {
                    text.push(byte);
                    continue;
                }
                let command = String::from_utf8(std::mem::take(&mut text)).unwrap();
                let said = match command.as_str() {
                    "ATZ" | "ATI" => "ELM327 v1.5".to_owned(),
                    "ATRV" => volts.to_owned(),
                    _ if command.starts_with("AT") => "OK".to_owned(),
                    _ => {
                        counted.fetch_add(1, Ordering::Relaxed);
                        let begins = ["7E81014490201", "7E821", "7E822"];
                        let parts = [&vin[..3], &vin[3..10], &vin[10..]];
                        let mut lines = String::new();
                        for (begin, part) in begins.into_iter().zip(parts) {
                            lines += begin;
                            lines += &hex::encode_upper(part);
                            lines.push('\r');
                        }
                        lines
                    }
                };
                if stream
                    .write_all(format!("{said}\r\r>").as_bytes())
                    .await
                    .is_err()
                {
                    break;
                }
            }
        }
    });
    (task, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dongles_are_found_by_their_cars() {
    const VINS: [&str; 3] = [
        "1M8GDM9AXKP042788",
        "LB37624S0JL000001",
        "3ZZPAT1E7TM000009",
    ];
    // Addresses of this machine alone, the same port at each.
    let first = TcpListener::bind("127.77.1.2:0").await.unwrap();
    let port = first.local_addr().unwrap().port();
    let at = async |host: u8| {
        let began = Instant::now();
        loop {
            match TcpListener::bind(format!("127.77.1.{host}:{port}")).await {
                Ok(listener) => return listener,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (one, _) = dongle(first, VINS[0], "14.1V");
    let (_two, _) = dongle(at(5).await, VINS[1], "13.6V");
    // This one sleeps: nobody asks it for more than the voltage.
    let (_three, asked) = dongle(at(6).await, VINS[2], "12.5V");
    let clock = Arc::new(Clock::start().unwrap());
    let dongles = Arc::new(Dongles::new(
        "127.77.1.0/29".parse().unwrap(),
        port,
        500_000,
    ));
    let searching = dongles.clone();
    tokio::spawn(async move { searching.search(clock, &Beat::free()).await });
    let find = |number: usize| {
        let dongles = dongles.clone();
        tokio::time::timeout(PATIENCE, dongles.find(VINS[number].parse().unwrap()))
    };
    let (first, second) = tokio::join!(find(0), find(1));
    let (first, second) = (first.expect("the first"), second.expect("the second"));
    let place = |host: u8| format!("elm327://127.77.1.{host}:{port}?bitrate=500000");
    assert_eq!(first.interface().to_string(), place(2));
    assert_eq!(second.interface().to_string(), place(5));
    // The first one goes away and comes back elsewhere; the second one stays whose it is.
    one.abort();
    drop(first);
    let _again = dongle(at(3).await, VINS[0], "14.1V");
    let again = find(0).await.expect("the first again");
    assert_eq!(again.interface().to_string(), place(3));
    let sleeping = tokio::time::timeout(
        Duration::from_secs(2),
        dongles.clone().find(VINS[2].parse().unwrap()),
    );
    assert!(sleeping.await.is_err());
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}

#[test]
fn frames_over_slcan_both_ways() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let interface = format!("slcan://{}", listener.local_addr().unwrap());
    let adapter = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut said = String::new();
        // As far as the first frame that is sent.
        while !said.ends_with("t7DF8020D000000000000\r") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            said.push(char::from(byte[0]));
            if said.ends_with("O\r") && said.len() < 20 {
                use std::io::Write as _;
                // Answers to commands, a frame, two that ran together, one that is cut by a refusal, a frame.
                stream
                    .write_all(b"\r\r\x07\rt1232AABB\rt1232AAt1232AABB\rt123\x07T18DAF1101FF\r")
                    .unwrap();
            }
        }
        said
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clock = Arc::new(Clock::start().unwrap());
        let mut bus = open(&interface, &clock).await;
        let first = bus.receive().await.unwrap().frame;
        let second = bus.receive().await.unwrap().frame;
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("123#AABB".into(), "18DAF110#FF".into())
        );
        assert_eq!(bus.dropped(), 1);
        let frame = Frame::classic("7DF".parse().unwrap(), &[2, 0x0D, 0, 0, 0, 0, 0, 0]).unwrap();
        bus.send(&frame).await.unwrap();
    });
    let said = adapter.join().unwrap();
    assert!(said.contains("C\rS6\rZ0\rO\r"), "{said:?}");
}
