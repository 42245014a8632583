//! Decoders against independent encoders, parsers against anything.

use std::fmt::Write;

use isotp::CanId;
use proptest::{prelude::*, sample::Index};
use vehicles::{
    capture,
    dbc::{Dbc, Decoder},
    log::LogReader,
    obdb::{self, Names},
    offline::{Definition, Reassembly},
    profile::{Command, Hex, Profile},
};

/// A signal to be encoded: where, how, and its raw value.
#[derive(Clone, Debug)]
struct Placed {
    start: usize,
    length: usize,
    motorola: bool,
    signed: bool,
    bits: u64,
    /// Selected by this value of the multiplexor, if any.
    case: Option<u8>,
}

impl Placed {
    /// Byte and bit in it of each bit of the signal, least significant first, by the definition of the file format.
    fn places(&self) -> Vec<(usize, usize)> {
        let mut at = self.start;
        let mut places = Vec::new();
        for _ in 0..self.length {
            places.push((at / 8, at % 8));
            at = match (self.motorola, at % 8) {
                (false, _) => at + 1,
                (true, 0) => at + 15,
                (true, _) => at - 1,
            };
        }
        if self.motorola {
            places.reverse();
        }
        places
    }

    fn raw(&self) -> i64 {
        let bits = self.bits & (u64::MAX >> (64 - self.length));
        if self.signed && bits >> (self.length - 1) & 1 == 1 {
            (i128::from(bits) - (1i128 << self.length)) as i64
        } else {
            bits.cast_signed()
        }
    }
}

fn placed() -> impl Strategy<Value = Placed> {
    (
        0usize..512,
        1usize..=64,
        any::<bool>(),
        any::<bool>(),
        any::<u64>(),
        prop::option::of(0u8..3),
    )
        .prop_map(|(start, length, motorola, signed, bits, case)| Placed {
            start,
            length,
            motorola,
            signed,
            bits,
            case,
        })
}

/// The text of a file, its identifiers and structure right, with some characters changed, removed or doubled.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    prop::collection::vec((any::<Index>(), 0..4, any::<char>()), 0..6).prop_map(|changes| {
        let mut text: Vec<char> = text.chars().collect();
        for (at, what, new) in changes {
            let at = at.index(text.len().max(1));
            match what {
                0 if at < text.len() => drop(text.remove(at)),
                1 if at < text.len() => text[at] = new,
                2 => text.truncate(at),
                _ => text.insert(at, new),
            }
        }
        text.into_iter().collect()
    })
}

const DBC: &str = concat!(
    "VERSION \"\"\nNS_ :\n\tCM_\nBS_:\nBU_: X Y\nBO_ 291 A: 8 X\n SG_ Mux M : 0|8@1+ (1,0) [0|0] \"\" X\n",
    " SG_ S m0 : 8|16@1- (0.5,-1e1) [0|0] \"km/h\" X,Y\n SG_ T m1M : 15|8@0+ (1,0) [0|0] \"\" X\n SG_ U m2 : 24|32@1- (1,0) [0|0] \"\" X\n",
    "CM_ SG_ 291 S \"text\nBO_ 1 no: 8 X\";\nVAL_ 291 S -1 \"none\" 0 \"zero\" ;\nSIG_VALTYPE_ 291 U : 1;\nSG_MUL_VAL_ 291 U T 0-3, 5-5;\nBA_ \"SystemSignalLongSymbol\" SG_ 291 S \"LongS\";\n",
);

const SET: &str = r#"{"diagnosticLevel": "C0", "commands": [{"hdr": "7E4", "rax": "7EC", "fcm1": true, "tst": "F1", "cmd": {"22": "0101"}, "freq": 0.5, "filter": {"from": 2012, "years": [2009]}, "signals": [
    {"id": "A", "name": "a", "suggestedMetric": "odometer", "fmt": {"bix": 8, "len": 16, "blsb": true, "sign": true, "mul": 1.5, "div": 3, "add": -40, "min": -10, "max": 100.5, "nullmax": 500, "unit": "kilometers"}},
    {"id": "B", "name": "b", "fmt": {"len": 3, "map": {"1": {"description": "x", "value": "ON"}, "2": "OFF"}}}]}]}"#;

