//! LEB128 varints and zigzag, as in Protocol Buffers.

use crate::bits::unzigzag;

/// Appends an unsigned varint.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes an unsigned varint from the front; `None` when it is cut off or longer than 64 bits.
pub(crate) fn take(input: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for (index, &byte) in input.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        if index == 9 && part > 1 {
            return None;
        }
        value |= part << (7 * index);
        if byte < 0x80 {
            *input = &input[index + 1..];
            return Some(value);
        }
    }
    None
}

/// Takes a signed varint.
pub(crate) fn take_signed(input: &mut &[u8]) -> Option<i64> {
    take(input).map(unzigzag)
}

/// Takes a count of things that need at least one byte each; `None` when fewer bytes are left than that.
pub(crate) fn take_count(input: &mut &[u8]) -> Option<usize> {
    let count = usize::try_from(take(input)?).ok()?;
    (count <= input.len()).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bits::zigzag;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn round_trip(values in proptest::collection::vec(any::<i64>(), 0..50)) {
            let mut bytes = Vec::new();
            for &value in &values {
                put(&mut bytes, zigzag(value));
                put(&mut bytes, value.cast_unsigned());
            }
            let mut input = bytes.as_slice();
            for &value in &values {
                prop_assert_eq!(take_signed(&mut input), Some(value));
                prop_assert_eq!(take(&mut input), Some(value.cast_unsigned()));
            }
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn cut_off_or_too_long_is_none() {
        assert_eq!(take(&mut [0x80u8].as_slice()), None);
        assert_eq!(take(&mut [0xffu8; 11].as_slice()), None);
        assert_eq!(take_count(&mut [5u8, 0].as_slice()), None);
    }
}
