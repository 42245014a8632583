//! What the tests share: real data, seeds, and the device's side of the protocol.

use std::{
    collections::BTreeMap,
    env,
    future::{Ready, ready},
    io,
    path::{Path, PathBuf},
};

use modbus::{Device, DeviceMap, codec::crc16, map::Table};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A folder of real data; when it is absent says so and gives nothing.
pub(crate) fn data(folder: &str) -> Option<PathBuf> {
    let base =
        env::var_os("PATIO_DATA").map_or_else(|| root().join("../shared/data"), PathBuf::from);
    let path = base.join(folder);
    if path.is_dir() {
        return Some(path);
    }
    eprintln!("skipped: no {}", path.display());
    None
}

/// All files below a folder whose name ends so, in order.
pub(crate) fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(end) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn json(path: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap())
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A device from the text of its map.
pub(crate) fn device(text: &str) -> Device {
    let map: DeviceMap = toml::from_str(text).unwrap();
    Device::new(map).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A line that can be opened once: a second try would mean that the bus gave it up.
pub(crate) fn opened_once(line: DuplexStream) -> impl FnMut() -> Ready<io::Result<DuplexStream>> {
    let mut line = Some(line);
    move || ready(line.take().ok_or_else(|| io::Error::other("opened before")))
}

/// Seconds that a fault test may take.
pub(crate) fn seconds() -> u64 {
    env::var("PATIO_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10)
}

/// `SplitMix64`: the same numbers for the same seed, everywhere.
#[derive(Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A request as a device reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Read {
        table: Table,
        address: u16,
        count: u16,
    },
    Write {
        address: u16,
        words: Vec<u16>,
        single: bool,
    },
}

/// Reads one RTU request: unit and what it asks for; `None` at the end of the line.
pub(crate) async fn rtu_request(line: &mut (impl AsyncRead + Unpin)) -> Option<(u8, Asked)> {
    let mut frame = vec![0; 8];
    line.read_exact(&mut frame).await.ok()?;
    if frame[1] == 16 {
        let mut rest = vec![0; usize::from(frame[6]) + 1];
        line.read_exact(&mut rest).await.ok()?;
        frame.extend(rest);
    }
    let (body, crc) = frame.split_at(frame.len() - 2);
    assert_eq!(
        crc16(body).to_le_bytes(),
        crc,
        "the client's checksum: {frame:x?}"
    );
    Some((body[0], asked(&body[1..])))
}

/// The request of a PDU.
pub(crate) fn asked(pdu: &[u8]) -> Asked {
    let number = |at: usize| u16::from_be_bytes([pdu[at], pdu[at + 1]]);
    let table = match pdu[0] {
        1 => Table::Coil,
        2 => Table::Discrete,
        3 => Table::Holding,
        4 => Table::Input,
        6 => {
            return Asked::Write {
                address: number(1),
                words: vec![number(3)],
                single: true,
            };
        }
        16 => {
            let words = pdu[6..]
                .chunks_exact(2)
                .map(|b| u16::from_be_bytes([b[0], b[1]]))
                .collect();
            return Asked::Write {
                address: number(1),
                words,
                single: false,
            };
        }
        other => panic!("function {other}"),
    };
    Asked::Read {
        table,
        address: number(1),
        count: number(3),
    }
}

/// The PDU that answers a read of these words (coils and discrete inputs as 0 and 1).
pub(crate) fn read_answer(table: Table, words: &[u16]) -> Vec<u8> {
    let function = match table {
        Table::Coil => 1,
        Table::Discrete => 2,
        Table::Holding => 3,
        Table::Input => 4,
    };
    let data: Vec<u8> = if table.is_bits() {
        let byte = |bits: &[u16]| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (at, bit)| byte | (*bit as u8) << at)
        };
        words.chunks(8).map(byte).collect()
    } else {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    };
    [&[function, data.len() as u8], &data[..]].concat()
}

/// The PDU that answers a write.
pub(crate) fn write_answer(address: u16, words: &[u16], single: bool) -> Vec<u8> {
    let (function, second) = if single {
        (6, words[0])
    } else {
        (16, words.len() as u16)
    };
    [
        &[function][..],
        &address.to_be_bytes(),
        &second.to_be_bytes(),
    ]
    .concat()
}

pub(crate) fn rtu_frame(unit: u8, pdu: &[u8]) -> Vec<u8> {
    let mut frame = [&[unit], pdu].concat();
    let crc = crc16(&frame);
    frame.extend(crc.to_le_bytes());
    frame
}

/// Registers of a device that answers truly; what is not there is answered with exception 2.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers(pub(crate) BTreeMap<(Table, u16), u16>);

impl Registers {
    pub(crate) fn put(&mut self, table: Table, address: u16, words: &[u16]) {
        self.0.extend(
            words
                .iter()
                .enumerate()
                .map(|(at, word)| ((table, address + at as u16), *word)),
        );
    }

    pub(crate) fn answer(&mut self, asked: &Asked) -> Vec<u8> {
        match asked {
            Asked::Read {
                table,
                address,
                count,
            } => {
                let words: Option<Vec<u16>> = (0..*count)
                    .map(|at| self.0.get(&(*table, address + at)).copied())
                    .collect();
                words.map_or_else(
                    || vec![0x80 | read_answer(*table, &[])[0], 2],
                    |words| read_answer(*table, &words),
                )
            }
            Asked::Write {
                address,
                words,
                single,
            } => {
                self.put(Table::Holding, *address, words);
                write_answer(*address, words, *single)
            }
        }
    }
}

/// Answers every unit truly and at once, over RTU.
pub(crate) async fn serve_rtu(mut line: DuplexStream, mut registers: Registers) {
    while let Some((unit, asked)) = rtu_request(&mut line).await {
        if line
            .write_all(&rtu_frame(unit, &registers.answer(&asked)))
            .await
            .is_err()
        {
            return;
        }
    }
}
