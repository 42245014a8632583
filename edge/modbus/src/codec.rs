//! Frames of Modbus RTU and Modbus TCP, pure: a request becomes bytes, and the bytes of an answer are held
//! against the one answer that the request allows.
//!
//! Sources: MODBUS Application Protocol Specification V1.1b3 (§6 functions, §7 exceptions), MODBUS over Serial
//! Line V1.02 (§2.5.1 RTU framing, §6.2.2 CRC), MODBUS Messaging on TCP/IP Implementation Guide V1.0b (§3.1.3).

use tokio_modbus::{ExceptionCode, Request, Response};

use crate::fault::Fault;

/// How frames are delimited on a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Unit, PDU, CRC-16; on a serial line or inside a TCP stream. Answers carry no number of their request.
    Rtu,
    /// Transaction number, length, unit, PDU (MBAP header), straight to the device that answers.
    Tcp,
    /// The same in front of a serial line. The gateway numbers the answers, but may itself have taken a late
    /// answer of the serial line for the right one: its answers are trusted no more than RTU's.
    TcpGateway,
}

impl Framing {
    /// Whether the number of an answer proves which request it belongs to.
    pub const fn numbered(self) -> bool {
        matches!(self, Self::Tcp)
    }

    /// Bytes before the PDU.
    const fn head(self) -> usize {
        match self {
            Self::Rtu => 1,
            Self::Tcp | Self::TcpGateway => 7,
        }
    }

    /// Bytes after the PDU.
    const fn tail(self) -> usize {
        match self {
            Self::Rtu => 2,
            Self::Tcp | Self::TcpGateway => 0,
        }
    }
}

/// What tells answers to different requests apart when nothing else does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Function and byte count of a read.
    Read(u8, u8),
    /// Function and the bytes that a write's answer repeats.
    Echo(u8, Vec<u8>),
}

/// Why a request cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not one of the functions 1-6, 15, 16, 22, 23.
    #[error("function {0} is not one that this client speaks")]
    Function(u8),
    /// More or fewer registers or coils than the function carries (V1.1b3 §6).
    #[error("{found} items asked for; the function carries 1 to {most}")]
    Quantity {
        /// How many were asked for.
        found: usize,
        /// How many the function carries.
        most: usize,
    },
    /// The last register would lie beyond 65535.
    #[error("{count} items from {address} on go beyond 65535")]
    Address {
        /// First.
        address: u16,
        /// How many.
        count: usize,
    },
}

/// A request as bytes, with the one answer it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    unit: u8,
    framing: Framing,
    transaction: u16,
    function: u8,
    shape: Shape,
    frame: Vec<u8>,
}

/// Most registers that a read carries (V1.1b3 §6.3).
pub const MAX_READ_REGISTERS: usize = 125;
/// Most coils that a read carries (V1.1b3 §6.1).
pub const MAX_READ_BITS: usize = 2000;

impl Exchange {
    /// The frame of a request to a unit. `transaction` is the MBAP transaction number; RTU has none.
    pub fn new(
        framing: Framing,
        transaction: u16,
        unit: u8,
        request: &Request<'_>,
    ) -> Result<Self, RequestError> {
        let pdu = request_pdu(request)?;
        let shape = shape(request)?;
        let mut frame = Vec::with_capacity(framing.head() + pdu.len() + framing.tail());
        match framing {
            Framing::Rtu => {
                frame.push(unit);
                frame.extend_from_slice(&pdu);
                let crc = crc16(&frame);
                frame.extend_from_slice(&crc.to_le_bytes());
            }
            Framing::Tcp | Framing::TcpGateway => {
                let length = u16::try_from(pdu.len() + 1).expect("a PDU has at most 253 bytes");
                frame.extend_from_slice(&transaction.to_be_bytes());
                frame.extend_from_slice(&[0, 0]);
                frame.extend_from_slice(&length.to_be_bytes());
                frame.push(unit);
                frame.extend_from_slice(&pdu);
            }
        }
        Ok(Self {
            unit,
            framing,
            transaction,
            function: pdu[0],
            shape,
            frame,
        })
    }