const PROFILE: &str = "name = \"p\"\nvin = [\"W*\"]\n[[bus]]\nname = \"b\"\nbitrate = 500000\n[[command]]\nname = \"c\"\nrequest = \"7E4\"\nservice = \"22\"\nidentifier = \"0101\"\nevery = { driving = \"5s\" }\n[[command.signal]]\nname = \"s\"\nlength = 8\ndivide = 3\nmax = 10\n";

const LOGS: [&str; 7] = [
    "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2\n1,0000012F,true,Rx,2,2,0F,1A\n",
    "(1436509052.249713) vcan0 044#2A366C2BBA\n(1.5) can1 12345678##3AABB\n(2) can1 123#R4\n",
    "(2015-07-10 08:17:32.25)  can0  RX - -  123   [2]  11 22\n can0  123   [0]  remote request\n",
    "date Sam Sep 30\nbase dec  timestamps relative\n 0.5 1  123x  Rx   d 8 01 02 03 04 05 06 07 08\n 1 2 100 Tx r\n",
    "base hex  timestamps absolute\n 30.0 CANFD   1 Rx  300  name 1 0 9  12 1 2 3 4 5 6 7 8 9 a b c 102203  133   303000\n",
    ";$FILEVERSION=1.1\n     1)     17535.4  Tx     00000100  8  00 00 00 00 00 00 00 00\n    12)     48937.6  Rx         0704  1  RTR\n",
    ";$FILEVERSION=2.1\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n      1      2501.000 FD 2      00C8 Tx -  9    09 08 07 06 05 04 03 02 01 02 03 04\n",
];

fn command() -> Command {
    let profile: Profile = toml::from_str(PROFILE).expect("a profile");
    profile.command.into_iter().next().expect("a command")
}

/// Digits of a frame of eight bytes.
const FULL: usize = 3 + 16;

