//! Reassembly by looking ahead over a whole recording, without any state machine: what a [`Link`](isotp::Link) is
//! compared with. Knows classic frames of one identifier only.

use std::time::Duration;

/// What became of a message that began: when, and its bytes or why it broke off.
pub(crate) type Outcome = (Duration, Result<Vec<u8>, &'static str>);

/// The messages on one identifier by looking ahead over the whole log, without any state machine: the oracle.
/// Also says how many consecutive frames belong to a message or ended one.
pub(crate) fn look_ahead(frames: &[(Duration, Vec<u8>)]) -> (Vec<Outcome>, usize) {
    let mut outcomes = Vec::new();
    let mut used = 0;
    // Frames of another type neither carry nor disturb messages.
    let frames: Vec<_> = frames
        .iter()
        .filter(|(_, data)| starts(data) || is_consecutive(data))
        .collect();
    for (n, (begun, data)) in frames.iter().enumerate() {
        if is_consecutive(data) {
            continue;
        }
        if data[0] >> 4 == 0 {
            outcomes.push((*begun, Ok(data[1..=usize::from(data[0])].to_vec())));
            continue;
        }
        let announced = announced(data);
        let mut payload = data[if announced > 4095 { 6 } else { 2 }..].to_vec();
        let mut last = *begun;
        let mut result = Err("N_TIMEOUT_Cr");
        let mut number = 1;
        for (at, next) in &frames[n + 1..] {
            if *at >= last + Duration::from_secs(1) {
                break;
            }
            if starts(next) {
                result = Err("N_UNEXP_PDU");
                break;
            }
            if next[0] & 0x0F != number % 16 {
                used += 1;
                result = Err("N_WRONG_SN");
                break;
            }
            // Only the last frame may be shorter than the first.
            let is_last = payload.len() + next.len() > announced;
            if !is_last && next.len() != data.len() {
                continue;
            }
            used += 1;
            number += 1;
            payload.extend_from_slice(&next[1..]);
            last = *at;
            if is_last {
                payload.truncate(announced);
                result = Ok(payload);
                break;
            }
        }
        outcomes.push((*begun, result));
    }
    (outcomes, used)
}

fn announced(data: &[u8]) -> usize {
    match usize::from(data[0] & 0x0F) << 8 | usize::from(data[1]) {
        0 => u32::from_be_bytes(data[2..6].try_into().unwrap()) as usize,
        short => short,
    }
}

/// Whether a frame begins a message: a single frame that holds what it says, or a full first frame that leaves a rest.
pub(crate) fn starts(data: &[u8]) -> bool {
    match data.first().map(|byte| byte >> 4) {
        Some(0) => data[0] > 0 && data.len() <= 8 && data.len() > usize::from(data[0]),
        Some(1) if data.len() == 8 => match (data[0], data[1]) {
            (0x10, 0) => announced(data) > 4095,
            _ => announced(data) > 6,
        },
        _ => false,
    }
}

/// Whether a frame continues a message.
pub(crate) fn is_consecutive(data: &[u8]) -> bool {
    data.first().is_some_and(|byte| byte >> 4 == 2)
}
