//! The properties of MQTT 5 packets: table 2-4 of the standard (§2.2.2.2) as data, and their reader.

use super::fields::{Fault, Fields, Reason};

/// Packets that a broker sends and that carry properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    ConnAck,
    Publish,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK: all of them carry the same.
    Ack,
    Disconnect,
}

#[derive(Clone, Copy, Debug)]
enum Type {
    Byte,
    Two,
    Four,
    Variable,
    Binary,
    Text,
    Pair,
}

/// A property's value, as far as anybody here needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Number(u32),
    Text(&'a str),
    Other,
}

pub(super) const REASON_STRING: u8 = 0x1f;
pub(super) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(super) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub(super) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(super) const MAXIMUM_QOS: u8 = 0x24;
pub(super) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
const RESPONSE_TOPIC: u8 = 0x08;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0b;
const TOPIC_ALIAS: u8 = 0x23;
const USER_PROPERTY: u8 = 0x26;

/// Identifier, type and which packets from a broker may carry it. Those that no packet from a broker may carry are known,
/// too: for an unknown one the packet is malformed, for a misplaced one it breaks the protocol. The session's expiry
/// in a DISCONNECT is for clients alone (§3.14.2.2.2).
const PROPERTIES: [(u8, Type, &[Carrier]); 27] = {
    use Carrier::{Ack, ConnAck, Disconnect, Publish};
    [
        (0x01, Type::Byte, &[Publish]),
        (0x02, Type::Four, &[Publish]),
        (0x03, Type::Text, &[Publish]),
        (RESPONSE_TOPIC, Type::Text, &[Publish]),
        (0x09, Type::Binary, &[Publish]),
        (SUBSCRIPTION_IDENTIFIER, Type::Variable, &[Publish]),
        (0x11, Type::Four, &[ConnAck]),
        (ASSIGNED_CLIENT_IDENTIFIER, Type::Text, &[ConnAck]),
        (SERVER_KEEP_ALIVE, Type::Two, &[ConnAck]),
        (0x15, Type::Text, &[ConnAck]),
        (0x16, Type::Binary, &[ConnAck]),
        (0x17, Type::Byte, &[]),
        (0x18, Type::Four, &[]),
        (0x19, Type::Byte, &[]),
        (0x1a, Type::Text, &[ConnAck]),
        (0x1c, Type::Text, &[ConnAck, Disconnect]),
        (REASON_STRING, Type::Text, &[ConnAck, Ack, Disconnect]),
        (RECEIVE_MAXIMUM, Type::Two, &[ConnAck]),
        (0x22, Type::Two, &[ConnAck]),
        (TOPIC_ALIAS, Type::Two, &[Publish]),
        (MAXIMUM_QOS, Type::Byte, &[ConnAck]),
        (0x25, Type::Byte, &[ConnAck]),
        (
            USER_PROPERTY,
            Type::Pair,
            &[ConnAck, Publish, Ack, Disconnect],
        ),
        (MAXIMUM_PACKET_SIZE, Type::Four, &[ConnAck]),
        (0x28, Type::Byte, &[ConnAck]),
        (0x29, Type::Byte, &[ConnAck]),
        (0x2a, Type::Byte, &[ConnAck]),
    ]
};

/// Reads the properties of a packet and their length before them, and hands each to `each`.
pub(super) fn read<'a>(
    fields: &mut Fields<'a>,
    carrier: Carrier,
    mut each: impl FnMut(u8, Value<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let length = fields.variable()?;
    let mut properties = Fields(fields.take(length as usize)?);
    let mut seen = 0u64;
    while !properties.is_empty() {
        let id = properties.variable()?;
        let &(id, kind, carriers) = PROPERTIES
            .iter()
            .find(|(known, ..)| u32::from(*known) == id)
            .ok_or_else(|| Fault::malformed(format!("property 0x{id:02x} is unknown")))?;
        let value = value(&mut properties, kind)?;
        if !carriers.contains(&carrier) {
            return Err(Fault::protocol(format!(
                "property 0x{id:02x} does not belong into this packet"
            )));
        }
        let repeats = id == USER_PROPERTY || id == SUBSCRIPTION_IDENTIFIER;
        if !repeats && seen & (1 << id) != 0 {
            return Err(Fault::protocol(format!(
                "property 0x{id:02x} is there twice"
            )));
        }
        seen |= 1 << id;
        sensible(id, kind, value)?;
        each(id, value)?;
    }
    Ok(())
}

