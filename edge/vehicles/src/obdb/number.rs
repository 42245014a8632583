//! Numbers of a JSON text as exact decimals.

use serde_json::Value;
use shared_protocol::Decimal;

use crate::exact;

/// A number as its shortest decimal text has it.
pub(super) fn decimal(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else {
        return None;
    };
    // The number's text, as far as the parser kept it; else that of the nearest float.
    number
        .to_string()
        .parse()
        .ok()
        .or_else(|| format!("{:e}", number.as_f64()?).parse().ok())
}

/// A whole number.
pub(super) fn whole(value: &Value) -> Option<u64> {
    // `8.0` and `8e0` are whole, too.
    value.as_u64().or_else(|| {
        let steps = exact::steps(decimal(value)?, 0)?;
        u64::try_from(steps).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_text() {
        let parse =
            |text: &str| decimal(&serde_json::from_str(text).unwrap()).map(|d| d.to_string());
        assert_eq!(parse("1.7236894"), Some("1.7236894".into()));
        assert_eq!(parse("0.1"), Some("0.1".into()));
        assert_eq!(parse("1E-3"), Some("0.001".into()));
        assert_eq!(
            parse("0.1234567890123456789").map(|text| text.parse::<f64>()),
            Some(Ok(0.123_456_789_012_345_68))
        );
        assert_eq!(parse("\"1\""), None);
        assert_eq!(whole(&serde_json::from_str("8.0").unwrap()), Some(8));
        assert_eq!(whole(&serde_json::from_str("-1").unwrap()), None);
        assert_eq!(whole(&serde_json::from_str("0.5").unwrap()), None);
    }
}