    /// The bytes to send.
    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// How many bytes request and full answer have together.
    pub fn length(&self) -> usize {
        self.frame.len() + self.framing.head() + self.answer_pdu_length() + self.framing.tail()
    }

    /// How many bytes the answer has in all, as far as `received` tells; no answer is ever shorter than an
    /// exception. Errors as soon as a byte shows that this is not the answer.
    pub fn answer_length(&self, received: &[u8]) -> Result<usize, Fault> {
        let (head, tail) = (self.framing.head(), self.framing.tail());
        if self.framing != Framing::Rtu {
            self.check_mbap(received)?;
        }
        let unit = received.get(head - 1);
        if let Some(&found) = unit
            && found != self.unit
        {
            return Err(Fault::Unit {
                expected: self.unit,
                found,
            });
        }
        let Some(&function) = received.get(head) else {
            return Ok(head + 2 + tail);
        };
        let pdu = if function == self.function | 0x80 {
            2
        } else if function == self.function {
            self.answer_pdu_length()
        } else {
            return Err(Fault::Function {
                expected: self.function,
                found: function,
            });
        };
        if let (Shape::Read(_, expected), Some(&found)) = (&self.shape, received.get(head + 1))
            && function == self.function
            && found != *expected
        {
            return Err(Fault::Length {
                expected: usize::from(*expected),
                found: usize::from(found),
            });
        }
        if let (true, Some(length)) = (self.framing != Framing::Rtu, received.get(4..6)) {
            let found = usize::from(u16::from_be_bytes([length[0], length[1]]));
            if found != pdu + 1 {
                return Err(Fault::Length {
                    expected: pdu + 1,
                    found,
                });
            }
        }
        Ok(head + pdu + tail)
    }

    fn answer_pdu_length(&self) -> usize {
        match &self.shape {
            Shape::Read(_, bytes) => 2 + usize::from(*bytes),
            Shape::Echo(_, bytes) => 1 + bytes.len(),
        }
    }

    fn check_mbap(&self, received: &[u8]) -> Result<(), Fault> {
        if let Some(number) = received.get(..2) {
            let found = u16::from_be_bytes([number[0], number[1]]);
            if found != self.transaction {
                return Err(Fault::Transaction {
                    expected: self.transaction,
                    found,
                });
            }
        }
        if let Some(protocol) = received.get(2..4)
            && protocol != [0, 0]
        {
            return Err(Fault::Protocol {
                found: u16::from_be_bytes([protocol[0], protocol[1]]),
            });
        }
        Ok(())
    }

    /// The answer of exactly these bytes: data, or the exception that the device answers with.
    pub fn answer(
        &self,
        request: &Request<'_>,
        received: &[u8],
    ) -> Result<Result<Response, ExceptionCode>, Fault> {
        let expected = self.answer_length(received)?;
        if received.len() != expected {
            return Err(Fault::Length {
                expected,
                found: received.len(),
            });
        }
        let (body, crc) = received.split_at(received.len() - self.framing.tail());
        if self.framing == Framing::Rtu && crc16(body).to_le_bytes() != crc {
            return Err(Fault::Crc);
        }
        let pdu = &body[self.framing.head()..];
        if pdu[0] & 0x80 != 0 {
            return Ok(Err(ExceptionCode::new(pdu[1])));
        }
        if let Shape::Echo(_, echo) = &self.shape
            && echo[..] != pdu[1..]
        {
            return Err(Fault::Echo);
        }
        Ok(Ok(response(request, &pdu[1..])))
    }
}

