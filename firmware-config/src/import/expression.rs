//! Formulas over bytes as one number, factor and offset.
//!
//! Torque writes `((A*256)+B)/10`, `SIGNED(A)*256+B`, `{C:4}`; WiCAN `[B10:B11]/10`, `S7`, `B9:7`. What comes out to the bytes
//! of one number, times a factor, plus an offset, is taken over exactly (in fractions); anything else is an error.

use std::collections::BTreeMap;

use shared_protocol::Decimal;
use vehicles::profile::Order;

/// One number in an answer, and what it means.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Linear {
    pub(super) bit: u32,
    pub(super) length: u8,
    pub(super) order: Order,
    pub(super) signed: bool,
    pub(super) multiply: Decimal,
    pub(super) divide: Decimal,
    pub(super) add: Decimal,
}

/// How bytes are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    /// `A`, `B`, … `Z`, `AA`, …: Torque.
    Letters,
    /// `B0`, `S0`, `[B0:B1]`: WiCAN.
    Numbers,
}

/// A fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ratio(i128, i128);

impl Ratio {
    const ZERO: Self = Self(0, 1);

    fn new(top: i128, bottom: i128) -> Option<Self> {
        let (mut a, mut b) = (top.unsigned_abs(), bottom.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let common = i128::try_from(a.max(1)).ok()? * bottom.signum();
        (bottom != 0).then(|| Self(top / common, bottom / common))
    }

    fn add(self, other: Self) -> Option<Self> {
        let top = self
            .0
            .checked_mul(other.1)?
            .checked_add(other.0.checked_mul(self.1)?)?;
        Self::new(top, self.1.checked_mul(other.1)?)
    }

    fn mul(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_mul(other.0)?, self.1.checked_mul(other.1)?)
    }

    fn div(self, other: Self) -> Option<Self> {
        Self::new(self.0.checked_mul(other.1)?, self.1.checked_mul(other.0)?)
    }
}

/// A byte, all of it or one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Part {
    byte: u32,
    bit: Option<u8>,
    signed: bool,
}

/// A sum of parts with factors, and a constant.
#[derive(Clone, Debug, Default, PartialEq)]
struct Sum {
    parts: BTreeMap<Part, Ratio>,
    constant: Option<Ratio>,
}

impl Sum {
    fn constant(value: Ratio) -> Self {
        Self {
            parts: BTreeMap::new(),
            constant: Some(value),
        }
    }

    fn part(part: Part) -> Self {
        Self {
            parts: BTreeMap::from([(part, Ratio(1, 1))]),
            constant: None,
        }
    }

    fn rest(&self) -> Ratio {
        self.constant.unwrap_or(Ratio::ZERO)
    }

    fn plus(mut self, other: &Self) -> Option<Self> {
        for (part, factor) in &other.parts {
            let own = self.parts.entry(*part).or_insert(Ratio::ZERO);
            *own = own.add(*factor)?;
        }
        self.constant = Some(self.rest().add(other.rest())?);
        Some(self)
    }

    fn times(mut self, factor: Ratio) -> Option<Self> {
        for own in self.parts.values_mut() {
            *own = own.mul(factor)?;
        }
        self.constant = Some(self.rest().mul(factor)?);
        Some(self)
    }

    fn is_constant(&self) -> bool {
        self.parts.is_empty()
    }
}

/// Reads a formula; `place` turns the number of a byte in the formula into its place after service and identifier.
pub(super) fn read(
    text: &str,
    names: Names,
    place: impl Fn(u32) -> Option<u32>,
) -> Result<Linear, String> {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let mut reader = Reader {
        rest: &text.to_ascii_uppercase(),
        names,
        depth: 0,
    };
    let wrong = || format!("`{text}` is not understood");
    let sum = reader.sum().ok_or_else(wrong)?;
    if !reader.rest.is_empty() {
        return Err(format!(
            "`{text}` is not understood from `{}` on",
            reader.rest
        ));
    }
    linear(&sum, place).map_err(|why| format!("`{text}` {why}"))
}