/// A message as an adapter records it, one frame per line.
fn recorded(payload: &[u8]) -> Vec<String> {
    let hex = |bytes: &[u8]| Hex(bytes.to_vec()).to_string();
    if payload.len() <= 7 {
        return vec![format!("7EC{:02X}{:0<14}", payload.len(), hex(payload))];
    }
    let mut lines = vec![format!("7EC1{:03X}{}", payload.len(), hex(&payload[..6]))];
    for (number, part) in payload[6..].chunks(7).enumerate() {
        lines.push(format!("7EC2{:X}{:A<14}", (number + 1) % 16, hex(part)));
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_was_encoded_is_decoded(signals in prop::collection::vec(placed(), 1..12), selector in 0u8..3, length in 1usize..=64) {
        let mut frame = [0u8; 64];
        let mut taken = [[false; 8]; 64];
        frame[0] = selector;
        taken[0] = [true; 8];
        let mut text = format!("BO_ 291 A: {length} X\n SG_ Mux M : 0|8@1+ (1,0) [0|0] \"\" X\n");
        let mut expected = vec![("Mux".to_owned(), i64::from(selector))];
        let mut missing = 0;
        for (number, signal) in signals.iter().enumerate() {
            let places = signal.places();
            // Signals of one frame must not overlap each other; of different multiplexor values they may.
            let active = signal.case.is_none_or(|case| case == selector);
            if places.iter().any(|&(byte, bit)| byte > 63 || active && taken[byte][bit]) {
                continue;
            }
            let (order, sign) = (u8::from(!signal.motorola), if signal.signed { '-' } else { '+' });
            let case = signal.case.map(|case| format!("m{case} ")).unwrap_or_default();
            let Placed { start, length: bits, .. } = signal;
            writeln!(text, " SG_ S{number} {case}: {start}|{bits}@{order}{sign} (1,0) [0|0] \"\" X").unwrap();
            if !active {
                continue;
            }
            for (place, &(byte, bit)) in places.iter().enumerate() {
                taken[byte][bit] = true;
                frame[byte] |= ((signal.bits >> place & 1) as u8) << bit;
            }
            if places.iter().all(|&(byte, _)| byte < length) {
                expected.push((format!("S{number}"), signal.raw()));
            } else {
                missing += 1;
            }
        }
        let decoder = Decoder::new(&Dbc::parse(text.as_bytes()));
        let mut readings = Vec::new();
        let outcome = decoder.decode(CanId::standard(291).unwrap(), &frame[..length], &mut readings);
        let mut got: Vec<(String, i64)> =
            readings.iter().map(|r| (decoder.signals()[r.signal as usize].name.clone(), r.raw)).collect();
        got.sort();
        expected.sort();
        prop_assert_eq!(got, expected);
        prop_assert_eq!(outcome.missing, missing);
    }

    #[test]
    fn a_damaged_recording_gives_the_answer_or_none(
        payload in prop::collection::vec(any::<u8>(), 1..100),
        damage in prop::collection::vec((any::<Index>(), 0..5, any::<Index>()), 0..4),
    ) {
        let mut lines = recorded(&payload);
        for (at, what, place) in damage {
            if lines.is_empty() {
                break;
            }
            let at = at.index(lines.len());
            match what {
                // Lost, repeated, overtaken, digits lost, line end lost.
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, lines[at].clone()),
                2 => {
                    let other = place.index(lines.len());
                    lines.swap(at, other);
                }
                // Whole bytes lost inside a filled-up last frame cannot be seen by anybody; half a byte always can.
                3 if lines[at].len() == FULL => {
                    let from = 3 + place.index(FULL - 5);
                    lines[at].replace_range(from..from + 3, "");
                }
                _ if at + 1 < lines.len() => {
                    let next = lines.remove(at + 1);
                    lines[at].push_str(&next);
                }
                _ => {}
            }
        }
        let captured = capture::answers(lines.iter().map(String::as_str), &command());
        for answer in captured.answers {
            prop_assert!(payload.starts_with(&answer.payload) && (!answer.whole || answer.payload == payload), "{:?}", lines);
        }
    }

    #[test]
    fn whole_recordings_give_every_answer(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..4)) {
        let lines: Vec<String> = payloads.iter().flat_map(|payload| recorded(payload)).collect();
        let captured = capture::answers(lines.iter().map(String::as_str), &command());
        prop_assert_eq!(captured.faults, []);
        let answers: Vec<Vec<u8>> = captured.answers.into_iter().map(|a| a.payload).collect();
        prop_assert_eq!(answers, payloads);
    }

    #[test]
    fn dbc_parser_takes_anything(text in prop_oneof![damaged(DBC), any::<String>()], data in prop::collection::vec(any::<u8>(), 0..70)) {
        let decoder = Decoder::new(&Dbc::parse(text.as_bytes()));
        let ids: Vec<CanId> = decoder.ids().collect();
        let mut readings = Vec::new();
        for id in ids {
            decoder.decode(id, &data, &mut readings);
        }
        prop_assert!(readings.iter().all(|reading| (reading.signal as usize) < decoder.signals().len()));
    }

    #[test]
    fn dbc_parser_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200), before in any::<Index>()) {
        let mut text = DBC.as_bytes().to_vec();
        let at = before.index(text.len());
        text.splice(at..at, bytes);
        Decoder::new(&Dbc::parse(&text));
    }

    #[test]
    fn definitions_take_anything(
        text in prop_oneof![damaged(SET), damaged(PROFILE), any::<String>()],
        lines in prop::collection::vec("(7EC|18DAF110)?[ 0-9A-Fa-f]{0,24}|.*", 0..6),
        names in prop_oneof![Just(Names::Own), Just(Names::Catalogue)],
    ) {
        let _ = obdb::import(&text, names);
        if let Ok(definition) = Definition::read("file", &text) {
            for (number, command) in definition.table.commands().iter().enumerate() {
                let recorded = serde_json::json!({ "cmd": command.name, "frames": lines, "year": "2010" });
                definition.answer(&recorded, Reassembly::Strict);
                definition.answer(&recorded, Reassembly::AsRecorded);
                for line in &lines {
                    let _ = definition.table.decode(number, line.as_bytes(), &mut Vec::new());
                    let mut echoed = command.payload();
                    echoed[0] |= 0x40;
                    echoed.extend(line.as_bytes());
                    let outcome = definition.table.decode(number, &echoed, &mut Vec::new()).unwrap();
                    let told = outcome.readings + outcome.missing + outcome.not_available + outcome.outside;
                    prop_assert_eq!(told as usize, command.signal.len());
                }
            }
        }
    }

    #[test]
    fn log_reader_takes_anything(text in prop::sample::select(LOGS.to_vec()).prop_flat_map(damaged), more in any::<String>()) {
        let text = text + &more;
        for frame in LogReader::new(text.lines()).flatten() {
            prop_assert!(frame.data.len() <= 64);
        }
    }
}
