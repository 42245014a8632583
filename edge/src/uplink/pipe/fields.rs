//! The data types of MQTT 5 (§1.5), read strictly, and what is said when bytes are none of them.

/// Why the broker is not spoken to any longer: the reason code that a DISCONNECT carries (§4.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The bytes are no packet of MQTT 5.
    Malformed = 0x81,
    /// A packet, but not one that may come here or with this content.
    Protocol = 0x82,
    /// A topic alias, of which we allow none.
    TopicAlias = 0x94,
    /// Longer than we said we take.
    TooLarge = 0x95,
}

/// What a broker did that MQTT 5 forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the broker breaks MQTT 5: {what}")]
pub(super) struct Fault {
    pub(super) reason: Reason,
    pub(super) what: String,
}

impl Fault {
    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self {
            reason: Reason::Malformed,
            what: what.into(),
        }
    }

    pub(super) fn protocol(what: impl Into<String>) -> Self {
        Self {
            reason: Reason::Protocol,
            what: what.into(),
        }
    }
}

/// Reads one field after another off the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self
            .0
            .split_at_checked(length)
            .ok_or_else(|| Fault::malformed("a packet ends within a field"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn two(&mut self) -> Result<u16, Fault> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn four(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_be_bytes)
    }

    /// A packet identifier, which is never 0 (§2.2.1).
    pub(super) fn packet_id(&mut self) -> Result<u16, Fault> {
        match self.two()? {
            0 => Err(Fault::protocol("a packet identifier is 0")),
            id => Ok(id),
        }
    }

    /// A variable byte integer of one to four bytes, as short as can be (§1.5.5).
    pub(super) fn variable(&mut self) -> Result<u32, Fault> {
        match variable(self.0)? {
            Some((value, length)) => {
                self.take(length)?;
                Ok(value)
            }
            None => Err(Fault::malformed("a packet ends within a field")),
        }
    }

    pub(super) fn binary(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.two()?;
        self.take(usize::from(length))
    }

    /// A UTF-8 string. Control characters and what Unicode calls noncharacters should not be in it, and a receiver may
    /// refuse them (§1.5.4): this one does.
    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        let text = std::str::from_utf8(self.binary()?)
            .map_err(|_| Fault::malformed("a text is not UTF-8"))?;
        match text.chars().find(|&c| c.is_control() || is_noncharacter(c)) {
            None => Ok(text),
            Some(c) => Err(Fault::malformed(format!(
                "a text contains U+{:04X}",
                u32::from(c)
            ))),
        }
    }
}

fn is_noncharacter(c: char) -> bool {
    let c = u32::from(c);
    c & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&c)
}

/// The variable byte integer at the front and its length in bytes; `None` while it is not whole.
pub(super) fn variable(bytes: &[u8]) -> Result<Option<(u32, usize)>, Fault> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return if byte == 0 && index > 0 {
                Err(Fault::malformed("a length is written longer than needed"))
            } else {
                Ok(Some((value, index + 1)))
            };
        }
    }
    if bytes.len() < 4 {
        Ok(None)
    } else {
        Err(Fault::malformed("a length has more than four bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_byte_integers_have_one_form() {
        for (bytes, expected) in [
            (&[0x00][..], Ok(Some((0, 1)))),
            (&[0x7f], Ok(Some((127, 1)))),
            (&[0x80, 0x01], Ok(Some((128, 2)))),
            (&[0xff, 0xff, 0xff, 0x7f], Ok(Some((268_435_455, 4)))),
            (&[], Ok(None)),
            (&[0x80, 0x80], Ok(None)),
        ] {
            assert_eq!(variable(bytes), expected, "{bytes:x?}");
        }
        for bytes in [
            &[0x80, 0x00][..],
            &[0x80, 0x80, 0x80, 0x80, 0x01],
            &[0xff; 4],
        ] {
            assert_eq!(
                variable(bytes).map_err(|fault| fault.reason),
                Err(Reason::Malformed),
                "{bytes:x?}"
            );
        }
    }

    #[test]
    fn texts_are_clean_utf8() {
        let read = |bytes: &[u8]| {
            let mut field = vec![0, bytes.len() as u8];
            field.extend(bytes);
            Fields(&field).text().map(str::to_owned)
        };
        for good in ["", "patio/1/a", "ä", "\u{2a6d4}", "\u{fffd}"] {
            assert_eq!(read(good.as_bytes()).unwrap(), good);
        }
        for bad in [
            "\0",
            "\u{1f}",
            "\u{7f}",
            "\u{9f}",
            "\u{ffff}",
            "\u{fdd0}",
            "\u{1fffe}",
        ] {
            assert!(read(bad.as_bytes()).is_err(), "{bad:?}");
        }
        // A surrogate, an overlong slash, a cut sequence.
        for bad in [&[0xed, 0xa0, 0x80][..], &[0xc0, 0xaf], &[0xc3]] {
            assert!(read(bad).is_err(), "{bad:x?}");
        }
    }
}
