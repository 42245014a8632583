//! Frames into answers (ISO 15765-2:2016 §9.6), without a clock and without guessing.

use std::collections::BTreeMap;

use isotp::CanId;
use thiserror::Error;

use super::line::{self, LineFault};
use crate::profile::Command;

/// What a recording holds of the answers to one command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Answers in the order in which they ended.
    pub answers: Vec<Answer>,
    /// What is wrong with the recording.
    pub faults: Vec<Fault>,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who answered.
    pub id: CanId,
    /// The message, beginning with the service + 40 hex. Of an answer that is not whole, the bytes before the fault.
    pub payload: Vec<u8>,
    /// Whether every frame was there, in order and of the right length.
    pub whole: bool,
}

/// Something wrong with a recording.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {kind}")]
pub struct Fault {
    /// Line of the recording, from 1.
    pub line: usize,
    /// What it is.
    pub kind: FaultKind,
}

/// What is wrong. The answer it happened to is given up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FaultKind {
    /// Not a frame.
    #[error("{0}")]
    Line(#[from] LineFault),
    /// No control byte.
    #[error("no data")]
    Empty,
    /// A frame type of another protocol.
    #[error("frame type {0:X} does not exist")]
    Type(u8),
    /// A single frame whose length is 0, beyond its end, or short of it in a frame that is not filled up.
    #[error("single frame of {announced} bytes with {found}")]
    SingleFrame {
        /// Bytes announced.
        announced: usize,
        /// Bytes there.
        found: usize,
    },
    /// A first frame that is not full, or announces no more than it holds.
    #[error("first frame is cut short or announces no more than it holds")]
    FirstFrame,
    /// A consecutive frame was lost, repeated or overtaken.
    #[error("expected consecutive frame {expected:X}, found {found:X}")]
    Sequence {
        /// The sequence number due.
        expected: u8,
        /// The one that came.
        found: u8,
    },
    /// A consecutive frame that is cut short, or neither as short as it can be nor filled up.
    #[error("consecutive frame of {found} bytes where {expected} were due")]
    ConsecutiveFrame {
        /// Bytes due.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// A consecutive frame, and no answer that it could continue.
    #[error("consecutive frame without a first frame")]
    Stray,
    /// The next answer began before this one ended.
    #[error("the answer before is not complete")]
    Interrupted,
    /// The recording ended before the answer.
    #[error("the recording ends before the answer: {found} of {announced} bytes")]
    Incomplete {
        /// Bytes announced.
        announced: usize,
        /// Bytes there.
        found: usize,
    },
}

/// An answer in progress. Invariant: `payload.len() < announced`.
struct Partial {
    payload: Vec<u8>,
    announced: usize,
    number: u8,
}

/// Reassembles the answers to `command` from a recording's lines. Lines of other identifiers, and what adapters write
/// between frames, are passed over; nothing that could belong to an answer is.
pub fn answers<'a>(lines: impl IntoIterator<Item = &'a str>, command: &Command) -> Captured {
    let mut captured = Captured::default();
    let mut partials: BTreeMap<CanId, Partial> = BTreeMap::new();
    let mut last = 0;
    for (index, text) in lines.into_iter().enumerate() {
        last = index + 1;
        let Some((id, digits)) = line::split(text, command.request.is_extended()) else {
            continue;
        };
        if !may_answer(command, id) {
            continue;
        }
        let partial = partials.remove(&id);
        match frame(command, &digits, partial) {
            Step::Nothing => {}
            Step::Goes(partial) => {
                partials.insert(id, partial);
            }
            Step::Ends(payload) => captured.answers.push(Answer {
                id,
                payload,
                whole: true,
            }),
            Step::Fails { kind, lost, begun } => {
                captured.faults.push(Fault { line: last, kind });
                if let Some(lost) = lost {
                    captured.answers.push(Answer {
                        id,
                        payload: lost.payload,
                        whole: false,
                    });
                }
                match begun {
                    Some(Begun::Whole(payload)) => captured.answers.push(Answer {
                        id,
                        payload,
                        whole: true,
                    }),
                    Some(Begun::Partial(partial)) => {
                        partials.insert(id, partial);
                    }
                    None => {}
                }
            }
        }
    }
    for (id, partial) in partials {
        let (announced, found) = (partial.announced, partial.payload.len());
        captured.faults.push(Fault {
            line: last,
            kind: FaultKind::Incomplete { announced, found },
        });
        captured.answers.push(Answer {
            id,
            payload: partial.payload,
            whole: false,
        });
    }
    captured
}

