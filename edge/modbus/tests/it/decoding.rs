//! Registers to readings: what is stored, in which encoding, and what is no value.

use modbus::{
    Device, DeviceMap, PointError,
    decode::{Image, decode},
    map::Table,
};
use proptest::prelude::*;
use shared_protocol::{Encoding, SignalRef};

use crate::support::device;

/// A meter with one point and nothing else.
fn meter(point: &str) -> Device {
    device(&format!(
        "manufacturer = \"Test\"\nmodel = \"One\"\nkind = \"meter\"\nsource = \"this test\"\npoints = [{{ {point} }}]\n"
    ))
}

fn read(device: &Device, words: &[u16]) -> Result<i64, PointError> {
    let mut image = Image::default();
    image.insert(Table::Holding, 0, words.to_vec());
    let (readings, errors) = decode(device, &[0], &image);
    match (&readings[..], &errors[..]) {
        ([reading], []) => Ok(reading.raw),
        ([], [(0, error)]) => Err(error.clone()),
        other => panic!("{other:?}"),
    }
}

fn f32_words(value: f32) -> [u16; 2] {
    [(value.to_bits() >> 16) as u16, value.to_bits() as u16]
}

#[test]
fn integers_are_kept_and_floats_become_steps() {
    let volts = "signal = \"PhVphA\", address = 0";
    for (line, words, raw, value) in [
        (format!("{volts}, type = \"u16\", scale = 0.1"), vec![2305], 2305, 230.5),
        (format!("{volts}, type = \"f32\""), f32_words(230.46).to_vec(), 2305, 230.5),
        // Half of a step goes away from zero; 0.25 is a binary fraction, so that the half is exact.
        (format!("{volts}, type = \"f32\""), f32_words(230.25).to_vec(), 2303, 230.3),
        ("signal = \"W\", address = 0, type = \"i32\", sign = \"inverted\"".into(), vec![0xffff, 0xff38], -200, 200.0),
        ("signal = \"W\", address = 0, type = \"i16\", sign = \"magnitude\"".into(), vec![0x80c8], -200, -200.0),
        ("signal = \"TotWhImp\", address = 0, type = \"f32\", scale = 1000".into(), f32_words(1234.5).to_vec(), 1_234_500, 1_234_500.0),
        ("signal = \"TotWhImp\", address = 0, type = \"u64\", scale = 10".into(), vec![0, 0, 1, 2], 65538, 655_380.0),
        ("signal = \"W\", address = 0, type = \"i16\", scale_factor = 1".into(), vec![1234, 0xfffe], 12, 12.0),
        ("signal = \"W\", address = 0, type = \"i16\", scale_factor = 1".into(), vec![1250, 0xfffe], 13, 13.0),
        ("signal = \"W\", address = 0, type = \"i16\", scale_factor = 1".into(), vec![0xfb2e, 2], -123_400, -123_400.0),
        ("signal = \"PF\", address = 0, type = \"i16\", scale_factor = 1, scale = 0.01".into(), vec![985, 0xffff], 9850, 0.985),
        ("signal = \"x\", unit = \"K\", address = 0, type = \"i16\", scale = 0.1, offset = -40".into(), vec![500], 500, 10.0),
        ("signal = \"x\", unit = \"1\", address = 0, type = \"u16\", bits = { first = 4, count = 3 }".into(), vec![0xffdf], 5, 5.0),
        ("signal = \"x\", unit = \"1\", address = 0, type = \"u16\", states = { \"3\" = 7 }".into(), vec![3], 7, 7.0),
        ("signal = \"x\", unit = \"K\", address = 0, type = \"f32\", resolution = 0.5, offset = 273".into(), f32_words(20.3).to_vec(), 587, 293.5),
    ] {
        let device = meter(&line);
        assert_eq!(read(&device, &words), Ok(raw), "{line}");
        let found = device.signal_def(0).unwrap().encoding.value(raw);
        assert!((found - value).abs() < 1e-9 * value.abs(), "{line}: {found}");
    }
}

#[test]
fn a_float_of_its_own_name_keeps_its_bits() {
    let device = meter("signal = \"x\", unit = \"1\", address = 0, type = \"f32\"");
    let def = device.signal_def(0).unwrap();
    assert_eq!(def.encoding, Encoding::Float);
    assert_eq!(
        def.signal,
        SignalRef::Named {
            name: "x".to_owned(),
            unit: "1".to_owned()
        }
    );
    let raw = read(&device, &f32_words(-0.1)).unwrap();
    assert_eq!(def.encoding.value(raw), f64::from(-0.1f32));
}

