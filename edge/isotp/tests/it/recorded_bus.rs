//! A recorded bus: what a scanner and the ECUs of a real car said to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use isotp::uds::{ReadDtc, Request, Verdict};
use isotp::{Address, CanId, Config, Frame, Link, Output, ReceiveError};

use crate::data;
use crate::oracle::{Outcome, is_consecutive, look_ahead, starts};

/// The frames, or the messages, on each bus and identifier, and when they came.
type ByIdentifier<'l> = BTreeMap<(&'l str, CanId), Vec<(Duration, Vec<u8>)>>;

/// One frame of a log.
struct Line {
    at: Duration,
    bus: String,
    frame: Frame,
}

/// Reads a SavvyCAN "GVRET" log; `None` if the columns are not those of one.
fn gvret(text: &str) -> Option<Vec<Line>> {
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next()?.split(',').map(str::trim).collect();
    let column = |name: &str| columns.iter().position(|c| c.eq_ignore_ascii_case(name));
    let (time, id, extended, bus) = (
        column("Time Stamp")?,
        column("ID")?,
        column("Extended")?,
        column("Bus")?,
    );
    let (length, first) = (column("LEN")?, column("D1")?);
    let parse = |line: &str| {
        let cells: Vec<_> = line.split(',').map(str::trim).collect();
        let raw = u32::from_str_radix(cells.get(id)?, 16).ok()?;
        let kind = cells.get(extended)?;
        let id = if kind.eq_ignore_ascii_case("true") || *kind == "1" {
            CanId::extended(raw).ok()?
        } else {
            CanId::standard(raw).ok()?
        };
        let length: usize = cells.get(length)?.parse().ok()?;
        let data = cells.get(first..first.checked_add(length)?)?.iter();
        let data: Option<Vec<_>> = data.map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
        let frame = if length > 8 {
            Frame::fd(id, &data?).ok()?
        } else {
            Frame::classic(id, &data?).ok()?
        };
        let at = Duration::from_micros(cells.get(time)?.parse().ok()?);
        let bus = (*cells.get(bus)?).to_owned();
        Some(Line { at, bus, frame })
    };
    let lines = lines.enumerate();
    let frames = lines
        .filter(|(_, line)| !line.trim().is_empty())
        .filter_map(|(n, line)| {
            let parsed = parse(line);
            if parsed.is_none() {
                eprintln!("skipped: line {} is no frame: {line}", n + 2);
            }
            parsed
        });
    Some(frames.collect())
}

/// The messages on one identifier as a [`Link`] receives them.
fn receive(id: CanId, frames: &[(Duration, Vec<u8>)]) -> (Vec<Outcome>, usize) {
    let other = CanId::standard(id.raw() ^ 0x7FF).unwrap();
    let config = Config {
        max_message_size: u32::MAX,
        ..Config::new(Address::normal(other, id))
    };
    let mut link = Link::new(config).unwrap();
    let (mut outcomes, mut begun, mut used) = (Vec::new(), None, 0);
    let mut drain = |link: &mut Link, now| {
        let mut ignored = false;
        while let Some(output) = link.poll(now) {
            match output {
                Output::ReceptionStarted { .. } => begun = Some(now),
                Output::Received { payload, .. } => {
                    outcomes.push((begun.take().unwrap_or(now), Ok(payload)));
                }
                Output::ReceiveFailed { error, .. } => {
                    let reason = match error {
                        ReceiveError::TimeoutCr => "N_TIMEOUT_Cr",
                        ReceiveError::WrongSequenceNumber { .. } => "N_WRONG_SN",
                        ReceiveError::InterruptedByFirstFrame
                        | ReceiveError::InterruptedBySingleFrame => "N_UNEXP_PDU",
                        ReceiveError::TimeoutA | ReceiveError::TooLong { .. } => {
                            "neither is configured"
                        }
                    };
                    outcomes.push((
                        begun.take().expect("a message fails after it has begun"),
                        Err(reason),
                    ));
                }
                Output::Ignored(_) => ignored = true,
                Output::Transmit(_) => {}
                other => panic!("{other:?}"),
            }
        }
        ignored
    };
    for (at, data) in frames {
        let frame = if data.len() > 8 {
            Frame::fd(id, data)
        } else {
            Frame::classic(id, data)
        };
        link.on_frame(*at, &frame.unwrap());
        let ignored = drain(&mut link, *at);
        used += usize::from(is_consecutive(data) && !ignored);
    }
    drain(&mut link, Duration::MAX);
    (outcomes, used)
}