fn may_answer(command: &Command, id: CanId) -> bool {
    // Who answers is not always known; the echo of service and identifier is checked in any case.
    command.answered_by(id)
        || command.response.is_none() && !command.is_functional() && command.address().is_err()
}

enum Step {
    Nothing,
    Goes(Partial),
    Ends(Vec<u8>),
    Fails {
        kind: FaultKind,
        lost: Option<Partial>,
        begun: Option<Begun>,
    },
}

enum Begun {
    Whole(Vec<u8>),
    Partial(Partial),
}

/// What a frame does to the answer in progress.
fn frame(command: &Command, digits: &str, partial: Option<Partial>) -> Step {
    let fails = |kind: FaultKind, lost| Step::Fails {
        kind,
        lost,
        begun: None,
    };
    let bytes = match line::data(digits) {
        Ok(bytes) => bytes,
        Err(fault) => return fails(fault.into(), partial),
    };
    let (body, room) = match command.response_extension {
        None => (bytes.as_slice(), 8),
        Some(extension) => match bytes.split_first() {
            Some((&first, body)) if first == extension => (body, 7),
            // A frame for somebody else on the same identifier.
            Some(_) => return partial.map_or(Step::Nothing, Step::Goes),
            None => return fails(FaultKind::Empty, partial),
        },
    };
    let Some((&control, data)) = body.split_first() else {
        return fails(FaultKind::Empty, partial);
    };
    let begun = match control >> 4 {
        0 => {
            let announced = usize::from(control & 0x0F);
            let filled = data.len() == announced || body.len() == room;
            match data
                .get(..announced)
                .filter(|message| !message.is_empty() && filled)
            {
                Some(message) => Begun::Whole(message.to_vec()),
                None => {
                    return fails(
                        FaultKind::SingleFrame {
                            announced,
                            found: data.len(),
                        },
                        partial,
                    );
                }
            }
        }
        1 => match first(control, data, body.len() == room) {
            Some(begun) => Begun::Partial(begun),
            None => return fails(FaultKind::FirstFrame, partial),
        },
        2 => {
            return match partial {
                Some(partial) => consecutive(partial, control & 0x0F, data, room - 1),
                None => fails(FaultKind::Stray, None),
            };
        }
        // Flow control is the tester's.
        3 => return partial.map_or(Step::Nothing, Step::Goes),
        other => return fails(FaultKind::Type(other), partial),
    };
    match (partial, begun) {
        (None, Begun::Whole(message)) => Step::Ends(message),
        (None, Begun::Partial(partial)) => Step::Goes(partial),
        (lost, begun) => Step::Fails {
            kind: FaultKind::Interrupted,
            lost,
            begun: Some(begun),
        },
    }
}

fn first(control: u8, data: &[u8], full: bool) -> Option<Partial> {
    let (&low, rest) = data.split_first()?;
    let short = usize::from(control & 0x0F) << 8 | usize::from(low);
    // 0 announces a length of 32 bits.
    let (announced, payload) = if short == 0 {
        let (length, rest) = rest.split_first_chunk::<4>()?;
        (u32::from_be_bytes(*length) as usize, rest)
    } else {
        (short, rest)
    };
    (full && announced > payload.len()).then(|| Partial {
        payload: payload.to_vec(),
        announced,
        number: 1,
    })
}

