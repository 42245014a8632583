//! Who speaks to whom: the address information N_AI of ISO 15765-2:2016 §8.3.2 and its mapping to CAN identifiers (§10.3).

use crate::frame::{CanId, Frame};

/// The tester's address in 29-bit addressing (ISO 15765-4).
pub const TESTER: u8 = 0xF1;

/// Where functional requests go: an identifier to which several ECUs listen, with the address byte in front where
/// the addressing mode has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FunctionalAddress {
    /// The CAN identifier.
    pub id: CanId,
    /// The functional target address (extended) or address extension (mixed); `None` in normal addressing.
    pub prefix: Option<u8>,
}

impl FunctionalAddress {
    /// 7DF: all legislated OBD ECUs, 11 bit (ISO 15765-4).
    pub const OBD_11: Self = Self {
        id: CanId::known_standard(0x7DF),
        prefix: None,
    };

    /// 18DB33F1: all legislated OBD ECUs, 29 bit (ISO 15765-4).
    pub const OBD_29: Self = Self {
        id: CanId::known_extended(0x18DB_33F1),
        prefix: None,
    };

    /// Normal addressing on any identifier.
    pub const fn normal(id: CanId) -> Self {
        Self { id, prefix: None }
    }

    /// Whether `frame` was sent to this address; if so, the N_PDU in it.
    pub(crate) fn strip<'f>(&self, frame: &'f Frame) -> Option<&'f [u8]> {
        strip(self.id, self.prefix, frame)
    }
}

/// One side of a point-to-point connection, resolved to what stands in the frames.
///
/// The same value serves a tester and, [mirrored](Self::mirrored), the ECU it speaks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    tx_id: CanId,
    rx_id: CanId,
    tx_prefix: Option<u8>,
    rx_prefix: Option<u8>,
    functional: Option<FunctionalAddress>,
}

impl Address {
    /// Normal addressing, 11 or 29 bit (§10.3.2): the identifiers alone say who speaks to whom.
    pub const fn normal(tx_id: CanId, rx_id: CanId) -> Self {
        Self {
            tx_id,
            rx_id,
            tx_prefix: None,
            rx_prefix: None,
            functional: None,
        }
    }

    /// Normal fixed addressing, 29 bit (§10.3.3): `18DA<target><source>`, priority 6.
    pub const fn normal_fixed(source: u8, target: u8) -> Self {
        let (tx, rx) = fixed_pair(0x18DA_0000, source, target);
        Self::normal(tx, rx)
    }

    /// Extended addressing, 11 or 29 bit (§10.3.4): the target's address is the first data byte.
    /// `target` goes in front of what we send, `source` stands in front of what is meant for us.
    pub const fn extended(tx_id: CanId, rx_id: CanId, source: u8, target: u8) -> Self {
        Self {
            tx_id,
            rx_id,
            tx_prefix: Some(target),
            rx_prefix: Some(source),
            functional: None,
        }
    }

    /// Mixed addressing, 11 bit (§10.3.5): the address extension is the first data byte, both ways.
    pub const fn mixed_11(tx_id: CanId, rx_id: CanId, extension: u8) -> Self {
        Self {
            tx_id,
            rx_id,
            tx_prefix: Some(extension),
            rx_prefix: Some(extension),
            functional: None,
        }
    }

    /// Mixed addressing, 29 bit (§10.3.5): `18CE<target><source>`, the address extension as first data byte.
    pub const fn mixed_29(source: u8, target: u8, extension: u8) -> Self {
        let (tx, rx) = fixed_pair(0x18CE_0000, source, target);
        Self::mixed_11(tx, rx, extension)
    }

    /// The tester's side of the legislated OBD connection to ECU `number` (0 to 7), 11 bit (ISO 15765-4):
    /// requests on 7E0 + number, answers on 7E8 + number.
    pub const fn obd_11(number: u8) -> Self {
        let base = 0x7E0 + (number & 7) as u16;
        Self::normal(CanId::known_standard(base), CanId::known_standard(base + 8))
    }