/// Sends a received message again: the recorded frames must come out, but for what the ECU fills them up with.
fn resend<'r>(
    id: CanId,
    payload: &[u8],
    mut recorded: impl Iterator<Item = &'r [u8]>,
) -> Result<(), String> {
    let other = CanId::standard(id.raw() ^ 0x7FF).unwrap();
    let mut link = Link::new(Config::new(Address::normal(id, other))).unwrap();
    let mut sent = Vec::new();
    link.send(Duration::ZERO, payload.to_vec()).unwrap();
    while let Some(output) = link.poll(Duration::ZERO) {
        match output {
            Output::Transmit(frame) => sent.push(frame.data().to_vec()),
            Output::Sent => break,
            other => return Err(format!("{id}: {other:?}")),
        }
        if sent.len() == 1 {
            link.on_frame(
                Duration::ZERO,
                &Frame::classic(other, &[0x30, 0, 0]).unwrap(),
            );
        }
    }
    let mut is_recorded = |ours: &[u8]| {
        recorded
            .next()
            .is_some_and(|theirs| theirs.starts_with(ours))
    };
    match sent.iter().find(|ours| !is_recorded(ours)) {
        None => Ok(()),
        Some(ours) => Err(format!("{id}: sent {ours:02x?}, which was not recorded")),
    }
}

/// Everything on the diagnostic identifiers of one log.
fn replay(name: &str, log: &[Line], results: &mut Vec<Result<(), String>>) {
    let mut by_id: ByIdentifier<'_> = BTreeMap::new();
    for Line { at, bus, frame } in log {
        // Looking ahead knows classic frames only.
        let id = frame.id();
        if !id.is_extended() && id.raw() >= 0x700 && !frame.is_fd() {
            by_id
                .entry((bus, id))
                .or_default()
                .push((*at, frame.data().to_vec()));
        }
    }
    let (mut whole, mut long, mut broken) = (0, 0, 0);
    let mut messages: ByIdentifier<'_> = BTreeMap::new();
    for (&(bus, id), frames) in &by_id {
        let (expected, expected_used) = look_ahead(frames);
        let (found, used) = receive(id, frames);
        for n in 0..expected.len().max(found.len()) {
            let (left, right) = (found.get(n), expected.get(n));
            results.push(if left == right {
                Ok(())
            } else {
                Err(format!("{name} {id}: {left:02x?}, not {right:02x?}"))
            });
        }
        results.push(if used == expected_used {
            Ok(())
        } else {
            Err(format!("{name} {id}: {used} of {expected_used} continued"))
        });
        for (begun, result) in found {
            let Ok(payload) = result else {
                broken += 1;
                continue;
            };
            whole += 1;
            if payload.len() > 7 {
                long += 1;
                let from = frames
                    .iter()
                    .position(|(at, data)| *at == begun && starts(data))
                    .unwrap();
                let rest = frames[from + 1..]
                    .iter()
                    .filter(|(_, data)| is_consecutive(data));
                let recorded = std::iter::once(&frames[from]).chain(rest);
                results.push(resend(id, &payload, recorded.map(|(_, data)| &data[..])));
            }
            messages
                .entry((bus, id))
                .or_default()
                .push((begun, payload));
        }
    }
    println!("{name}: {whole} messages, {long} of them of several frames, {broken} broken off");
    judge(name, &messages, results);
}