#[test]
fn what_is_no_value_is_an_error() {
    let bits = |bits| PointError::OutOfRange { bits };
    for (line, words, error) in [
        (
            "signal = \"PhVphA\", address = 0, type = \"f32\"",
            f32_words(f32::NAN).to_vec(),
            PointError::NotAvailable,
        ),
        (
            "signal = \"PhVphA\", address = 0, type = \"f32\"",
            f32_words(f32::NEG_INFINITY).to_vec(),
            PointError::NotAvailable,
        ),
        (
            "signal = \"x\", unit = \"1\", address = 0, type = \"f32\"",
            f32_words(f32::INFINITY).to_vec(),
            PointError::NotAvailable,
        ),
        (
            "signal = \"PhVphA\", address = 0, type = \"f32\"",
            f32_words(-1.0).to_vec(),
            bits(0xbf80_0000),
        ),
        (
            "signal = \"PhVphA\", address = 0, type = \"f32\"",
            f32_words(f32::MAX).to_vec(),
            bits(0x7f7f_ffff),
        ),
        (
            "signal = \"PhVphA\", address = 0, type = \"u32\"",
            vec![0xffff, 0xffff],
            bits(0xffff_ffff),
        ),
        (
            "signal = \"PhVphA\", address = 0, type = \"u16\", invalid = [0xFFFF, 7]",
            vec![7],
            PointError::NotAvailable,
        ),
        (
            "signal = \"TotWhImp\", address = 0, type = \"u64\"",
            vec![0x8000, 0, 0, 0],
            bits(1 << 63),
        ),
        (
            "signal = \"W\", address = 0, type = \"i16\", scale_factor = 1",
            vec![5, 0x8000],
            PointError::NotAvailable,
        ),
        (
            "signal = \"W\", address = 0, type = \"i16\", scale_factor = 1",
            vec![5, 11],
            PointError::Malformed { bits: 11 },
        ),
        (
            "signal = \"W\", address = 0, type = \"bcd16\"",
            vec![0x00a0],
            PointError::Malformed { bits: 0xa0 },
        ),
        (
            "signal = \"x\", unit = \"1\", address = 0, type = \"u16\", states = { \"3\" = 7 }",
            vec![4],
            PointError::UnknownState { found: 4 },
        ),
    ] {
        assert_eq!(read(&meter(line), &words), Err(error), "{line} {words:x?}");
    }
    // Registers that were not read give neither a value nor an error of their own.
    let device = meter("signal = \"W\", address = 5, type = \"i32\"");
    let mut image = Image::default();
    image.insert(Table::Holding, 5, vec![1]);
    image.insert(Table::Input, 5, vec![1, 2]);
    assert_eq!(decode(&device, &[0, 1], &image), (Vec::new(), Vec::new()));
}

const TYPES: [&str; 14] = [
    "u16", "i16", "u32", "i32", "u64", "i64", "f16", "f32", "f64", "bcd16", "bcd32", "mod10k32",
    "mod10k48", "mod10k64",
];

proptest! {
    /// Whatever stands in the registers: no panic, and no value outside of what can be true.
    #[test]
    fn no_registers_make_an_impossible_value(
        words in prop::array::uniform5(prop_oneof![any::<u16>(), Just(0), Just(0xffff), Just(0x8000), 0u16..10000]),
        register_type in prop::sample::select(&TYPES[..]),
        orders in prop::array::uniform2(prop::sample::select(vec!["big", "little"])),
        scale in prop::sample::select(vec!["1", "0.001", "1e15", "1e-15", "-7"]),
        offset in prop::sample::select(vec!["0", "1e12", "-0.001"]),
        factor in any::<bool>(),
        sign in prop::sample::select(vec!["normal", "inverted", "magnitude"]),
    ) {
        let factor = if factor { ", scale_factor = 4" } else { "" };
        let text = format!(
            "manufacturer = \"T\"\nmodel = \"T\"\nkind = \"meter\"\nsource = \"T\"\npoints = [{{ signal = \"W\", address = 0, type = \"{register_type}\", word_order = \"{}\", byte_order = \"{}\", scale = \"{scale}\", offset = \"{offset}\", sign = \"{sign}\"{factor} }}]\n",
            orders[0], orders[1]
        );
        let map: DeviceMap = toml::from_str(&text).unwrap();
        if let Ok(device) = Device::new(map)
            && let Ok(raw) = read(&device, &words)
        {
            let value = device.signal_def(0).unwrap().encoding.value(raw);
            prop_assert!((-100_000_000.6..=100_000_000.6).contains(&value), "{text} {words:x?}: {value}");
        }
    }

    /// Maps with any numbers in them are checked without a panic.
    #[test]
    fn no_map_makes_the_check_panic(
        numbers in prop::array::uniform8(prop_oneof![any::<u32>(), 0u32..200, Just(u32::MAX), 65500u32..65600]),
        register_type in prop::sample::select(&TYPES[..]),
        scale in prop::sample::select(vec!["1", "-9223372036854775807", "1e-40", "1e22", "0"]),
    ) {
        let [a, b, c, d, e, f, g, h] = numbers;
        let text = format!(
            "manufacturer = \"T\"\nmodel = \"T\"\nkind = \"charger\"\nsource = \"T\"\npoints = [{{ signal = \"Power.Active.Import\", address = {a}, type = \"{register_type}\", scale = \"{scale}\", sign = \"inverted\" }}]\nunreadable = [{{ from = {b}, to = {c} }}]\n[defaults]\nfirst_address = {d}\nmax_registers = {}\nmax_gap = {}\ninterval_ms = {f}\n[identity]\naddress = {g}\ntype = \"{register_type}\"\n[control.current_limit]\naddress = {h}\ntype = \"u16\"\nscale = \"{scale}\"\nmin = \"{scale}\"\nmax = \"{a}\"\n",
            e as u16, b as u16
        );
        let map: DeviceMap = toml::from_str(&text).unwrap();
        let problems = map.check();
        if let Ok(device) = Device::new(map) {
            prop_assert!(problems.is_empty());
            prop_assert_eq!(modbus::plan(&device).groups.len(), 1);
        } else {
            prop_assert!(!problems.is_empty());
        }
    }
}
