//! Frames that another implementation built: the same bytes out, the same content in, and nothing accepted that is damaged.

use modbus::{
    Framing,
    codec::{Exchange, crc16},
};
use serde_json::Value;
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::support::data;

struct Frame {
    name: String,
    framing: Framing,
    unit: u8,
    function: u8,
    transaction: u16,
    bytes: Vec<u8>,
}

impl Frame {
    fn read(line: &Value) -> Self {
        let number = |key: &str| {
            line[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} in {line}"))
        };
        let hex = line["frame"].as_str().unwrap();
        Self {
            name: line["name"].to_string(),
            framing: if line["framer"] == "rtu" {
                Framing::Rtu
            } else {
                Framing::Tcp
            },
            unit: number("unit") as u8,
            function: number("function") as u8,
            transaction: number("transaction_id") as u16,
            bytes: (0..hex.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
                .collect(),
        }
    }

    /// The PDU, by what the file says about the frame and the sizes of the two frames alone.
    fn pdu(&self) -> &[u8] {
        match self.framing {
            Framing::Rtu => &self.bytes[1..self.bytes.len() - 2],
            _ => &self.bytes[7..],
        }
    }
}

fn number(pdu: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([pdu[at], pdu[at + 1]])
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|b| u16::from_be_bytes([b[0], b[1]]))
        .collect()
}

fn bits(bytes: &[u8], count: usize) -> Vec<bool> {
    (0..count)
        .map(|at| bytes[at / 8] >> (at % 8) & 1 == 1)
        .collect()
}

/// The request that a request's PDU says.
fn request_of(pdu: &[u8]) -> Option<Request<'static>> {
    Some(match pdu[0] {
        1 => Request::ReadCoils(number(pdu, 1), number(pdu, 3)),
        2 => Request::ReadDiscreteInputs(number(pdu, 1), number(pdu, 3)),
        3 => Request::ReadHoldingRegisters(number(pdu, 1), number(pdu, 3)),
        4 => Request::ReadInputRegisters(number(pdu, 1), number(pdu, 3)),
        5 => Request::WriteSingleCoil(number(pdu, 1), number(pdu, 3) == 0xff00),
        6 => Request::WriteSingleRegister(number(pdu, 1), number(pdu, 3)),
        15 => Request::WriteMultipleCoils(
            number(pdu, 1),
            bits(&pdu[6..], usize::from(number(pdu, 3))).into(),
        ),
        16 => Request::WriteMultipleRegisters(number(pdu, 1), words(&pdu[6..]).into()),
        22 => Request::MaskWriteRegister(number(pdu, 1), number(pdu, 3), number(pdu, 5)),
        23 => Request::ReadWriteMultipleRegisters(
            number(pdu, 1),
            number(pdu, 3),
            number(pdu, 5),
            words(&pdu[10..]).into(),
        ),
        _ => return None,
    })
}

/// A request that the answer of this PDU answers, and what it must be read as.
fn answered(pdu: &[u8]) -> Option<(Request<'static>, Result<Response, ExceptionCode>)> {
    let data = || pdu[2..].to_vec();
    Some(match pdu[0] {
        1 => (
            Request::ReadCoils(0, u16::from(pdu[1]) * 8),
            Ok(Response::ReadCoils(bits(&data(), data().len() * 8))),
        ),
        2 => (
            Request::ReadDiscreteInputs(0, u16::from(pdu[1]) * 8),
            Ok(Response::ReadDiscreteInputs(bits(
                &data(),
                data().len() * 8,
            ))),
        ),
        3 => (
            Request::ReadHoldingRegisters(0, u16::from(pdu[1]) / 2),
            Ok(Response::ReadHoldingRegisters(words(&data()))),
        ),
        4 => (
            Request::ReadInputRegisters(0, u16::from(pdu[1]) / 2),
            Ok(Response::ReadInputRegisters(words(&data()))),
        ),
        5 => {
            let request = Request::WriteSingleCoil(number(pdu, 1), number(pdu, 3) == 0xff00);
            (
                request,
                Ok(Response::WriteSingleCoil(
                    number(pdu, 1),
                    number(pdu, 3) == 0xff00,
                )),
            )
        }
        6 => {
            let request = Request::WriteSingleRegister(number(pdu, 1), number(pdu, 3));
            (
                request,
                Ok(Response::WriteSingleRegister(
                    number(pdu, 1),
                    number(pdu, 3),
                )),
            )
        }
        15 => {
            let coils = vec![false; usize::from(number(pdu, 3))];
            let answer = Response::WriteMultipleCoils(number(pdu, 1), number(pdu, 3));
            (
                Request::WriteMultipleCoils(number(pdu, 1), coils.into()),
                Ok(answer),
            )
        }
        16 => {
            let words = vec![0; usize::from(number(pdu, 3))];
            let answer = Response::WriteMultipleRegisters(number(pdu, 1), number(pdu, 3));
            (
                Request::WriteMultipleRegisters(number(pdu, 1), words.into()),
                Ok(answer),
            )
        }
        22 => {
            let (a, and, or) = (number(pdu, 1), number(pdu, 3), number(pdu, 5));
            (
                Request::MaskWriteRegister(a, and, or),
                Ok(Response::MaskWriteRegister(a, and, or)),
            )
        }
        23 => {
            let request =
                Request::ReadWriteMultipleRegisters(0, u16::from(pdu[1]) / 2, 0, vec![0].into());
            (
                request,
                Ok(Response::ReadWriteMultipleRegisters(words(&data()))),
            )
        }
        exception @ 0x80.. => {
            let request = match exception & 0x7f {
                1 => Request::ReadCoils(0, 1),
                2 => Request::ReadDiscreteInputs(0, 1),
                3 => Request::ReadHoldingRegisters(0, 1),
                4 => Request::ReadInputRegisters(0, 1),
                5 => Request::WriteSingleCoil(0, true),
                6 => Request::WriteSingleRegister(0, 1),
                15 => Request::WriteMultipleCoils(0, vec![true].into()),
                16 => Request::WriteMultipleRegisters(0, vec![1].into()),
                22 => Request::MaskWriteRegister(0, 1, 1),
                23 => Request::ReadWriteMultipleRegisters(0, 1, 0, vec![1].into()),
                _ => return None,
            };
            (request, Err(ExceptionCode::new(pdu[1])))
        }
        _ => return None,
    })
}

