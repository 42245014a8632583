//! The ISO-TP engine against the kernel's (module can-isotp, by can-utils' isotpsend and isotprecv).

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use edge::sources::can::Bus;
use isotp::{Address, CanId, Config, Link, Output, StMin};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{in_guest, open};

/// Exchanges in each direction; a process of the peer's is started for each.
const EXCHANGES: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(10);

/// How the two ends speak in one exchange.
#[derive(Clone, Copy, Debug)]
struct Manner {
    extended: bool,
    padding: bool,
    block_size: u8,
    st_min: u8,
    length: usize,
}

impl Manner {
    fn draw(random: &mut StdRng) -> Self {
        let length = match random.random_range(0..10) {
            0..4 => random.random_range(1..8),
            4..8 => random.random_range(8..200),
            8 => random.random_range(200..1000),
            _ => 4095,
        };
        Self {
            extended: random.random(),
            padding: random.random(),
            block_size: [0, 1, 2, 8, 15][random.random_range(0..5)],
            // Milliseconds, or 100 to 900 microseconds: long gaps only where few of them come.
            st_min: if length > 200 {
                0xf1
            } else {
                [0, 1, 5, 0xf1, 0xf9][random.random_range(0..5)]
            },
            length,
        }
    }

    fn ids(self) -> (CanId, CanId) {
        let id = |raw: u32| {
            if self.extended {
                CanId::extended(0x18da_0000 | raw).unwrap()
            } else {
                CanId::standard(raw & 0x7ff).unwrap()
            }
        };
        (id(0x7e0), id(0x7e8))
    }

    /// Our end: sends to the first identifier, hears the second.
    fn link(self) -> Link {
        let (tx, rx) = self.ids();
        let mut config = Config::new(Address::normal(tx, rx));
        if self.padding {
            config = config.padded(0xaa);
        }
        config.confirm = true;
        // An emulated machine on a busy one stands still for seconds: that is no fault of either end.
        config.timeouts = isotp::Timeouts {
            n_a: PATIENCE,
            n_bs: PATIENCE,
            n_cr: PATIENCE,
        };
        config.block_size = self.block_size;
        config.st_min = StMin(self.st_min);
        Link::new(config).unwrap()
    }

    /// The options of the kernel's end.
    fn options(self, program: &str) -> Vec<String> {
        let (tx, rx) = self.ids();
        let hex = |id: CanId| {
            if id.is_extended() {
                format!("{:08x}", id.raw())
            } else {
                format!("{:03x}", id.raw())
            }
        };
        // The peer sends to what we hear.
        let mut options = vec!["-s".to_owned(), hex(rx), "-d".to_owned(), hex(tx)];
        if self.padding {
            options.extend(["-p", "55:55"].map(str::to_owned));
        }
        if program == "isotprecv" {
            options.extend(["-b".to_owned(), format!("{:x}", self.block_size)]);
            options.extend(["-m".to_owned(), format!("{:02x}", self.st_min)]);
        }
        options.push("vcan0".to_owned());
        options
    }
}

/// What became of an exchange.
struct Ending {
    last: Output,
    /// What was on the bus, and when.
    frames: Vec<String>,
}

impl Ending {
    /// What failed, with the last frames.
    fn why(&self, peer: &str) -> String {
        let last = &self.frames[self.frames.len().saturating_sub(8)..];
        format!(
            "{:?}, the kernel's end: {peer}, on the bus: {last:#?}",
            self.last
        )
    }
}

/// Runs the link on the bus until it has sent, received or failed.
async fn run(link: &mut Link, bus: &mut Bus) -> Ending {
    let began = Instant::now();
    let mut frames = Vec::new();
    loop {
        let now = began.elapsed();
        assert!(now < Duration::from_secs(30), "the exchange takes for ever");
        while let Some(output) = link.poll(began.elapsed()) {
            match &output {
                Output::Transmit(frame) => {
                    frames.push(format!("{:?} sent {frame:?}", began.elapsed()));
                    bus.send(frame).await.unwrap();
                    link.transmitted(began.elapsed());
                }
                Output::ReceptionStarted { .. } => {}
                _ => {
                    return Ending {
                        last: output,
                        frames,
                    };
                }
            }
        }
        let wait = link
            .next_deadline()
            .unwrap_or(Duration::from_secs(1))
            .saturating_sub(began.elapsed());
        if let Ok(received) = tokio::time::timeout(wait, bus.receive()).await {
            let frame = received.unwrap().frame;
            frames.push(format!("{:?} received {frame:?}", began.elapsed()));
            link.on_frame(began.elapsed(), &frame);
        }
    }
}