fn value<'a>(fields: &mut Fields<'a>, kind: Type) -> Result<Value<'a>, Fault> {
    Ok(match kind {
        Type::Byte => Value::Number(fields.byte()?.into()),
        Type::Two => Value::Number(fields.two()?.into()),
        Type::Four => Value::Number(fields.four()?),
        Type::Variable => Value::Number(fields.variable()?),
        Type::Binary => {
            fields.binary()?;
            Value::Other
        }
        Type::Text => Value::Text(fields.text()?),
        Type::Pair => {
            fields.text()?;
            fields.text()?;
            Value::Other
        }
    })
}

/// Values that the standard rules out: every byte is a yes or no (or QoS 0 or 1), a limit of 0 lets nothing through.
fn sensible(id: u8, kind: Type, value: Value<'_>) -> Result<(), Fault> {
    match (id, kind, value) {
        (TOPIC_ALIAS, ..) => Err(Fault {
            reason: Reason::TopicAlias,
            what: "a topic alias, although we allow none".into(),
        }),
        (_, Type::Byte, Value::Number(2..))
        | (RECEIVE_MAXIMUM | MAXIMUM_PACKET_SIZE | SUBSCRIPTION_IDENTIFIER, _, Value::Number(0)) => {
            Err(Fault::protocol(format!(
                "property 0x{id:02x} has a value that is not allowed"
            )))
        }
        (RESPONSE_TOPIC, _, Value::Text(topic)) if topic.contains(['+', '#']) => {
            Err(Fault::protocol("a response topic contains a wildcard"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(carrier: Carrier, properties: &[u8]) -> Option<Reason> {
        let mut bytes = vec![properties.len() as u8];
        bytes.extend(properties);
        let mut fields = Fields(&bytes);
        let read = read(&mut fields, carrier, |_, _| Ok(()));
        assert!(read.is_err() || fields.is_empty());
        read.err().map(|fault| fault.reason)
    }

    #[test]
    fn each_property_has_its_packets_its_type_and_its_values() {
        use Carrier::{Ack, ConnAck, Disconnect, Publish};
        use Reason::{Malformed, Protocol, TopicAlias};
        for (carrier, properties, expected) in [
            (Publish, &[][..], None),
            (Publish, &[0x01, 1], None),
            (Publish, &[0x01, 2], Some(Protocol)),
            (Publish, &[0x01], Some(Malformed)),
            (Ack, &[0x01, 1], Some(Protocol)),
            // Cut off, it is not even known to be misplaced.
            (Ack, &[0x02, 0, 0, 0], Some(Malformed)),
            (Publish, &[0x08, 0, 1, b'a'], None),
            (Publish, &[0x08, 0, 1, b'#'], Some(Protocol)),
            (Publish, &[0x0b, 1, 0x0b, 2], None),
            (Publish, &[0x0b, 0], Some(Protocol)),
            (Publish, &[0x0b, 0x80, 0], Some(Malformed)),
            (Publish, &[0x23, 0, 1], Some(TopicAlias)),
            (ConnAck, &[0x21, 0, 0], Some(Protocol)),
            (ConnAck, &[0x21, 0, 1, 0x21, 0, 1], Some(Protocol)),
            (ConnAck, &[0x27, 0, 0, 0, 0], Some(Protocol)),
            (ConnAck, &[0x24, 0], None),
            (ConnAck, &[0x24, 2], Some(Protocol)),
            (Disconnect, &[0x11, 0, 0, 0, 0], Some(Protocol)),
            (Disconnect, &[0x1c, 0, 0], None),
            (Ack, &[0x26, 0, 0, 0, 0, 0x26, 0, 0, 0, 0], None),
            (Ack, &[0x26, 0, 0], Some(Malformed)),
            (Ack, &[0x1f, 0, 1, 7], Some(Malformed)),
            (Ack, &[0x00, 1], Some(Malformed)),
            (Ack, &[0x80, 0x01, 1], Some(Malformed)),
        ] {
            assert_eq!(
                reason(carrier, properties),
                expected,
                "{carrier:?} {properties:x?}"
            );
        }
    }

    #[test]
    fn the_table_is_in_order_and_fits_the_set() {
        assert!(PROPERTIES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(PROPERTIES.iter().all(|(id, ..)| *id < 64));
    }
}