    /// The tester's side of the legislated OBD connection to the ECU at `address`, 29 bit (ISO 15765-4):
    /// requests on `18DA<address>F1`, answers on `18DAF1<address>`.
    pub const fn obd_29(address: u8) -> Self {
        Self::normal_fixed(TESTER, address)
    }

    /// Listens to a functional address too. Only single frames are taken from it (§8.3.2).
    #[must_use]
    pub const fn with_functional(mut self, functional: FunctionalAddress) -> Self {
        self.functional = Some(functional);
        self
    }

    /// The same connection seen from the other end; the functional address is dropped.
    #[must_use]
    pub const fn mirrored(self) -> Self {
        Self {
            tx_id: self.rx_id,
            rx_id: self.tx_id,
            tx_prefix: self.rx_prefix,
            rx_prefix: self.tx_prefix,
            functional: None,
        }
    }

    /// The identifier of the frames we send, flow control included.
    pub const fn tx_id(&self) -> CanId {
        self.tx_id
    }

    /// The identifier of the frames meant for us.
    pub const fn rx_id(&self) -> CanId {
        self.rx_id
    }

    /// The functional address we listen to.
    pub const fn functional(&self) -> Option<FunctionalAddress> {
        self.functional
    }

    /// The byte in front of what we send, in extended and mixed addressing.
    pub const fn tx_prefix(&self) -> Option<u8> {
        self.tx_prefix
    }

    /// The byte in front of what is meant for us, in extended and mixed addressing.
    pub const fn rx_prefix(&self) -> Option<u8> {
        self.rx_prefix
    }

    /// Whether `frame` was sent to us alone; if so, the N_PDU in it.
    pub(crate) fn strip<'f>(&self, frame: &'f Frame) -> Option<&'f [u8]> {
        strip(self.rx_id, self.rx_prefix, frame)
    }

    /// Whether we would take our own frames for the other side's.
    pub(crate) fn hears_itself(&self) -> bool {
        self.tx_id == self.rx_id && self.tx_prefix == self.rx_prefix
    }
}

const fn fixed_pair(base: u32, source: u8, target: u8) -> (CanId, CanId) {
    let (s, t) = (source as u32, target as u32);
    (
        CanId::known_extended(base | (t << 8) | s),
        CanId::known_extended(base | (s << 8) | t),
    )
}

fn strip(id: CanId, prefix: Option<u8>, frame: &Frame) -> Option<&[u8]> {
    if frame.id() != id {
        return None;
    }
    match prefix {
        None => Some(frame.data()),
        Some(wanted) => frame
            .data()
            .split_first()
            .filter(|(first, _)| **first == wanted)
            .map(|(_, rest)| rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_identifiers_carry_target_then_source() {
        let tester = Address::obd_29(0x10);
        assert_eq!(
            (tester.tx_id().raw(), tester.rx_id().raw()),
            (0x18DA_10F1, 0x18DA_F110)
        );
        assert_eq!(tester.mirrored().tx_id().raw(), 0x18DA_F110);
        let mixed = Address::mixed_29(0xF1, 0x10, 0x99);
        assert_eq!(
            (mixed.tx_id().raw(), mixed.rx_id().raw()),
            (0x18CE_10F1, 0x18CE_F110)
        );
        assert_eq!(Address::obd_11(7).rx_id().to_string(), "7EF");
    }

    #[test]
    fn extended_addresses_are_told_apart_by_the_first_byte() {
        let (tx, rx) = (CanId::known_standard(0x6F1), CanId::known_standard(0x607));
        let address = Address::extended(tx, rx, 0xF1, 0x07);
        let ours = Frame::classic(rx, &[0xF1, 0x01, 0x3E]).unwrap();
        let other = Frame::classic(rx, &[0xF2, 0x01, 0x3E]).unwrap();
        let empty = Frame::classic(rx, &[]).unwrap();
        assert_eq!(address.strip(&ours), Some(&[0x01, 0x3E][..]));
        assert_eq!(address.strip(&other), None);
        assert_eq!(address.strip(&empty), None);
    }
}
