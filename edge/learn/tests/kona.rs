//! Recorded buses of a real car: the counters and checksums that a DBC file names, against those that are found.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use isotp::{CanId, Frame};
use learn::{Recording, guards};
use vehicles::{
    dbc::{ByteOrder, Dbc, Signal},
    log::LogReader,
};

fn folder() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let data =
        std::env::var_os("PATIO_DATA").map_or_else(|| root.join("../shared/data"), PathBuf::from);
    let folder = data.join("kona");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no {}", folder.display());
    None
}

fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().flatten();
    let mut found: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|other| other == ending))
        .collect();
    found.sort();
    found
}

/// Each bus of a recording.
fn buses(log: &Path) -> BTreeMap<u16, Recording> {
    let text = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    let mut buses: BTreeMap<_, Recording> = BTreeMap::new();
    for frame in LogReader::new(text.lines()).flatten() {
        if let Ok(bytes) = Frame::classic(frame.id, &frame.data) {
            let bus = buses.entry(frame.bus).or_default();
            bus.add(frame.time_us, &bytes);
        }
    }
    buses
}

/// Bits of a message that the file names as one thing.
#[derive(Clone, Copy, Debug)]
struct Named {
    id: CanId,
    mask: u64,
}

/// The first eight bytes' bits of a signal.
fn mask(signal: &Signal) -> u64 {
    let first = usize::from(signal.start);
    (0..usize::from(signal.length))
        .map(|count| match signal.order {
            ByteOrder::Intel => first + count,
            // From the most significant bit on, which has its Intel number, to the right.
            ByteOrder::Motorola => {
                let place = first / 8 * 8 + 7 - first % 8 + count;
                place / 8 * 8 + 7 - place % 8
            }
        })
        .filter(|bit| *bit < 64)
        .fold(0, |mask, bit| mask | 1 << bit)
}

/// Whether people mean a counter or a checksum by this name.
fn protects(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    [
        "counter",
        "checksum",
        "chksum",
        "crc",
        "heartbeat",
        "togglebit",
    ]
    .iter()
    .any(|word| name.contains(word))
}

/// What the file names in this recording: counters and checksums that do not stand still in it, and everything else.
fn named(dbc: &Dbc, recording: &Recording) -> (Vec<Named>, Vec<Named>) {
    let (mut guards, mut others) = (Vec::new(), Vec::new());
    for message in &dbc.messages {
        for signal in &message.signals {
            let mask = mask(signal);
            let frames = recording.frames(message.id);
            let moves = frames
                .windows(2)
                .any(|pair| (pair[0].1 ^ pair[1].1) & mask != 0);
            let named = Named {
                id: message.id,
                mask,
            };
            if !protects(&signal.name) {
                others.push(named);
            } else if moves {
                guards.push(named);
            }
        }
    }
    (guards, others)
}

/// Bits of messages, as masks.
type Bits<'a> = Vec<&'a (CanId, u64)>;

#[test]
fn real_data_kona_counters_and_checksums() {
    let Some(folder) = folder() else { return };
    let dbcs: Vec<Dbc> = files(&folder, "dbc")
        .iter()
        .map(|path| Dbc::parse(&fs::read(path).unwrap()))
        .collect();
    let (mut expected, mut agree, mut told, mut wrong) = (0, 0, 0, 0);
    for (log, bus, recording) in files(&folder, "csv").iter().flat_map(|log| {
        let buses = buses(log).into_iter();
        buses.map(move |(bus, recording)| (log, bus, recording))
    }) {
        // The file that describes this bus is the one that knows most of its identifiers, and at least half of them.
        let known = |dbc: &&Dbc| {
            let knows = |id: &CanId| dbc.messages.iter().any(|message| message.id == *id);
            recording.ids().filter(knows).count()
        };
        let Some(dbc) = dbcs.iter().max_by_key(known) else {
            continue;
        };
        if known(&dbc) * 2 < recording.ids().count() {
            continue;
        }
        let (named, others) = named(dbc, &recording);
        let found = guards(&recording);
        let counters = found.counters.iter();
        let counters = counters.map(|counter| (counter.id, counter.window.mask()));
        let checksums = found.checksums.iter().map(|sum| (sum.id, sum.mask()));
        let found: Vec<(CanId, u64)> = counters.chain(checksums).collect();
        let bits = |named: &Named| {
            let same = found.iter().filter(|(id, _)| *id == named.id);
            same.fold(0, |all, (_, mask)| all | mask) & named.mask
        };
        let there = named
            .iter()
            .filter(|named| bits(named) == named.mask)
            .count();
        // What the file names nothing at cannot be judged.
        let touches = |named: &[Named], id: CanId, mask: u64| {
            named.iter().any(|one| one.id == id && one.mask & mask != 0)
        };
        let judged = found
            .iter()
            .filter(|(id, mask)| touches(&named, *id, *mask) || touches(&others, *id, *mask));
        let (judged, false_ones): (Bits<'_>, Bits<'_>) =
            judged.partition(|(id, mask)| touches(&named, *id, *mask));
        let missing = named.iter().filter(|named| bits(named) != named.mask);
        println!(
            "{} bus {bus}: {there} of {} found; missing {:x?}; false {false_ones:x?}",
            log.display(),
            named.len(),
            missing
                .map(|one| (one.id.to_string(), one.mask))
                .collect::<Vec<_>>()
        );
        expected += named.len();
        agree += there;
        told += judged.len() + false_ones.len();
        wrong += false_ones.len();
    }
    if expected == 0 {
        eprintln!(
            "skipped: no recording in {} has a DBC file",
            folder.display()
        );
        return;
    }
    println!("counters and checksums: {agree} of {expected} agree; {wrong} of {told} are false");
    assert!(agree * 100 >= expected * 80, "{agree} of {expected}");
    assert!(wrong * 100 <= told * 5, "{wrong} of {told} are false");
}
