//! Frames of Modbus TCP (MODBUS Messaging on TCP/IP V1.0b §3.1.3) and the requests that the devices know. Pure.

use super::map::Exception;

/// A request with its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Transaction identifier, repeated in the answer.
    pub transaction: u16,
    /// Unit identifier.
    pub unit: u8,
    /// Function and data.
    pub pdu: Vec<u8>,
}

/// What a request wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Function 3.
    Read {
        /// First register.
        address: u16,
        /// How many.
        count: u16,
    },
    /// Functions 6 and 16.
    Write {
        /// First register.
        address: u16,
        /// What to write.
        words: Vec<u16>,
    },
}

/// The stream is not Modbus TCP: the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a frame of Modbus TCP")]
pub struct NotModbus;

/// Takes the first whole request from the front of `bytes`.
pub fn take(bytes: &mut Vec<u8>) -> Result<Option<Request>, NotModbus> {
    let &[t1, t0, p1, p0, l1, l0, unit, ..] = &bytes[..] else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([l1, l0]));
    if [p1, p0] != [0, 0] || !(2..=254).contains(&length) {
        return Err(NotModbus);
    }
    if bytes.len() < 6 + length {
        return Ok(None);
    }
    let frame: Vec<u8> = bytes.drain(..6 + length).collect();
    Ok(Some(Request {
        transaction: u16::from_be_bytes([t1, t0]),
        unit,
        pdu: frame[7..].to_vec(),
    }))
}

impl Request {
    /// What it wants.
    pub fn wish(&self) -> Result<Wish, Exception> {
        let word = |at: usize| match self.pdu.get(at..at + 2) {
            Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
            _ => Err(Exception::IllegalDataValue),
        };
        match self.pdu.first() {
            Some(3) => Ok(Wish::Read {
                address: word(1)?,
                count: word(3)?,
            }),
            Some(6) => Ok(Wish::Write {
                address: word(1)?,
                words: vec![word(3)?],
            }),
            Some(16) => {
                let count = usize::from(word(3)?);
                if self.pdu.get(5).map(|bytes| usize::from(*bytes)) != Some(2 * count) {
                    return Err(Exception::IllegalDataValue);
                }
                Ok(Wish::Write {
                    address: word(1)?,
                    words: (0..count)
                        .map(|n| word(6 + 2 * n))
                        .collect::<Result<_, _>>()?,
                })
            }
            _ => Err(Exception::IllegalFunction),
        }
    }

    /// The frame that answers with these registers.
    pub fn registers(&self, words: &[u16]) -> Vec<u8> {
        let mut pdu = vec![3, 2 * words.len() as u8];
        pdu.extend(words.iter().flat_map(|word| word.to_be_bytes()));
        self.frame(self.unit, &pdu)
    }

    /// The frame that confirms a write.
    pub fn confirmation(&self) -> Vec<u8> {
        // Function 6 repeats the request, function 16 repeats address and count.
        self.frame(self.unit, self.pdu.get(..5).unwrap_or(&self.pdu))
    }

    /// The frame that refuses.
    pub fn exception(&self, exception: Exception) -> Vec<u8> {
        let function = self.pdu.first().copied().unwrap_or(0);
        self.frame(self.unit, &[function | 0x80, exception as u8])
    }

    /// A frame with any unit and data.
    pub fn frame(&self, unit: u8, pdu: &[u8]) -> Vec<u8> {
        let length = (pdu.len() + 1) as u16;
        let mut frame = Vec::with_capacity(7 + pdu.len());
        frame.extend(self.transaction.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(length.to_be_bytes());
        frame.push(unit);
        frame.extend(pdu);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_cut_out_of_the_stream() {
        let mut bytes = vec![0, 7, 0, 0, 0, 6, 1, 3, 0, 100, 0];
        assert_eq!(take(&mut bytes), Ok(None));
        bytes.extend([22, 0, 8, 0, 0, 0, 6, 1, 6, 0, 200, 0, 160]);
        let read = take(&mut bytes).unwrap().unwrap();
        assert_eq!((read.transaction, read.unit), (7, 1));
        assert_eq!(
            read.wish(),
            Ok(Wish::Read {
                address: 100,
                count: 22
            })
        );
        let write = take(&mut bytes).unwrap().unwrap();
        let words = vec![160];
        assert_eq!(
            write.wish(),
            Ok(Wish::Write {
                address: 200,
                words
            })
        );
        assert_eq!(
            write.confirmation(),
            [0, 8, 0, 0, 0, 6, 1, 6, 0, 200, 0, 160]
        );
        assert!(bytes.is_empty());
        assert_eq!(
            read.registers(&[0x1234]),
            [0, 7, 0, 0, 0, 5, 1, 3, 2, 0x12, 0x34]
        );
        let refused = read.exception(Exception::IllegalDataAddress);
        assert_eq!(refused, [0, 7, 0, 0, 0, 3, 1, 0x83, 2]);
    }

    #[test]
    fn nonsense_is_refused() {
        let request = |pdu: &[u8]| Request {
            transaction: 0,
            unit: 1,
            pdu: pdu.to_vec(),
        };
        assert_eq!(
            request(&[4, 0, 0, 0, 1]).wish(),
            Err(Exception::IllegalFunction)
        );
        assert_eq!(
            request(&[3, 0, 0, 0]).wish(),
            Err(Exception::IllegalDataValue)
        );
        assert_eq!(
            request(&[16, 0, 200, 0, 2, 2, 0, 1]).wish(),
            Err(Exception::IllegalDataValue)
        );
        assert_eq!(
            request(&[16, 0, 200, 0, 1, 2, 0]).wish(),
            Err(Exception::IllegalDataValue)
        );
        assert_eq!(take(&mut vec![0, 0, 0, 1, 0, 6, 1]), Err(NotModbus));
        assert_eq!(take(&mut vec![0, 0, 0, 0, 1, 0, 1]), Err(NotModbus));
    }
}
