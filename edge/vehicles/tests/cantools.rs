//! Random messages both ways against `cantools` (PyPI): what it decodes we decode, what it encodes we decode.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use isotp::CanId;
use serde_json::{Value, json};
use vehicles::dbc::{Dbc, Decoder};

const MESSAGES: u32 = 300;
const FRAMES: usize = 10;

/// SplitMix64: the same numbers for the same seed.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        value ^ value >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// The bits that a signal takes, as Intel numbers; `None` if it does not fit.
fn bits(start: usize, length: usize, motorola: bool, most: usize) -> Option<Vec<usize>> {
    let first = start / 8 * 8 + 7 - start % 8;
    let all: Vec<usize> = (0..length)
        .map(|count| {
            if motorola {
                let place = first + count;
                place / 8 * 8 + 7 - place % 8
            } else {
                start + count
            }
        })
        .collect();
    all.iter().all(|bit| *bit < most).then_some(all)
}

/// A signal somewhere in the bits that are free, `" SG_ …"`, and whether it is a float.
fn signal(
    chance: &mut Chance,
    name: &str,
    indicator: &str,
    taken: &mut [bool],
) -> Option<(String, bool)> {
    let float = chance.below(8) == 0;
    let length = if float {
        32
    } else {
        {
            let most = chance.one(&[8, 16, 64]);
            1 + chance.below(most)
        }
    };
    let motorola = chance.below(2) == 0;
    for _ in 0..50 {
        let start = chance.below(taken.len());
        let Some(bits) = bits(start, length, motorola, taken.len()) else {
            continue;
        };
        if bits.iter().any(|bit| taken[*bit]) {
            continue;
        }
        for &bit in &bits {
            taken[bit] = true;
        }
        let order = u8::from(!motorola);
        let sign = if float || chance.below(2) == 0 {
            '-'
        } else {
            '+'
        };
        let factor = if float {
            "1"
        } else {
            chance.one(&["1", "0.5", "0.1", "0.01", "-0.25", "2", "0.001"])
        };
        let offset = if float {
            "0"
        } else {
            chance.one(&["0", "-40", "-100.5", "1000"])
        };
        let text = format!(
            " SG_ {name}{indicator} : {start}|{length}@{order}{sign} ({factor},{offset}) [0|0] \"\" X\n"
        );
        return Some((text, float));
    }
    None
}

/// A DBC file, and each message's identifier and length.
fn made_up(chance: &mut Chance) -> (String, Vec<(u32, usize)>) {
    let mut text = "VERSION \"\"\n\nBU_: X\n\n".to_owned();
    let (mut after, mut messages) = (String::new(), Vec::new());
    for number in 0..MESSAGES {
        let length = chance.one(&[1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 12, 16, 20, 24, 32, 48, 64]);
        let id = 0x100 + number;
        writeln!(text, "BO_ {id} M{number}: {length} X").unwrap();
        messages.push((id, length));
        let mut taken = vec![false; length * 8];
        let groups = if length > 1 && chance.below(3) == 0 {
            1 + chance.below(3)
        } else {
            0
        };
        if groups > 0 {
            text.push_str(" SG_ Mux M : 0|4@1+ (1,0) [0|0] \"\" X\n");
            taken[..4].fill(true);
        }
        let ranges = chance.below(2) == 0;
        let mut one = |name: String, indicator: &str, taken: &mut [bool], chance: &mut Chance| {
            let Some((line, float)) = signal(chance, &name, indicator, taken) else {
                return false;
            };
            text.push_str(&line);
            if float {
                writeln!(after, "SIG_VALTYPE_ {id} {name} : 1;").unwrap();
            }
            true
        };
        let plain = 1 + chance.below(4);
        for place in 0..plain {
            one(format!("S{place}"), "", &mut taken, chance);
        }
        let mut selected = Vec::new();
        for group in 0..groups {
            // Signals of different groups may lie over each other.
            let mut taken = taken.clone();
            let count = 1 + chance.below(3);
            for place in 0..count {
                let name = format!("G{group}x{place}");
                if one(name.clone(), &format!(" m{group}"), &mut taken, chance) {
                    selected.push((name, group));
                }
            }
        }
        if ranges {
            // The same groups and some more values, as extended multiplexing writes them.
            for (name, group) in selected {
                let far = 4 + group * 3;
                writeln!(
                    after,
                    "SG_MUL_VAL_ {id} {name} Mux {group}-{group}, {far}-{};",
                    far + 1
                )
                .unwrap();
            }
        }
        text.push('\n');
    }
    (text + &after, messages)
}

#[test]
fn random_messages_both_ways() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = root.join(".patio/venv/bin/python");
    let probe = Command::new(&python)
        .args(["-c", "import cantools"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        eprintln!("skipped: no cantools (scripts/python-peers installs it)");
        return;
    }
    let seed = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let seed = std::env::var("PATIO_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(seed);
    println!("seed {seed} (PATIO_SEED repeats it)");
    let chance = &mut Chance(seed);
    let (text, messages) = made_up(chance);
    let mut frames = String::new();
    for &(id, length) in &messages {
        for _ in 0..FRAMES {
            let data: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
            let frame = json!({ "id": id, "data": hex(&data) });
            writeln!(frames, "{frame}").unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let dbc = folder.path().join("random.dbc");
    std::fs::write(&dbc, &text).unwrap();
    let input = folder.path().join("frames");
    std::fs::File::create(&input)
        .unwrap()
        .write_all(frames.as_bytes())
        .unwrap();
    let output = Command::new(&python)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cantools_random.py"))
        .arg(&dbc)
        .arg(seed.to_string())
        .stdin(Stdio::from(std::fs::File::open(&input).unwrap()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "seed {seed}: {said}");
    let read = Dbc::parse(text.as_bytes());
    assert_eq!(read.warnings, [], "seed {seed}");
    let decoder = Decoder::new(&read);
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        // Where no signal has the multiplexor's value the peer gives nothing at all, and there is nothing to compare.
        let Some(expected) = case["signals"].as_object() else {
            continue;
        };
        let id = CanId::standard(case["id"].as_u64().unwrap() as u32).unwrap();
        let data = bytes(case["data"].as_str().unwrap());
        let mut readings = Vec::new();
        decoder.decode(id, &data, &mut readings);
        let got: BTreeMap<&str, f64> = readings
            .iter()
            .map(|reading| {
                let signal = &decoder.signals()[reading.signal as usize];
                (signal.name.as_str(), signal.def.encoding.value(reading.raw))
            })
            .collect();
        let of = |name: &str| got.get(name).copied();
        assert_eq!(got.len(), expected.len(), "seed {seed}: {line}\n{got:?}");
        for (name, value) in expected {
            // JSON has no name for what is no number.
            let value = value.as_f64().unwrap_or(f64::NAN);
            let same = of(name).is_some_and(|got| {
                got.to_bits() == value.to_bits()
                    || (got - value).abs() <= 1e-9 * got.abs().max(value.abs())
                    || got.is_nan() && value.is_nan()
            });
            assert!(same, "seed {seed}: {name} is {:?}: {line}", of(name));
        }
        *counted.entry(case["way"].to_string()).or_default() += expected.len();
    }
    println!("{counted:?} values agree");
    assert!(
        counted.len() == 2 && counted.values().all(|count| *count > 1000),
        "{counted:?}"
    );
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}