fn hex(payload: &[u8]) -> String {
    payload.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X} ");
        text
    })
}

fn payload(random: &mut StdRng, length: usize) -> Vec<u8> {
    (0..length).map(|_| random.random()).collect()
}

fn seeded() -> StdRng {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

#[test]
fn the_kernel_receives_what_we_send() {
    in_guest(
        "isotp_peer::the_kernel_receives_what_we_send",
        &["isotprecv"],
        || async {
            let mut random = seeded();
            for _ in 0..EXCHANGES {
                let manner = Manner::draw(&mut random);
                let sent = payload(&mut random, manner.length);
                let mut bus = open("vcan0").await.unwrap();
                let mut peer = Command::new("/bin/isotprecv")
                    .args(manner.options("isotprecv"))
                    .stdout(Stdio::piped())
                    .spawn()
                    .unwrap();
                listening(&peer).await;
                let mut link = manner.link();
                link.send(Duration::ZERO, sent.clone()).unwrap();
                let ending = run(&mut link, &mut bus).await;
                let Output::Sent = ending.last else {
                    panic!("{manner:?}: {}", ending.why(&end(&mut peer)));
                };
                let mut text = String::new();
                let mut stdout = peer.stdout.take().unwrap();
                stdout.read_to_string(&mut text).unwrap();
                assert!(peer.wait().unwrap().success());
                assert_eq!(text.trim(), hex(&sent).trim(), "{manner:?}");
            }
            println!(
                "{EXCHANGES} of {EXCHANGES} messages were received by the kernel as we sent them"
            );
        },
    );
}

#[test]
fn we_receive_what_the_kernel_sends() {
    in_guest(
        "isotp_peer::we_receive_what_the_kernel_sends",
        &["isotpsend"],
        || async {
            let mut random = seeded();
            for _ in 0..EXCHANGES {
                let manner = Manner::draw(&mut random);
                let sent = payload(&mut random, manner.length);
                let mut bus = open("vcan0").await.unwrap();
                let mut peer = Command::new("/bin/isotpsend")
                    .args(manner.options("isotpsend"))
                    .stdin(Stdio::piped())
                    .spawn()
                    .unwrap();
                let mut stdin = peer.stdin.take().unwrap();
                stdin.write_all(hex(&sent).as_bytes()).unwrap();
                drop(stdin);
                let mut link = manner.link();
                let ending = run(&mut link, &mut bus).await;
                let Output::Received { payload, .. } = &ending.last else {
                    panic!("{manner:?}: {}", ending.why(&end(&mut peer)));
                };
                assert!(peer.wait().unwrap().success());
                assert_eq!(hex(payload), hex(&sent), "{manner:?}");
            }
            println!(
                "{EXCHANGES} of {EXCHANGES} messages of the kernel's were received as it sent them"
            );
        },
    );
}

/// Ends the kernel's end of an exchange that failed, and says whether it had ended by itself.
fn end(peer: &mut Child) -> String {
    match peer.try_wait().unwrap() {
        Some(status) => status.to_string(),
        None => {
            peer.kill().unwrap();
            peer.wait().unwrap();
            "was waiting".to_owned()
        }
    }
}

/// Waits until the kernel's end can answer: its list of receivers names the module, and the program is in `read`. The
/// list alone is not enough: `isotp_bind` of net/can/isotp.c registers the receiver before it notes the interface, and
/// a first frame that comes in between is taken and never answered.
async fn listening(peer: &Child) {
    const READ: &str = "0";
    let lists = [
        "rcvlist_all",
        "rcvlist_fil",
        "rcvlist_inv",
        "rcvlist_sff",
        "rcvlist_eff",
    ];
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        let registered = lists.iter().any(|list| {
            std::fs::read_to_string(format!("/proc/net/can/{list}"))
                .is_ok_and(|text| text.contains("isotp"))
        });
        // The number of the system call that it waits in (proc(5)), or "running".
        let reads = std::fs::read_to_string(format!("/proc/{}/syscall", peer.id()))
            .is_ok_and(|text| text.split(' ').next() == Some(READ));
        if registered && reads {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the kernel's end does not listen");
}
