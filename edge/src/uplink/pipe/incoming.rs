//! The check of what a broker sends, before our client sees it (MQTT 5 §2 and §3).
//!
//! The client's own decoder takes much that the standard forbids, waits for ever on some of it, and ends a healthy
//! connection over a stray acknowledgement. It gets only what it understands: packets are passed on, brought into their
//! plainest form, answered here, or dropped; and a broker that breaks the protocol is told so, once.

use bytes::{Bytes, BytesMut};

use super::{
    fields::{Fault, Fields, Reason, variable},
    outgoing::Outgoing,
    property::{self, Carrier, Value},
};

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The client gets these bytes.
    Pass(Bytes),
    /// Nobody has to know.
    Drop,
    /// The broker gets these bytes.
    Answer([u8; 4]),
}

/// Checks one packet after another.
#[derive(Debug)]
pub(super) struct Incoming {
    connected: bool,
    /// Longest remaining length to take.
    longest: usize,
    /// Keep-alive that we have asked for, in seconds.
    keep_alive: u16,
}

const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBREL: u8 = 6;
const PUBCOMP: u8 = 7;
const SUBACK: u8 = 9;
const UNSUBACK: u8 = 11;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;

/// What a broker that knows no MQTT 5 says to it (MQTT 3.1.1 §3.2.2.3).
const UNACCEPTABLE_VERSION: u8 = 1;
const CONNACK_CODES: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97,
    0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
];
/// Of PUBACK and PUBREC.
const PUBLISH_CODES: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
/// Of PUBREL and PUBCOMP.
const RELEASE_CODES: &[u8] = &[0x00, 0x92];
const SUBACK_CODES: &[u8] = &[
    0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2,
];
const DISCONNECT_CODES: &[u8] = &[
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96,
    0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

impl Incoming {
    pub(super) fn new(longest: usize, keep_alive: u16) -> Self {
        Self {
            connected: false,
            longest,
            keep_alive,
        }
    }

    /// Takes a packet off the front and says what becomes of it; `None` until one is whole. A fault is found at the
    /// first byte that shows it.
    pub(super) fn next(
        &mut self,
        buffer: &mut BytesMut,
        outgoing: &mut Outgoing,
    ) -> Result<Option<Action>, Fault> {
        let Some(&first) = buffer.first() else {
            return Ok(None);
        };
        self.expected(first)?;
        let Some((length, width)) = variable(&buffer[1..])? else {
            return Ok(None);
        };
        let length = length as usize;
        if length > self.longest {
            return Err(Fault {
                reason: Reason::TooLarge,
                what: format!("a packet of {length} bytes, we take {}", self.longest),
            });
        }
        if buffer.len() < 1 + width + length {
            return Ok(None);
        }
        let mut packet = buffer.split_to(1 + width + length);
        let mut fields = Fields(&packet[1 + width..]);
        let action = match first >> 4 {
            CONNACK => self.connack(&mut fields)?,
            PUBLISH => {
                publish(first, fields)?;
                if first & 0x06 == 0 {
                    // DUP means nothing at QoS 0 (§3.3.1.1); the decoder would refuse it.
                    packet[0] &= !0x08;
                }
                return Ok(Some(Action::Pass(packet.freeze())));
            }
            kind @ (PUBACK | PUBREC | PUBREL | PUBCOMP) => {
                let (id, code) = acknowledgement(kind, &mut fields)?;
                let [high, low] = id.to_be_bytes();
                match kind {
                    PUBACK if outgoing.publishes.remove(&id) => Action::Pass(packet.freeze()),
                    // We publish nothing at QoS 2, but a broker that thinks so is let go on (§4.3.3).
                    PUBREC if code < 0x80 => Action::Answer([0x62, 2, high, low]),
                    PUBREL => Action::Pass(Bytes::copy_from_slice(&[0x62, 2, high, low])),
                    _ => Action::Drop,
                }
            }
            SUBACK => {
                let id = fields.packet_id()?;
                property::read(&mut fields, Carrier::Ack, |_, _| Ok(()))?;
                if fields.is_empty() {
                    return Err(Fault::protocol("a SUBACK without a reason code"));
                }
                while !fields.is_empty() {
                    known(fields.byte()?, SUBACK_CODES)?;
                }
                if outgoing.subscribes.remove(&id) {
                    Action::Pass(packet.freeze())
                } else {
                    Action::Drop
                }
            }
            UNSUBACK => {
                // We never unsubscribe: what it says concerns nobody, but it has to be a packet.
                fields.packet_id()?;
                property::read(&mut fields, Carrier::Ack, |_, _| Ok(()))?;
                Action::Drop
            }
            PINGRESP => {
                end(fields)?;
                Action::Pass(packet.freeze())
            }
            DISCONNECT => match disconnect(&mut fields)? {
                // The decoder waits for ever for properties that may be left out (§3.14.2.2.1).
                code if length < 2 => Action::Pass(Bytes::copy_from_slice(&[first, 2, code, 0])),
                _ => Action::Pass(packet.freeze()),
            },
            kind => return Err(Fault::protocol(format!("packet type {kind}"))),
        };
        Ok(Some(action))
    }

    /// Whether a packet may begin with this byte now (table 2-1 and 2-2, §3.2).
    fn expected(&self, first: u8) -> Result<(), Fault> {
        let (kind, flags) = (first >> 4, first & 0x0f);
        let sound = match kind {
            0 => false,
            PUBLISH => flags & 0x06 != 0x06,
            PUBREL | 8 | 10 => flags == 0x02,
            _ => flags == 0,
        };
        if !sound {
            return Err(Fault::malformed(format!("0x{first:02x} begins no packet")));
        }
        let due = if self.connected {
            matches!(
                kind,
                PUBLISH
                    | PUBACK
                    | PUBREC
                    | PUBREL
                    | PUBCOMP
                    | SUBACK
                    | UNSUBACK
                    | PINGRESP
                    | DISCONNECT
            )
        } else {
            kind == CONNACK
        };
        if due {
            Ok(())
        } else {
            let when = if self.connected {
                "after"
            } else {
                "instead of"
            };
            Err(Fault::protocol(format!(
                "packet type {kind} {when} the CONNACK"
            )))
        }
    }

    /// The client gets a CONNACK with only those properties that bind us: it ends connections over others, and would
    /// follow a keep-alive so long that a dead connection were found late.
    fn connack(&mut self, fields: &mut Fields<'_>) -> Result<Action, Fault> {
        let flags = fields.byte()?;
        if flags & 0xfe != 0 {
            return Err(Fault::malformed("reserved flags in the CONNACK"));
        }
        let code = fields.byte()?;
        if code == UNACCEPTABLE_VERSION {
            return Err(Fault::protocol("it speaks an older version only"));
        }
        known(code, CONNACK_CODES)?;
        let mut kept = Vec::new();
        property::read(fields, Carrier::ConnAck, |id, value| {
            match (id, value) {
                (property::RECEIVE_MAXIMUM, Value::Number(number)) => {
                    kept.push(id);
                    kept.extend((number as u16).to_be_bytes());
                }
                (property::SERVER_KEEP_ALIVE, Value::Number(number))
                    if (1..u32::from(self.keep_alive)).contains(&number) =>
                {
                    kept.push(id);
                    kept.extend((number as u16).to_be_bytes());
                }
                (property::MAXIMUM_QOS, Value::Number(number)) => {
                    kept.extend([id, number as u8]);
                }
                (property::MAXIMUM_PACKET_SIZE, Value::Number(number)) => {
                    kept.push(id);
                    kept.extend(number.to_be_bytes());
                }
                (property::ASSIGNED_CLIENT_IDENTIFIER, _) => {
                    return Err(Fault::protocol("we have a name and were given another"));
                }
                (property::REASON_STRING, Value::Text(why)) if code >= 0x80 => {
                    tracing::warn!(why, "the broker refuses the connection");
                }
                _ => {}
            }
            Ok(())
        })?;
        end(*fields)?;
        // We begin every connection without a session (§3.2.2.1.1).
        if flags & 1 != 0 {
            return Err(Fault::protocol("a session that we did not ask for"));
        }
        self.connected = code == 0;
        // Each kept property is there once: the length is below 128.
        let mut connack = vec![0x20, 3 + kept.len() as u8, flags, code, kept.len() as u8];
        connack.extend(kept);
        Ok(Action::Pass(connack.into()))
    }
}

fn publish(first: u8, mut fields: Fields<'_>) -> Result<(), Fault> {
    let topic = fields.text()?;
    if topic.contains(['+', '#']) {
        return Err(Fault::malformed("a topic name contains a wildcard"));
    }
    if first & 0x06 != 0 {
        fields.packet_id()?;
    }
    property::read(&mut fields, Carrier::Publish, |_, _| Ok(()))?;
    if topic.is_empty() {
        return Err(Fault::protocol("a message without a topic"));
    }
    Ok(())
}

/// Identifier and reason code of PUBACK, PUBREC, PUBREL and PUBCOMP; code and properties may be left out (§3.4.2.1).
fn acknowledgement(kind: u8, fields: &mut Fields<'_>) -> Result<(u16, u8), Fault> {
    let id = fields.packet_id()?;
    let mut code = 0;
    if !fields.is_empty() {
        code = fields.byte()?;
        let codes = if kind == PUBACK || kind == PUBREC {
            PUBLISH_CODES
        } else {
            RELEASE_CODES
        };
        known(code, codes)?;
    }
    if !fields.is_empty() {
        property::read(fields, Carrier::Ack, |_, _| Ok(()))?;
    }
    end(*fields)?;
    Ok((id, code))
}

/// The reason code; it and the properties may be left out.
fn disconnect(fields: &mut Fields<'_>) -> Result<u8, Fault> {
    let mut code = 0;
    if !fields.is_empty() {
        code = fields.byte()?;
        known(code, DISCONNECT_CODES)?;
    }
    if !fields.is_empty() {
        property::read(fields, Carrier::Disconnect, |_, _| Ok(()))?;
    }
    end(*fields)?;
    Ok(code)
}

fn known(code: u8, codes: &[u8]) -> Result<(), Fault> {
    if codes.contains(&code) {
        Ok(())
    } else {
        Err(Fault::protocol(format!(
            "0x{code:02x} is no reason code of this packet"
        )))
    }
}

fn end(fields: Fields<'_>) -> Result<(), Fault> {
    if fields.is_empty() {
        Ok(())
    } else {
        Err(Fault::malformed("something follows the end of a packet"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONGEST: usize = 1000;

    fn connected() -> Incoming {
        Incoming {
            connected: true,
            ..Incoming::new(LONGEST, 5)
        }
    }

    fn check(incoming: &mut Incoming, packet: &[u8]) -> Result<Option<Action>, Reason> {
        let mut outgoing = Outgoing::default();
        outgoing.publishes.insert(7);
        outgoing.subscribes.insert(8);
        incoming
            .next(&mut BytesMut::from(packet), &mut outgoing)
            .map_err(|fault| fault.reason)
    }

    #[allow(clippy::unnecessary_wraps, reason = "it stands beside faults")]
    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is what `check` gives for what passes"
    )]
    fn pass(bytes: &[u8]) -> Result<Option<Action>, Reason> {
        Ok(Some(Action::Pass(Bytes::copy_from_slice(bytes))))
    }

    #[test]
    fn a_connack_comes_first_once_and_is_brought_down_to_what_binds_us() {
        let mut incoming = Incoming::new(LONGEST, 5);
        assert_eq!(check(&mut incoming, &[0xd0, 0]), Err(Reason::Protocol));
        // Receive maximum 9, response information, keep-alive 60, maximum QoS 0.
        let long = [
            0x20, 15, 0, 0, 12, 0x21, 0, 9, 0x1a, 0, 1, b'x', 0x13, 0, 60, 0x24, 0,
        ];
        assert_eq!(
            check(&mut incoming, &long),
            pass(&[0x20, 8, 0, 0, 5, 0x21, 0, 9, 0x24, 0])
        );
        assert_eq!(
            check(&mut incoming, &[0x20, 3, 0, 0, 0]),
            Err(Reason::Protocol)
        );
        for (bad, reason) in [
            (&[0x20, 3, 1, 0, 0][..], Reason::Protocol),
            (&[0x20, 3, 2, 0, 0], Reason::Malformed),
            (&[0x20, 3, 0, 1, 0], Reason::Protocol),
            (&[0x20, 2, 0, 0], Reason::Malformed),
            (&[0x20, 4, 0, 0, 0, 0], Reason::Malformed),
            (&[0x21], Reason::Malformed),
            (&[0x20, 7, 0, 0, 4, 0x12, 0, 1, b'x'], Reason::Protocol),
        ] {
            assert_eq!(
                check(&mut Incoming::new(LONGEST, 5), bad),
                Err(reason),
                "{bad:x?}"
            );
        }
        let refused = [0x20, 3, 0, 0x87, 0];
        assert_eq!(
            check(&mut Incoming::new(LONGEST, 5), &refused),
            pass(&refused)
        );
    }

    #[test]
    fn acknowledgements_are_for_what_was_sent() {
        for (packet, expected) in [
            (&[0x40, 2, 0, 7][..], pass(&[0x40, 2, 0, 7])),
            (&[0x40, 3, 0, 7, 0x87], pass(&[0x40, 3, 0, 7, 0x87])),
            (&[0x40, 2, 0, 9], Ok(Some(Action::Drop))),
            (&[0x40, 2, 0, 0], Err(Reason::Protocol)),
            (&[0x40, 3, 0, 7, 0x01], Err(Reason::Protocol)),
            (&[0x40, 5, 0, 7, 0, 0, 0], Err(Reason::Malformed)),
            (&[0x40, 4, 0, 7, 0, 1], Err(Reason::Malformed)),
            (&[0x40, 1, 7], Err(Reason::Malformed)),
            (&[0x42], Err(Reason::Malformed)),
            (&[0x50, 2, 1, 2], Ok(Some(Action::Answer([0x62, 2, 1, 2])))),
            (&[0x50, 3, 1, 2, 0x80], Ok(Some(Action::Drop))),
            (&[0x62, 4, 1, 2, 0x92, 0], pass(&[0x62, 2, 1, 2])),
            (&[0x70, 2, 1, 2], Ok(Some(Action::Drop))),
            (&[0x90, 4, 0, 8, 0, 1], pass(&[0x90, 4, 0, 8, 0, 1])),
            (&[0x90, 4, 0, 9, 0, 1], Ok(Some(Action::Drop))),
            (&[0x90, 3, 0, 8, 0], Err(Reason::Protocol)),
            (&[0xb0, 3, 0, 1, 0], Ok(Some(Action::Drop))),
            (&[0xb0, 2, 0, 1], Err(Reason::Malformed)),
        ] {
            assert_eq!(check(&mut connected(), packet), expected, "{packet:x?}");
        }
    }

    #[test]
    fn messages_and_the_rest() {
        let qos1 = [0x32, 7, 0, 1, b't', 0, 5, 0, 9];
        for (packet, expected) in [
            (&qos1[..], pass(&qos1)),
            // DUP at QoS 0.
            (
                &[0x38, 5, 0, 1, b't', 0, 9],
                pass(&[0x30, 5, 0, 1, b't', 0, 9]),
            ),
            (&[0x36], Err(Reason::Malformed)),
            (&[0x30, 3, 0, 0, 0], Err(Reason::Protocol)),
            (&[0x30, 4, 0, 1, b'#', 0], Err(Reason::Malformed)),
            (&[0x30, 4, 0, 1, 0xff, 0], Err(Reason::Malformed)),
            (&[0x32, 6, 0, 1, b't', 0, 0, 0], Err(Reason::Protocol)),
            (&[0xd0, 0], pass(&[0xd0, 0])),
            (&[0xd0, 1, 0], Err(Reason::Malformed)),
            (&[0xe0, 0], pass(&[0xe0, 2, 0, 0])),
            (&[0xe0, 1, 0x8b], pass(&[0xe0, 2, 0x8b, 0])),
            (
                &[0xe0, 6, 0x8b, 4, 0x1f, 0, 1, b'x'],
                pass(&[0xe0, 6, 0x8b, 4, 0x1f, 0, 1, b'x']),
            ),
            (&[0xe0, 1, 0x04], Err(Reason::Protocol)),
            (&[0xe1], Err(Reason::Malformed)),
            (&[0x00], Err(Reason::Malformed)),
            (&[0xf0], Err(Reason::Protocol)),
            (&[0xc0], Err(Reason::Protocol)),
            (&[0x10], Err(Reason::Protocol)),
            (&[0x82], Err(Reason::Protocol)),
            (&[0x30, 0x80, 0x80, 0x80, 0x80], Err(Reason::Malformed)),
            (&[0x30, 0xff, 0x7f], Err(Reason::TooLarge)),
            (&[0x32, 7, 0, 1, b't', 0, 5], Ok(None)),
            (&[], Ok(None)),
        ] {
            assert_eq!(check(&mut connected(), packet), expected, "{packet:x?}");
        }
    }

    /// Bytes that are nearly packets: right types and lengths around a body of likely bytes.
    fn nearly_packet() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => Just(0u8),
            3 => 1..12u8,
            2 => prop::sample::select(vec![0x1f, 0x21, 0x24, 0x26, 0x27, 0x80, 0x87, 0x7f, b'a', b'#']),
            1 => any::<u8>(),
        ];
        let first = prop_oneof![
            3 => prop::sample::select(vec![0x20u8, 0x30, 0x32, 0x34, 0x38, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0, 0xe0]),
            1 => any::<u8>(),
        ];
        (first, prop::collection::vec(byte, 0..24)).prop_map(|(first, body)| {
            let mut packet = vec![first, body.len() as u8];
            packet.extend(body);
            packet
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// What is passed on is a whole packet to the client's decoder: it neither errs nor waits for more.
        #[test]
        fn the_decoder_understands_all_that_it_gets(packet in nearly_packet(), after in any::<bool>()) {
            let mut incoming = if after { connected() } else { Incoming::new(LONGEST, 5) };
            let mut outgoing = Outgoing::default();
            if let [_, _, high, low, ..] = packet[..] {
                outgoing.publishes.insert(u16::from_be_bytes([high, low]));
                outgoing.subscribes.insert(u16::from_be_bytes([high, low]));
            }
            let mut buffer = BytesMut::from(&packet[..]);
            if let Ok(Some(Action::Pass(bytes))) = incoming.next(&mut buffer, &mut outgoing) {
                prop_assert!(buffer.is_empty());
                let mut bytes = BytesMut::from(&bytes[..]);
                let decoded = rumqttc::mqttbytes::v5::Packet::read(&mut bytes, None);
                prop_assert!(decoded.is_ok() && bytes.is_empty(), "{packet:x?} {decoded:?}");
            }
        }

        /// A packet is judged the same however its bytes arrive, and never before it is whole unless it is at fault.
        #[test]
        fn arrival_in_pieces_changes_nothing(packet in nearly_packet()) {
            let mut outgoing = Outgoing::default();
            let whole = connected().next(&mut BytesMut::from(&packet[..]), &mut outgoing);
            let (mut incoming, mut buffer) = (connected(), BytesMut::new());
            for (index, byte) in packet.iter().enumerate() {
                buffer.extend_from_slice(&[*byte]);
                match incoming.next(&mut buffer, &mut outgoing) {
                    Ok(None) => prop_assert!(index + 1 < packet.len()),
                    other => {
                        prop_assert_eq!(&other, &whole);
                        break;
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut incoming = connected();
            let (mut buffer, mut outgoing) = (BytesMut::from(&bytes[..]), Outgoing::default());
            while let Ok(Some(_)) = incoming.next(&mut buffer, &mut outgoing) {}
        }
    }
}