/// Each answer against the last request before it, on X and X + 8 or functional.
fn judge(name: &str, messages: &ByIdentifier<'_>, results: &mut Vec<Result<(), String>>) {
    let functional = CanId::standard(0x7DF).unwrap();
    let (mut answered, mut refused, mut foreign) = (0, 0, 0);
    for (&(bus, id), answers) in messages {
        let Ok(physical) = CanId::standard(id.raw() - 8) else {
            continue;
        };
        // Bit 6 tells responses from requests.
        for (at, answer) in answers.iter().filter(|(_, payload)| payload[0] & 0x40 != 0) {
            let asked = [physical, functional]
                .into_iter()
                .filter(|from| *from != id)
                .filter_map(|from| messages.get(&(bus, from)));
            let before = asked.flatten().filter(|(begun, _)| begun < at);
            let Some((_, bytes)) = before.max_by_key(|(begun, _)| *begun) else {
                continue;
            };
            let Ok(request) = Request::decode(bytes) else {
                continue;
            };
            // What every service read here repeats: 22 two bytes, 19 its sub-function, and so on.
            let repeats = match request {
                Request::Other { echo, .. } => echo,
                Request::ReadDataByIdentifier { .. } | Request::FreezeFrame { .. } => 2,
                Request::StoredDtcs
                | Request::PendingDtcs
                | Request::PermanentDtcs
                | Request::ClearDiagnosticInformation { .. } => 0,
                Request::ReadDtcInformation(
                    ReadDtc::Snapshot { .. } | ReadDtc::ExtendedData { .. },
                ) => 4,
                _ => 1,
            };
            let several = match &request {
                Request::CurrentData { pids } => pids.len() > 1,
                Request::ReadDataByIdentifier { ids } => ids.len() > 1,
                _ => false,
            };
            let suppress = u8::from(request.is_suppressed()) << 7;
            let echo: Vec<_> = bytes[1..]
                .iter()
                .take(repeats)
                .enumerate()
                .map(|(n, b)| if n == 0 { b & !suppress } else { *b })
                .collect();
            let fits = answer[0] == bytes[0] | 0x40 && answer[1..].starts_with(&echo);
            let negative = answer.len() >= 3 && answer[0] == 0x7F && answer[1] == bytes[0];
            let verdict = request.judge(answer);
            let right = match verdict {
                Verdict::Positive => fits || several,
                Verdict::Pending => negative && answer[2] == 0x78,
                Verdict::Negative(code) => {
                    negative && answer[2] == code.code() && answer[2] != 0x78
                }
                Verdict::Foreign => !fits && !negative,
            };
            match verdict {
                Verdict::Positive => answered += 1,
                Verdict::Foreign => foreign += 1,
                Verdict::Pending | Verdict::Negative(_) => refused += 1,
            }
            results.push(if right {
                Ok(())
            } else {
                Err(format!(
                    "{name} {id}: {answer:02x?} to {bytes:02x?} is {verdict:?}"
                ))
            });
        }
    }
    println!(
        "{name}: {answered} answers, {refused} refusals or promises, {foreign} that answer something else"
    );
}

/// Every message on identifiers 700 to 7FF of every log: whole with the announced length, or broken off for the right
/// reason; sent again, the same frames; each answer judged as its request wants.
#[test]
fn real_data_isotp_recorded_bus() {
    let Some(folder) = data::path("kona") else {
        return;
    };
    let mut logs: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    logs.retain(|path| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("csv"))
    });
    logs.sort();
    let mut results = Vec::new();
    for path in &logs {
        let name = path.file_name().unwrap().to_string_lossy();
        match gvret(&std::fs::read_to_string(path).unwrap()) {
            Some(log) => replay(&name, &log, &mut results),
            None => eprintln!("skipped: {name} has not the columns of a GVRET log"),
        }
    }
    if results.is_empty() {
        eprintln!("skipped: no frames on identifiers 700 to 7FF in {logs:?}");
        return;
    }
    data::report("messages", &results);
}
