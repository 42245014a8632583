//! What our client writes, followed byte by byte: where its packets end, and which packet identifiers it has given away.

use std::collections::HashSet;

use super::fields::variable;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;

/// Follows the bytes that went out.
#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    /// The beginning of the present packet, until its identifier is known.
    head: Vec<u8>,
    /// What is left of the present packet after its head.
    left: usize,
    /// The first packet is under way or gone.
    pub(super) connect: bool,
    /// Publishes that the broker has not acknowledged.
    pub(super) publishes: HashSet<u16>,
    /// Subscriptions that it has not answered.
    pub(super) subscribes: HashSet<u16>,
}

impl Outgoing {
    /// Takes note of bytes that the socket has accepted.
    pub(super) fn wrote(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                self.left -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            self.head.push(bytes[0]);
            bytes = &bytes[1..];
            self.examine();
        }
    }

    /// Whether no packet is half written.
    pub(super) fn between_packets(&self) -> bool {
        self.head.is_empty() && self.left == 0
    }

    /// How many of these bytes belong to the packet that is half written.
    pub(super) fn rest_of_packet(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        bytes
            .iter()
            .position(|byte| {
                ahead.wrote(std::slice::from_ref(byte));
                ahead.between_packets()
            })
            .map_or(bytes.len(), |last| last + 1)
    }

    /// Reads the head once enough of it is there, and goes on to the rest of the packet.
    fn examine(&mut self) {
        let kind = self.head[0] >> 4;
        // Our client writes no malformed length; if it did, the broker would say so.
        let Ok(Some((length, width))) = variable(&self.head[1..]) else {
            return;
        };
        let (start, length) = (1 + width, length as usize);
        let two = |at: usize| {
            self.head
                .get(at..at + 2)
                .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
        };
        let identifier = match kind {
            PUBLISH if self.head[0] & 0x06 != 0 => {
                two(start).map(|topic| start + 2 + usize::from(topic))
            }
            SUBSCRIBE => Some(start),
            _ => {
                self.connect |= kind == CONNECT;
                self.done(start + length);
                return;
            }
        };
        let Some(id) = identifier.and_then(two) else {
            return;
        };
        if kind == PUBLISH {
            self.publishes.insert(id);
        } else {
            self.subscribes.insert(id);
        }
        self.done(start + length);
    }

    fn done(&mut self, whole: usize) {
        self.left = whole.saturating_sub(self.head.len());
        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CONNECT, SUBSCRIBE 7, PUBLISH 300 at QoS 1, PUBLISH at QoS 0, PINGREQ.
    fn written() -> (Vec<u8>, Vec<usize>) {
        let packets: [&[u8]; 5] = [
            &[0x10, 5, 0, 1, 2, 3, 4],
            &[0x82, 7, 0, 7, 0, 0, 1, b'a', 1],
            &[0x32, 8, 0, 1, b't', 1, 44, 0, 9, 9],
            &[0x30, 5, 0, 1, b't', 0, 9],
            &[0xc0, 0],
        ];
        let lengths = packets.iter().map(|packet| packet.len()).collect();
        (packets.concat(), lengths)
    }

    #[test]
    fn identifiers_and_ends_are_found_however_the_bytes_are_cut() {
        let (bytes, lengths) = written();
        for chunk in 1..bytes.len() {
            let mut outgoing = Outgoing::default();
            for part in bytes.chunks(chunk) {
                outgoing.wrote(part);
            }
            assert!(outgoing.between_packets() && outgoing.connect);
            assert_eq!(outgoing.publishes, HashSet::from([300]));
            assert_eq!(outgoing.subscribes, HashSet::from([7]));
        }
        let mut outgoing = Outgoing::default();
        let mut rest = &bytes[..];
        for length in lengths {
            assert_eq!(outgoing.rest_of_packet(rest), length);
            outgoing.wrote(&rest[..1]);
            assert_eq!(outgoing.rest_of_packet(&rest[1..]), length - 1);
            outgoing.wrote(&rest[1..length]);
            rest = &rest[length..];
        }
    }
}
