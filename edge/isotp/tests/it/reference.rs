//! Frames and errors of an independent implementation.

use std::time::Duration;

use isotp::{
    Address, CanId, Config, Frame, IgnoredFrame, Link, Output, ReceiveError, SendError, StMin,
};
use serde_json::Value;

use crate::bus::Bus;
use crate::data;

/// One frame of a vector: which end, identifier, data.
type Line = (usize, CanId, Vec<u8>);

fn lines(vector: &Value) -> Vec<Line> {
    let line = |line: &Value| {
        let by = match line[0].as_str() {
            Some("A") => 0,
            Some("B") => 1,
            _ => panic!("neither A nor B: {line}"),
        };
        let raw = u32::try_from(line[1].as_u64().unwrap()).unwrap();
        let id = if line[2].as_bool().unwrap() {
            CanId::extended(raw)
        } else {
            CanId::standard(raw)
        };
        (by, id.unwrap(), data::bytes(&line[3]))
    };
    vector["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(line)
        .collect()
}

/// The first end's address, from the mode's name and what stands in the frames. What B's frames would tell is free
/// where B sent none.
fn address(mode: &str, lines: &[Line]) -> Address {
    let (_, tx, first) = &lines[0];
    let answer = lines.iter().find(|(by, ..)| *by == 1);
    let low = tx.raw() & 0xFFFF;
    let rx = answer.map_or_else(
        || {
            if tx.is_extended() {
                CanId::extended((tx.raw() & !0xFFFF) | low >> 8 | (low & 0xFF) << 8)
            } else {
                CanId::standard(tx.raw() ^ 8)
            }
            .unwrap()
        },
        |(_, id, _)| *id,
    );
    let (target, source) = ((low >> 8) as u8, low as u8);
    match mode {
        "normal11" | "normal29" => Address::normal(*tx, rx),
        "normalfixed29" => Address::normal_fixed(source, target),
        "extended11" | "extended29" => Address::extended(
            *tx,
            rx,
            answer.map_or(!first[0], |(_, _, bytes)| bytes[0]),
            first[0],
        ),
        "mixed11" => Address::mixed_11(*tx, rx, first[0]),
        "mixed29" => Address::mixed_29(source, target, first[0]),
        other => panic!("unknown addressing mode {other}"),
    }
}

fn replay(vector: &Value) -> Result<(), String> {
    let lines = lines(vector);
    let number = |key: &str| {
        u8::try_from(
            vector[key]
                .as_u64()
                .unwrap_or_else(|| panic!("no {key}: {vector}")),
        )
        .unwrap()
    };
    let payload = data::bytes(&vector["payload"]);
    let length = number("tx_data_length");
    let config = Config {
        fd: length > 8,
        tx_data_length: length,
        padding: (!vector["padding"].is_null()).then(|| number("padding")),
        block_size: number("blocksize"),
        st_min: StMin(number("stmin")),
        max_message_size: payload.len() as u32,
        ..Config::new(address(vector["mode"].as_str().unwrap(), &lines))
    };
    let other = Config {
        address: config.address.mirrored(),
        ..config.clone()
    };
    let mut bus = Bus::new(Link::new(config).unwrap(), Link::new(other).unwrap());
    bus.ends[0].send(Duration::ZERO, payload.clone()).unwrap();
    bus.run();

    let name = format!("{} bytes, {}, {length}", payload.len(), vector["mode"]);
    for (n, (sent, (by, id, bytes))) in bus.sent.iter().zip(&lines).enumerate() {
        if (sent.by, sent.frame.id(), sent.frame.data()) != (*by, *id, &bytes[..]) {
            return Err(format!(
                "{name}: frame {n} is {} of {}, not {id}#{} of {by}",
                sent.frame,
                sent.by,
                hex::encode(bytes)
            ));
        }
    }
    if bus.sent.len() != lines.len() {
        return Err(format!(
            "{name}: {} frames, not {}",
            bus.sent.len(),
            lines.len()
        ));
    }
    if bus.received(1) != [&payload[..]]
        || !bus.told[0].contains(&Output::Sent)
        || bus.failed(0)
        || bus.failed(1)
    {
        return Err(format!("{name}: told {:?}", bus.told));
    }
    Ok(())
}

/// Both ends against the reference, byte for byte and in its order.
#[test]
fn real_data_isotp_vectors() {
    let Some(path) = data::path("isotp/vectors.jsonl") else {
        return;
    };
    let results: Vec<_> = data::json_lines(&path).iter().map(replay).collect();
    data::report("exchanges", &results);
}

/// The reference's name for what we report.
fn reference_name(output: &Output) -> Option<&'static str> {
    Some(match output {
        Output::ReceiveFailed { error, .. } => match error {
            ReceiveError::TimeoutCr => "ConsecutiveFrameTimeoutError",
            ReceiveError::WrongSequenceNumber { .. } => "WrongSequenceNumberError",
            ReceiveError::InterruptedBySingleFrame => "ReceptionInterruptedWithSingleFrameError",
            ReceiveError::InterruptedByFirstFrame => "ReceptionInterruptedWithFirstFrameError",
            ReceiveError::TooLong { .. } => "FrameTooLongError",
            ReceiveError::TimeoutA => "no name",
        },
        Output::SendFailed(SendError::Overflow) => "OverflowError",
        Output::SendFailed(SendError::TimeoutBs) => "FlowControlTimeoutError",
        Output::Ignored(reason) => match reason {
            IgnoredFrame::UnexpectedConsecutiveFrame => "UnexpectedConsecutiveFrameError",
            IgnoredFrame::UnexpectedFlowControl => "UnexpectedFlowControlError",
            IgnoredFrame::MissingEscape => "MissingEscapeSequenceError",
            IgnoredFrame::ConsecutiveFrameDataLength { .. } => "ChangingInvalidRXDLError",
            IgnoredFrame::FirstFrameDataLength(_) => "InvalidCanFdFirstFrameRXDL",
            _ => "InvalidCanDataError",
        },
        _ => return None,
    })
}

