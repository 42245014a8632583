//! The ISO-TP engine against the kernel's (module can-isotp, by can-utils' isotpsend and isotprecv).

use std::{
    fmt::Write as _,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
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

/// Runs the link on the bus until it is done.
async fn run(link: &mut Link, bus: &mut Bus, mut done: impl FnMut(Output) -> bool) {
    let began = Instant::now();
    loop {
        let now = began.elapsed();
        assert!(now < Duration::from_secs(30), "the exchange takes for ever");
        while let Some(output) = link.poll(began.elapsed()) {
            if let Output::Transmit(frame) = &output {
                bus.send(frame).await.unwrap();
                link.transmitted(began.elapsed());
            }
            if done(output) {
                return;
            }
        }
        let wait = link
            .next_deadline()
            .unwrap_or(Duration::from_secs(1))
            .saturating_sub(began.elapsed());
        if let Ok(received) = tokio::time::timeout(wait, bus.receive()).await {
            link.on_frame(began.elapsed(), &received.unwrap().frame);
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
                listening().await;
                let mut link = manner.link();
                link.send(Duration::ZERO, sent.clone()).unwrap();
                run(&mut link, &mut bus, |output| match output {
                    Output::Sent => true,
                    Output::Transmit(_) => false,
                    other => panic!("{manner:?}: {other:?}"),
                })
                .await;
                let mut text = String::new();
                peer.stdout
                    .take()
                    .unwrap()
                    .read_to_string(&mut text)
                    .unwrap();
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
                peer.stdin
                    .take()
                    .unwrap()
                    .write_all(hex(&sent).as_bytes())
                    .unwrap();
                let mut link = manner.link();
                let mut received = None;
                run(&mut link, &mut bus, |output| match output {
                    Output::Received { payload, .. } => {
                        received = Some(payload);
                        true
                    }
                    Output::Transmit(_) | Output::ReceptionStarted { .. } => false,
                    other => panic!("{manner:?}: {other:?}"),
                })
                .await;
                assert!(peer.wait().unwrap().success());
                assert_eq!(hex(&received.unwrap()), hex(&sent), "{manner:?}");
            }
            println!(
                "{EXCHANGES} of {EXCHANGES} messages of the kernel's were received as it sent them"
            );
        },
    );
}

/// Waits until an ISO-TP socket listens: the kernel's list of receivers names its module.
async fn listening() {
    for _ in 0..1000 {
        let lists = [
            "rcvlist_all",
            "rcvlist_fil",
            "rcvlist_inv",
            "rcvlist_sff",
            "rcvlist_eff",
        ];
        let listens = lists.iter().any(|list| {
            std::fs::read_to_string(format!("/proc/net/can/{list}"))
                .is_ok_and(|text| text.contains("isotp"))
        });
        if listens {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the kernel's end does not listen");
}