fn linear(sum: &Sum, place: impl Fn(u32) -> Option<u32>) -> Result<Linear, String> {
    let mut parts = Vec::new();
    for (part, factor) in sum.parts.iter().filter(|(_, factor)| factor.0 != 0) {
        let byte = place(part.byte).ok_or("reads a byte that is no data")?;
        parts.push((byte, *part, *factor));
    }
    parts.sort_by_key(|(byte, ..)| *byte);
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Err("reads no byte".to_owned());
    };
    let not_one = || "is not the bytes of one number times a factor".to_owned();
    let (bit, length, order, factor) = if let Some(bit) = first.1.bit {
        if parts.len() > 1 {
            return Err(not_one());
        }
        (first.0 * 8 + 7 - u32::from(bit), 1, Order::Big, first.2)
    } else {
        let grows = |pair: &[(u32, Part, Ratio)], by: Ratio| {
            pair[1].0 == pair[0].0 + 1
                && pair[0].2.mul(by) == Some(pair[1].2)
                && pair[1].1.bit.is_none()
        };
        let little = parts.len() > 1 && parts.windows(2).all(|pair| grows(pair, Ratio(256, 1)));
        let big = parts.windows(2).all(|pair| grows(pair, Ratio(1, 256)));
        if parts.len() > 8 || !(little || big) {
            return Err(not_one());
        }
        let (order, factor) = if little {
            (Order::Little, first.2)
        } else {
            (Order::Big, last.2)
        };
        (first.0 * 8, parts.len() as u8 * 8, order, factor)
    };
    let top = if order == Order::Little { last } else { first };
    let signed = top.1.signed;
    if parts.iter().any(|part| part.1.signed && part != top) {
        return Err("has a sign in the middle of a number".to_owned());
    }
    let whole = |value: i128| {
        let value = i64::try_from(value).ok()?;
        Decimal::new(value, 0).ok()
    };
    let too_long = || "has a factor that is too long".to_owned();
    // An offset stands alone, so it has to be a decimal itself.
    let add = sum.rest();
    let places = (0..10).find(|places| (add.0 * 10i128.pow(*places)) % add.1 == 0);
    let add = places.and_then(|places| {
        let scaled = i64::try_from(add.0 * 10i128.pow(places) / add.1).ok()?;
        format!("{scaled}e-{places}").parse().ok()
    });
    Ok(Linear {
        bit,
        length,
        order,
        signed,
        multiply: whole(factor.0).ok_or_else(too_long)?,
        divide: whole(factor.1).ok_or_else(too_long)?,
        add: add.ok_or("has an offset that is no decimal")?,
    })
}

struct Reader<'t> {
    rest: &'t str,
    names: Names,
    depth: u8,
}