/// The shape of the answer to a request.
pub fn shape(request: &Request<'_>) -> Result<Shape, RequestError> {
    let pair = |a: u16, b: u16| [a.to_be_bytes(), b.to_be_bytes()].concat();
    Ok(match request {
        Request::ReadCoils(_, n) => Shape::Read(1, n.div_ceil(8) as u8),
        Request::ReadDiscreteInputs(_, n) => Shape::Read(2, n.div_ceil(8) as u8),
        Request::ReadHoldingRegisters(_, n) => Shape::Read(3, (n * 2) as u8),
        Request::ReadInputRegisters(_, n) => Shape::Read(4, (n * 2) as u8),
        Request::ReadWriteMultipleRegisters(_, n, _, _) => Shape::Read(23, (n * 2) as u8),
        Request::WriteSingleCoil(a, on) => Shape::Echo(5, pair(*a, if *on { 0xff00 } else { 0 })),
        Request::WriteSingleRegister(a, v) => Shape::Echo(6, pair(*a, *v)),
        Request::WriteMultipleCoils(a, bits) => Shape::Echo(15, pair(*a, bits.len() as u16)),
        Request::WriteMultipleRegisters(a, words) => Shape::Echo(16, pair(*a, words.len() as u16)),
        Request::MaskWriteRegister(a, and, or) => {
            Shape::Echo(22, [pair(*a, *and), or.to_be_bytes().to_vec()].concat())
        }
        other => return Err(RequestError::Function(other.function_code().value())),
    })
}

fn request_pdu(request: &Request<'_>) -> Result<Vec<u8>, RequestError> {
    let read = |function: u8, address: u16, count: u16, most: usize| {
        span(address, usize::from(count), most)?;
        Ok([
            &[function][..],
            &address.to_be_bytes(),
            &count.to_be_bytes(),
        ]
        .concat())
    };
    let echo = || match shape(request)? {
        Shape::Echo(function, bytes) => Ok([&[function][..], &bytes].concat()),
        Shape::Read(function, _) => Err(RequestError::Function(function)),
    };
    match request {
        Request::ReadCoils(a, n) => read(1, *a, *n, MAX_READ_BITS),
        Request::ReadDiscreteInputs(a, n) => read(2, *a, *n, MAX_READ_BITS),
        Request::ReadHoldingRegisters(a, n) => read(3, *a, *n, MAX_READ_REGISTERS),
        Request::ReadInputRegisters(a, n) => read(4, *a, *n, MAX_READ_REGISTERS),
        Request::WriteSingleCoil(..)
        | Request::WriteSingleRegister(..)
        | Request::MaskWriteRegister(..) => echo(),
        Request::WriteMultipleCoils(a, bits) => {
            span(*a, bits.len(), 1968)?;
            Ok(with_data(echo()?, &pack_bits(bits)))
        }
        Request::WriteMultipleRegisters(a, words) => {
            span(*a, words.len(), 123)?;
            Ok(with_data(echo()?, &words_to_bytes(words)))
        }
        Request::ReadWriteMultipleRegisters(from, count, to, words) => {
            span(*to, words.len(), 121)?;
            let pdu = read(23, *from, *count, MAX_READ_REGISTERS)?;
            let written = [to.to_be_bytes(), (words.len() as u16).to_be_bytes()].concat();
            Ok(with_data([pdu, written].concat(), &words_to_bytes(words)))
        }
        other => Err(RequestError::Function(other.function_code().value())),
    }
}

fn span(address: u16, count: usize, most: usize) -> Result<(), RequestError> {
    if count == 0 || count > most {
        return Err(RequestError::Quantity { found: count, most });
    }
    if usize::from(address) + count > 0x1_0000 {
        return Err(RequestError::Address { address, count });
    }
    Ok(())
}

fn with_data(mut pdu: Vec<u8>, data: &[u8]) -> Vec<u8> {
    pdu.push(u8::try_from(data.len()).expect("`span` allows at most 246 bytes"));
    pdu.extend_from_slice(data);
    pdu
}

fn words_to_bytes(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// Coils travel eight to a byte, the first in the lowest bit (V1.1b3 §6.1).
fn pack_bits(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8)
        .map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0, |byte, &bit| byte << 1 | u8::from(bit))
        })
        .collect()
}