fn request_agrees(frame: &Frame) -> Result<(), String> {
    let request = request_of(frame.pdu()).ok_or("unknown function")?;
    let built = Exchange::new(frame.framing, frame.transaction, frame.unit, &request)
        .map_err(|e| e.to_string())?;
    if frame.pdu()[0] != frame.function {
        return Err("the file's function is another".to_owned());
    }
    (built.frame() == frame.bytes)
        .then_some(())
        .ok_or_else(|| format!("{:02x?} was built", built.frame()))
}

fn response_agrees(frame: &Frame) -> Result<(), String> {
    let (request, expected) = answered(frame.pdu()).ok_or("unknown function")?;
    let exchange = Exchange::new(frame.framing, frame.transaction, frame.unit, &request)
        .map_err(|e| e.to_string())?;
    let found = exchange
        .answer(&request, &frame.bytes)
        .map_err(|e| e.to_string())?;
    if found != expected {
        return Err(format!("{found:?} instead of {expected:?}"));
    }
    // Nothing but this frame may be accepted: not a part, not one with more, not one with a wrong bit where bits are protected.
    for end in 0..frame.bytes.len() {
        if exchange.answer(&request, &frame.bytes[..end]).is_ok() {
            return Err(format!("the first {end} bytes were accepted"));
        }
    }
    if exchange
        .answer(&request, &[&frame.bytes[..], &[0]].concat())
        .is_ok()
    {
        return Err("one byte more was accepted".to_owned());
    }
    let protected = if frame.framing == Framing::Rtu {
        frame.bytes.len()
    } else {
        8
    };
    for bit in 0..protected * 8 {
        let mut wrong = frame.bytes.clone();
        wrong[bit / 8] ^= 0x80 >> (bit % 8);
        if exchange.answer(&request, &wrong).is_ok() {
            return Err(format!("accepted with bit {bit} wrong"));
        }
    }
    for (framing, transaction, unit) in [
        (frame.framing, frame.transaction, frame.unit ^ 1),
        (frame.framing, frame.transaction.wrapping_add(1), frame.unit),
    ] {
        let other =
            Exchange::new(framing, transaction, unit, &request).map_err(|e| e.to_string())?;
        let same = framing == Framing::Rtu && unit == frame.unit;
        if !same && other.answer(&request, &frame.bytes).is_ok() {
            return Err("the answer to another request or unit was accepted".to_owned());
        }
    }
    Ok(())
}

#[test]
fn real_data_modbus_frames() {
    let Some(folder) = data("modbus") else { return };
    let (mut agree, mut all) = (0, 0);
    for path in crate::support::files(&folder, ".jsonl") {
        for line in std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            let line: Value = serde_json::from_str(line).unwrap();
            let frame = Frame::read(&line);
            let result = if line["direction"] == "request" {
                request_agrees(&frame)
            } else {
                response_agrees(&frame)
            };
            all += 1;
            match result {
                Ok(()) => agree += 1,
                Err(says) => eprintln!("{} {:02x?}: {says}", frame.name, frame.bytes),
            }
        }
    }
    println!("{agree} of {all} agree");
    assert!(all > 0 && agree == all);
}

#[test]
fn noise_is_never_an_answer_by_chance_and_never_a_panic() {
    let mut random = crate::support::Random(7);
    let mut accepted = 0;
    for _ in 0..200_000 {
        let count = 1 + random.below(6) as u16;
        let request = Request::ReadHoldingRegisters(0, count);
        let exchange = Exchange::new(Framing::Rtu, 0, 1, &request).unwrap();
        let mut noise: Vec<u8> = (0..random.below(24)).map(|_| random.next() as u8).collect();
        // Half of it begins as the answer would.
        if random.one_in(2) {
            noise.splice(0..0, [1, 3, (count * 2) as u8]);
        }
        let valid = noise.len() > 2
            && crc16(&noise[..noise.len() - 2]).to_le_bytes() == noise[noise.len() - 2..];
        let answer = exchange.answer(&request, &noise);
        assert!(answer.is_err() || valid, "{noise:x?}");
        accepted += u32::from(answer.is_ok());
    }
    // 2⁻¹⁶ of what has the right head and length has the right checksum too.
    assert!(accepted < 10, "{accepted}");
}