fn consecutive(mut partial: Partial, number: u8, data: &[u8], room: usize) -> Step {
    let fails = |kind, partial| Step::Fails {
        kind,
        lost: Some(partial),
        begun: None,
    };
    if number != partial.number {
        return fails(
            FaultKind::Sequence {
                expected: partial.number,
                found: number,
            },
            partial,
        );
    }
    let missing = partial.announced - partial.payload.len();
    let expected = missing.min(room);
    // The last frame is as short as it can be, or filled up; between the two, bytes were lost.
    let filled = data.len() == expected || data.len() == room;
    let Some(data) = data.get(..expected).filter(|_| filled) else {
        return fails(
            FaultKind::ConsecutiveFrame {
                expected,
                found: data.len(),
            },
            partial,
        );
    };
    partial.payload.extend_from_slice(data);
    partial.number = (partial.number + 1) & 0x0F;
    if expected == missing {
        Step::Ends(partial.payload)
    } else {
        Step::Goes(partial)
    }
}

/// Puts together whatever a recording's lines hold, as some tools do: no sequence numbers, no lengths but the announced
/// one, half bytes dropped with their line, a line of any length taken as one frame. What comes out can be wrong without
/// any sign of it; it serves only to compare with such tools.
pub fn as_recorded<'a>(lines: impl IntoIterator<Item = &'a str>, command: &Command) -> Vec<Answer> {
    let mut answers = Vec::new();
    let mut partials: BTreeMap<CanId, Partial> = BTreeMap::new();
    for text in lines {
        let Some((id, digits)) = line::split(text, command.request.is_extended()) else {
            continue;
        };
        if !may_answer(command, id) {
            continue;
        }
        let Ok(bytes) = line::whole_bytes(&digits) else {
            continue;
        };
        let body = bytes
            .get(usize::from(command.response_extension.is_some())..)
            .unwrap_or_default();
        let Some((&control, data)) = body.split_first() else {
            continue;
        };
        match control >> 4 {
            0 if !data.is_empty() => answers.push(Answer {
                id,
                payload: data.to_vec(),
                whole: false,
            }),
            1 => {
                if let Some(partial) = first(control, data, true) {
                    partials.insert(id, partial);
                }
            }
            2 => {
                let Some(mut partial) = partials.remove(&id) else {
                    continue;
                };
                partial.payload.extend_from_slice(data);
                if partial.payload.len() >= partial.announced {
                    partial.payload.truncate(partial.announced);
                    answers.push(Answer {
                        id,
                        payload: partial.payload,
                        whole: false,
                    });
                } else {
                    partials.insert(id, partial);
                }
            }
            _ => {}
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(keys: &str) -> Command {
        toml::from_str(&format!(
            "name = \"c\"\nservice = \"22\"\nidentifier = \"0101\"\nsignal = []\n{keys}"
        ))
        .unwrap()
    }

    /// Length of each answer and whether it is whole; line and kind of each fault.
    type Told = (Vec<(usize, bool)>, Vec<(usize, FaultKind)>);

    fn run(lines: &[&str]) -> Told {
        let captured = answers(lines.iter().copied(), &command("request = \"7E4\""));
        let answers = captured
            .answers
            .iter()
            .map(|a| (a.payload.len(), a.whole))
            .collect();
        (
            answers,
            captured
                .faults
                .into_iter()
                .map(|f| (f.line, f.kind))
                .collect(),
        )
    }

    const FIRST: &str = "7EC1014620101020304";
    const SECOND: &str = "7EC2105060708090A0B";
    const THIRD: &str = "7EC220C0D0E0F1011AA";

    #[test]
    fn whole_answers() {
        assert_eq!(run(&["7EC0462010155", "AAAAAA"]), (vec![(4, true)], vec![]));
        assert_eq!(
            run(&[
                "220101",
                FIRST,
                "7E430000000000000",
                SECOND,
                "NO DATA",
                THIRD,
                ">"
            ]),
            (vec![(20, true)], vec![])
        );
        let last_cut_at_its_end = "7EC22 0C0D0E0F101112";
        assert_eq!(run(&[FIRST, SECOND, last_cut_at_its_end]).0, [(20, true)]);
        let two = run(&[FIRST, SECOND, THIRD, "7EC0462010155"]);
        assert_eq!(two, (vec![(20, true), (4, true)], vec![]));
    }

    #[test]
    fn faults_end_an_answer() {
        let faults = |lines: &[&str]| run(lines).1;
        let short = FaultKind::ConsecutiveFrame {
            expected: 7,
            found: 5,
        };
        assert_eq!(run(&[FIRST, "7EC21050607080900"]).0, [(6, false)]);
        assert_eq!(
            faults(&[FIRST, "7EC210506070809", SECOND]),
            [(2, short), (3, FaultKind::Stray)]
        );
        assert_eq!(
            faults(&[FIRST, THIRD]),
            [(
                2,
                FaultKind::Sequence {
                    expected: 1,
                    found: 2
                }
            )]
        );
        assert_eq!(
            faults(&[FIRST, SECOND, SECOND]),
            [(
                3,
                FaultKind::Sequence {
                    expected: 2,
                    found: 1
                }
            )]
        );
        assert_eq!(faults(&[SECOND]), [(1, FaultKind::Stray)]);
        assert_eq!(
            faults(&[FIRST, SECOND]),
            [(
                2,
                FaultKind::Incomplete {
                    announced: 20,
                    found: 13
                }
            )]
        );
        assert_eq!(
            run(&[FIRST, FIRST, SECOND, THIRD]),
            (
                vec![(6, false), (20, true)],
                vec![(2, FaultKind::Interrupted)]
            )
        );
        assert_eq!(run(&[FIRST, "7EC0462010155"]).0, [(6, false), (4, true)]);
        let merged = format!("{}{THIRD}", &SECOND[..16]);
        assert_eq!(
            faults(&[FIRST, &merged]),
            [(2, FaultKind::Line(LineFault::TooLong(16)))]
        );
        assert_eq!(
            faults(&[FIRST, &SECOND[..16]]),
            [(2, FaultKind::Line(LineFault::HalfByte))]
        );
        assert_eq!(faults(&["7EC10146201010203"]), [(1, FaultKind::FirstFrame)]);
        assert_eq!(
            faults(&["7EC1006620101020304"]),
            [(1, FaultKind::FirstFrame)]
        );
        assert_eq!(
            faults(&["7EC00", "7EC0562", "7EC50", "7EC"]),
            [
                (
                    1,
                    FaultKind::SingleFrame {
                        announced: 0,
                        found: 0
                    }
                ),
                (
                    2,
                    FaultKind::SingleFrame {
                        announced: 5,
                        found: 1
                    }
                ),
                (3, FaultKind::Type(5)),
                (4, FaultKind::Empty),
            ]
        );
    }

    #[test]
    fn long_answers_count_round() {
        let mut lines = vec!["7EC1080620101000000".to_owned()];
        lines.extend((1..=18).map(|n| format!("7EC2{:X}00000000000000", n % 16)));
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(run(&lines), (vec![(128, true)], vec![]));
    }

    #[test]
    fn other_addressing() {
        let extended = command(
            "request = \"6F1\"\nresponse = \"607\"\nrequest_extension = \"07\"\nresponse_extension = \"F1\"",
        );
        let lines = [
            "607F11007620101AABB",
            "607F221CCDDEEFF0011",
            "607F121CCDDEEFF0011",
        ];
        let captured = answers(lines, &extended);
        assert_eq!(
            captured.answers[0].payload,
            [0x62, 1, 1, 0xAA, 0xBB, 0xCC, 0xDD]
        );
        let functional = command("request = \"18DB33F1\"");
        let lines = [
            "18DAF1DB0462010101",
            "18DAF1DA0462010102",
            "18DA10F10462010103",
        ];
        let ids: Vec<String> = answers(lines, &functional)
            .answers
            .iter()
            .map(|a| a.id.to_string())
            .collect();
        assert_eq!(ids, ["18DAF1DB", "18DAF1DA"]);
        let unknown = command("request = \"713\"");
        assert_eq!(answers(["77D0462010155"], &unknown).answers.len(), 1);
    }
}
