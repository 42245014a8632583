//! Records as devices could send them, for property tests.

use proptest::prelude::*;
use teltonika::{Element, Gnss, Imei, Record, RecordCodec, Value};

pub(crate) fn codec() -> impl Strategy<Value = RecordCodec> {
    prop::sample::select(RecordCodec::ALL.as_slice())
}

pub(crate) fn imei() -> impl Strategy<Value = Imei> {
    "[0-9]{15}".prop_map(|digits| digits.parse().unwrap())
}

fn number(wide: bool) -> impl Strategy<Value = Element> {
    let most = if wide { u16::MAX } else { 255 };
    (
        0..=most,
        prop::sample::select(vec![1u8, 2, 4, 8]),
        any::<u64>(),
    )
        .prop_map(|(id, width, raw)| {
            let raw = if width == 8 {
                raw
            } else {
                raw & ((1 << (8 * width)) - 1)
            };
            Element {
                id,
                value: Value::Number { width, raw },
            }
        })
}

fn long(codec: RecordCodec) -> BoxedStrategy<Vec<Element>> {
    let of = |most: u16, length: std::ops::RangeInclusive<usize>| {
        let bytes = prop::collection::vec(any::<u8>(), length);
        let element = (0..=most, bytes).prop_map(|(id, bytes)| Element {
            id,
            value: Value::Bytes(bytes.into()),
        });
        prop::collection::vec(element, 0..3).boxed()
    };
    match codec {
        RecordCodec::Eight => of(255, 16..=16),
        RecordCodec::EightExtended => of(u16::MAX, 0..=40),
        RecordCodec::Sixteen => Just(Vec::new()).boxed(),
    }
}

/// A record that a codec can carry, its elements in the order of the wire.
pub(crate) fn record(codec: RecordCodec) -> impl Strategy<Value = Record> {
    let wide = codec != RecordCodec::Eight;
    let event = if wide { 0..=u16::MAX } else { 0..=255 };
    (
        (any::<i64>(), 0u8..3, event, any::<u8>()),
        (
            any::<i32>(),
            any::<i32>(),
            any::<i16>(),
            any::<u16>(),
            any::<u8>(),
            any::<u16>(),
        ),
        prop::collection::vec(number(wide), 0..20),
        long(codec),
    )
        .prop_map(
            move |((time_ms, priority, event, generation), gnss, numbers, long)| {
                let (longitude, latitude, altitude, angle, satellites, speed) = gnss;
                let mut elements = numbers;
                elements.sort_by_key(|element| match element.value {
                    Value::Number { width, .. } => width,
                    Value::Bytes(_) => 16,
                });
                elements.extend(long);
                Record {
                    time_ms,
                    priority,
                    gnss: Gnss {
                        longitude,
                        latitude,
                        altitude,
                        angle,
                        satellites,
                        speed,
                    },
                    event,
                    generation: (codec == RecordCodec::Sixteen).then_some(generation),
                    elements,
                }
            },
        )
}

pub(crate) fn records() -> impl Strategy<Value = (RecordCodec, Vec<Record>)> {
    codec().prop_flat_map(|codec| (Just(codec), prop::collection::vec(record(codec), 1..6)))
}