/// `data` is what follows the function code of an answer whose length and echo have been checked.
fn response(request: &Request<'_>, data: &[u8]) -> Response {
    let words = || {
        data[1..]
            .chunks_exact(2)
            .map(|b| u16::from_be_bytes([b[0], b[1]]))
            .collect::<Vec<u16>>()
    };
    let bits = |n: u16| {
        (0..usize::from(n))
            .map(|i| data[1 + i / 8] >> (i % 8) & 1 == 1)
            .collect::<Vec<bool>>()
    };
    match request {
        Request::ReadCoils(_, n) => Response::ReadCoils(bits(*n)),
        Request::ReadDiscreteInputs(_, n) => Response::ReadDiscreteInputs(bits(*n)),
        Request::ReadHoldingRegisters(..) => Response::ReadHoldingRegisters(words()),
        Request::ReadInputRegisters(..) => Response::ReadInputRegisters(words()),
        Request::ReadWriteMultipleRegisters(..) => Response::ReadWriteMultipleRegisters(words()),
        Request::WriteSingleCoil(a, on) => Response::WriteSingleCoil(*a, *on),
        Request::WriteSingleRegister(a, v) => Response::WriteSingleRegister(*a, *v),
        Request::WriteMultipleCoils(a, bits) => Response::WriteMultipleCoils(*a, bits.len() as u16),
        Request::WriteMultipleRegisters(a, words) => {
            Response::WriteMultipleRegisters(*a, words.len() as u16)
        }
        Request::MaskWriteRegister(a, and, or) => Response::MaskWriteRegister(*a, *and, *or),
        other => Response::Custom(other.function_code().value(), data.to_vec().into()),
    }
}

/// CRC-16/MODBUS: polynomial 0x8005 reflected, initial value 0xFFFF, sent low byte first.
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xffff, |crc, &byte| {
        (0..8).fold(crc ^ u16::from(byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xa001
            } else {
                crc >> 1
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn a_read_and_its_answer() {
        let request = Request::ReadHoldingRegisters(0x6b, 3);
        let exchange = Exchange::new(Framing::Rtu, 0, 0x11, &request).unwrap();
        assert_eq!(exchange.frame(), hex("1103006b00037687"));
        let answer = hex("110306ae415652434049ad");
        let words = vec![0xae41, 0x5652, 0x4340];
        assert_eq!(
            exchange.answer(&request, &answer),
            Ok(Ok(Response::ReadHoldingRegisters(words)))
        );
        assert_eq!(
            exchange.answer(&request, &answer[..10]),
            Err(Fault::Length {
                expected: 11,
                found: 10
            })
        );
    }

    #[test]
    fn every_flip_of_up_to_three_bits_is_seen() {
        let request = Request::ReadInputRegisters(0, 2);
        let exchange = Exchange::new(Framing::Rtu, 0, 1, &request).unwrap();
        let answer = hex("01040442480a3da89b");
        assert!(exchange.answer(&request, &answer).is_ok());
        let bits = answer.len() * 8;
        for a in 0..bits {
            for b in a..bits {
                for c in b..bits {
                    let mut wrong = answer.clone();
                    for bit in [a, b, c] {
                        wrong[bit / 8] ^= 1 << (bit % 8);
                    }
                    // Flipping the same bit twice leaves one flip; three times the same also.
                    assert!(
                        exchange.answer(&request, &wrong).is_err(),
                        "bits {a} {b} {c}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_write_must_be_repeated_exactly() {
        let request = Request::WriteSingleRegister(1, 3);
        let exchange = Exchange::new(Framing::Tcp, 7, 1, &request).unwrap();
        assert_eq!(exchange.frame(), hex("000700000006010600010003"));
        assert!(
            exchange
                .answer(&request, &hex("000700000006010600010003"))
                .is_ok()
        );
        assert_eq!(
            exchange.answer(&request, &hex("000700000006010600010004")),
            Err(Fault::Echo)
        );
        let late = exchange.answer(&request, &hex("000600000006010600010003"));
        assert_eq!(
            late,
            Err(Fault::Transaction {
                expected: 7,
                found: 6
            })
        );
    }

    #[test]
    fn impossible_requests_are_refused() {
        for (request, says) in [
            (Request::ReadHoldingRegisters(0, 126), "1 to 125"),
            (Request::ReadCoils(0, 0), "1 to 2000"),
            (Request::ReadInputRegisters(65535, 2), "beyond 65535"),
            (Request::ReportServerId, "function 17"),
        ] {
            let error = Exchange::new(Framing::Rtu, 0, 1, &request)
                .unwrap_err()
                .to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