fn receive(vector: &Value) -> Result<(), String> {
    let address = Address::obd_11(0);
    let mut link = Link::new(Config::new(address)).unwrap();
    let (mut payloads, mut frames, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut drain = |link: &mut Link, now| {
        while let Some(output) = link.poll(now) {
            errors.extend(reference_name(&output));
            match output {
                Output::Received { payload, .. } => payloads.push(payload),
                Output::Transmit(frame) => frames.push(frame.data().to_vec()),
                _ => {}
            }
        }
    };
    let mut now = Duration::ZERO;
    for data in vector["rx"].as_array().unwrap().iter().map(data::bytes) {
        now += Duration::from_millis(1);
        let fd = data.len() > 8;
        let frame = if fd {
            Frame::fd(address.rx_id(), &data)
        } else {
            Frame::classic(address.rx_id(), &data)
        };
        link.on_frame(now, &frame.unwrap());
        drain(&mut link, now);
    }
    drain(&mut link, now + Duration::from_mins(1));

    let list = |key: &str| vector[key].as_array().unwrap().iter();
    let mut expected: Vec<_> = list("errors")
        .map(|error| error.as_str().unwrap())
        .collect();
    // The reference leaves its timer running when a single frame ends a reception; there is nothing left to time out.
    if let [
        ..,
        "ReceptionInterruptedWithSingleFrameError",
        "ConsecutiveFrameTimeoutError",
    ] = expected[..]
    {
        expected.pop();
    }
    let same = payloads == list("payloads").map(data::bytes).collect::<Vec<_>>()
        && frames == list("tx").map(data::bytes).collect::<Vec<_>>()
        && errors == expected;
    if same {
        Ok(())
    } else {
        Err(format!(
            "{}: {payloads:02x?} {frames:02x?} {errors:?}",
            vector["case"]
        ))
    }
}

/// A receiver under bad frames: payloads, flow control and errors of the reference.
#[test]
fn real_data_isotp_rx_errors() {
    let Some(path) = data::path("isotp/rx_error_vectors.jsonl") else {
        return;
    };
    let results: Vec<_> = data::json_lines(&path).iter().map(receive).collect();
    data::report("receptions", &results);
}