impl Reader<'_> {
    fn eat(&mut self, token: &str) -> bool {
        let rest = self.rest.strip_prefix(token);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn sum(&mut self) -> Option<Sum> {
        // Deep nesting is no formula of a person.
        self.depth = self.depth.checked_add(1).filter(|depth| *depth < 40)?;
        let mut all = self.product()?;
        loop {
            if self.eat("+") {
                all = all.plus(&self.product()?)?;
            } else if self.eat("-") {
                all = all.plus(&self.product()?.times(Ratio(-1, 1))?)?;
            } else {
                self.depth -= 1;
                return Some(all);
            }
        }
    }

    fn product(&mut self) -> Option<Sum> {
        let mut all = self.factor()?;
        loop {
            if self.eat("*") {
                let other = self.factor()?;
                all = if other.is_constant() {
                    all.times(other.rest())?
                } else if all.is_constant() {
                    other.times(all.rest())?
                } else {
                    return None;
                };
            } else if self.eat("/") {
                let other = self.factor()?;
                let one = Ratio(1, 1).div(other.rest())?;
                all = other.is_constant().then(|| all.times(one))??;
            } else if self.eat("<<") {
                let by = self.factor()?;
                let bits = u32::try_from(by.rest().0).ok().filter(|bits| *bits < 64)?;
                all = (by.is_constant() && by.rest().1 == 1)
                    .then(|| all.times(Ratio(1 << bits, 1)))??;
            } else {
                return Some(all);
            }
        }
    }

    fn factor(&mut self) -> Option<Sum> {
        if self.eat("-") {
            self.depth = self.depth.checked_add(1).filter(|depth| *depth < 40)?;
            let negative = self.factor()?.times(Ratio(-1, 1));
            self.depth -= 1;
            return negative;
        }
        if self.eat("(") {
            let inner = self.sum()?;
            return self.eat(")").then_some(inner);
        }
        if self
            .rest
            .starts_with(|c: char| c.is_ascii_digit() || c == '.')
        {
            return self.number().map(Sum::constant);
        }
        match self.names {
            Names::Letters => self.letters(),
            Names::Numbers => self.numbered(),
        }
    }

    fn digits(&mut self) -> &str {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(self.rest.len());
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }

    fn integer(&mut self) -> Option<u32> {
        self.digits().parse().ok()
    }

    fn number(&mut self) -> Option<Ratio> {
        let whole = self.digits().to_owned();
        let part = if self.eat(".") {
            self.digits().to_owned()
        } else {
            String::new()
        };
        let bottom = 10i128.checked_pow(u32::try_from(part.len()).ok()?)?;
        Ratio::new(format!("{whole}{part}").parse().ok()?, bottom)
    }

    /// `A`, `SIGNED(A)`, `{A:3}`.
    fn letters(&mut self) -> Option<Sum> {
        let part = |byte, bit, signed| Some(Sum::part(Part { byte, bit, signed }));
        if self.eat("SIGNED(") {
            let byte = self.letter()?;
            return self.eat(")").then(|| part(byte, None, true))?;
        }
        if self.eat("{") {
            let byte = self.letter()?;
            let bit = self.eat(":").then(|| self.integer())??;
            let bit = u8::try_from(bit).ok().filter(|bit| *bit < 8)?;
            return self.eat("}").then(|| part(byte, Some(bit), false))?;
        }
        let byte = self.letter()?;
        part(byte, None, false)
    }

    /// A is 0, Z 25, AA 26.
    fn letter(&mut self) -> Option<u32> {
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_uppercase())
            .unwrap_or(self.rest.len());
        let (letters, rest) = self.rest.split_at(end);
        let value = |letter: u8| u32::from(letter - b'A');
        let byte = match *letters.as_bytes() {
            [one] => value(one),
            [first, second] => 26 * (value(first) + 1) + value(second),
            _ => return None,
        };
        self.rest = rest;
        Some(byte)
    }

    /// `B7`, `S7`, `B7:3`, `[B7:B8]`, `[S7:S8]`.
    fn numbered(&mut self) -> Option<Sum> {
        let range = self.eat("[");
        let (first, signed) = self.byte()?;
        let part = |byte, bit, signed| Sum::part(Part { byte, bit, signed });
        if !range {
            if self.eat(":") {
                let bit = u8::try_from(self.integer()?).ok().filter(|bit| *bit < 8)?;
                return (!signed).then(|| part(first, Some(bit), false));
            }
            return Some(part(first, None, signed));
        }
        let last = if self.eat(":") { self.byte()?.0 } else { first };
        if !self.eat("]") || last < first || last - first > 7 {
            return None;
        }
        let mut all = Sum::default();
        for byte in first..=last {
            all = all
                .times(Ratio(256, 1))?
                .plus(&part(byte, None, signed && byte == first))?;
        }
        Some(all)
    }

    fn byte(&mut self) -> Option<(u32, bool)> {
        let signed = self.eat("S");
        if !signed && !self.eat("B") {
            return None;
        }
        Some((self.integer()?, signed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torque(text: &str) -> Result<Linear, String> {
        read(text, Names::Letters, Some)
    }

    #[test]
    fn formulas_of_one_number() {
        for (text, bit, length, signed, multiply, divide, add) in [
            ("A", 0, 8, false, "1", "1", "0"),
            ("((a*256)+b)/10", 0, 16, false, "1", "10", "0"),
            ("(A<<8)+B", 0, 16, false, "1", "1", "0"),
            ("B-40", 8, 8, false, "1", "1", "-40"),
            ("(AA*0.5)+1.5", 208, 8, false, "1", "2", "1.5"),
            ("((SIGNED(K)*256)+L)/10", 80, 16, true, "1", "10", "0"),
            ("-(SIGNED(A)*256+B)*0.1", 0, 16, true, "-1", "10", "0"),
            ("A*100/255", 0, 8, false, "20", "51", "0"),
            ("{J:7}", 72, 1, false, "1", "1", "0"),
        ] {
            let linear = torque(text).unwrap_or_else(|why| panic!("{why}"));
            let decimal = |text: &str| text.parse::<Decimal>().expect("a decimal");
            assert_eq!(
                (linear.bit, linear.length, linear.signed),
                (bit, length, signed),
                "{text}"
            );
            assert_eq!(
                (linear.multiply, linear.divide, linear.add),
                (decimal(multiply), decimal(divide), decimal(add)),
                "{text}"
            );
        }
        assert_eq!(
            torque("B*256+A").map(|linear| linear.order),
            Ok(Order::Little)
        );
        let wican =
            read("[S10:S11]/10", Names::Numbers, |byte| byte.checked_sub(8)).expect("a range");
        assert_eq!((wican.bit, wican.length, wican.signed), (16, 16, true));
    }

    #[test]
    fn what_is_not_one_number_is_told() {
        for text in [
            "",
            "A*B",
            "A+C",
            "A/0",
            "A/B",
            "A*256+B+C",
            "5",
            "A+",
            "(A",
            "SIGNED(A",
            "LOG(A)",
            "A*256+SIGNED(B)",
            "A&15",
            "{A:9}",
            "{A:1}+{A:2}",
            "A/3+1/3",
            "é",
        ] {
            assert!(torque(text).is_err(), "{text}");
        }
        assert!(torque(&"(".repeat(10_000)).is_err());
        assert!(torque(&"-".repeat(10_000)).is_err());
        assert!(read("B3", Names::Numbers, |byte| byte.checked_sub(8)).is_err());
    }
}
