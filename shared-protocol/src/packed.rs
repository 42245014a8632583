//! The packed form of a body of samples: what a block of version 2 carries.
//!
//! Each column is written as what is left over when its next value is foretold from what was written before: from its
//! own past by the best of a few rules, and, where it helps, from another column that was read at the same instants
//! (motor speed from road speed, power from current). What is left over is small, and is written in Rice codes with the
//! column's own width. Both ends foretell in wrapping integer arithmetic, so nothing is ever rounded away.
//!
//! ```text
//! body:    γ number of vectors of times, then each: γ count, 1 bit (0 ms, 1 µs), series
//!          γ number of columns, then each: γ (number − number before − 1), 1 bit (times as before) or γ index, series
//! series:  4 bits rule; a column only: 1 bit, and if set: γ columns back, 6 bits shift, 12 bits factor
//!          whole first value, then unless constant: 1 bit form, 6 bits width, the rest
//! rest:    form 0: each a Rice code; form 1: runs of zeros and what ends them, a Rice code each, 6 more bits of width
//! ```

use crate::{
    bits::{Reader, Writer, rice_length, unzigzag, zigzag},
    samples::{Damaged, SampleBody},
};

/// How the next value of a series is foretold from those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// All are the same: nothing more is written.
    Constant,
    /// A running mean over up to `2^n` values; 0 is the value before.
    Mean(u32),
    /// The value before and the step before it.
    Line,
    /// A level and a slope that follow by these shares (as shifts).
    Slope(u32, u32),
}

const RULES: [Rule; 10] = [
    Rule::Constant,
    Rule::Mean(0),
    Rule::Mean(1),
    Rule::Mean(2),
    Rule::Mean(3),
    Rule::Mean(4),
    Rule::Line,
    Rule::Slope(2, 4),
    Rule::Slope(1, 3),
    Rule::Slope(1, 2),
];
const CONSTANT: usize = 0;
/// Running means and slopes carry so many bits after the point.
const FRACTION: u32 = 8;
const HALF: i64 = 1 << (FRACTION - 1);
/// Columns before this one that are looked at: a vehicle has about so many that are read together.
const LOOK_BACK: usize = 24;
/// Bits of the factor by which another column foretells this one, its sign included.
const FACTOR_BITS: u32 = 12;
const WIDTH_BITS: u32 = 6;
/// With fewer values a reference does not pay.
const LEAST_TO_FOLLOW: usize = 8;
/// What a reference to another column costs: the bits of its description, about.
const REFERENCE_COST: u64 = 24;

/// A rule at work: knows the values so far.
#[derive(Clone, Copy)]
struct Foreteller {
    rule: Rule,
    level: i64,
    slope: i64,
    seen: i64,
}

impl Foreteller {
    const fn new(rule: Rule, first: i64) -> Self {
        let level = match rule {
            Rule::Mean(1..) | Rule::Slope(..) => first.wrapping_shl(FRACTION),
            _ => first,
        };
        Self {
            rule,
            level,
            slope: 0,
            seen: 1,
        }
    }

    const fn next(&self) -> i64 {
        match self.rule {
            Rule::Constant | Rule::Mean(0) => self.level,
            Rule::Mean(_) => self.level.wrapping_add(HALF) >> FRACTION,
            Rule::Line => self.level.wrapping_add(self.slope),
            Rule::Slope(..) => self.level.wrapping_add(self.slope).wrapping_add(HALF) >> FRACTION,
        }
    }

    fn learn(&mut self, value: i64) {
        match self.rule {
            Rule::Constant | Rule::Mean(0) => self.level = value,
            Rule::Mean(n) => {
                self.seen = (self.seen + 1).min(1 << n);
                let error = value.wrapping_shl(FRACTION).wrapping_sub(self.level);
                self.level = self.level.wrapping_add(error / self.seen);
            }
            Rule::Line => {
                self.slope = value.wrapping_sub(self.level);
                self.level = value;
            }
            Rule::Slope(level_share, slope_share) => {
                let foretold = self.level.wrapping_add(self.slope);
                let error = value.wrapping_shl(FRACTION).wrapping_sub(foretold);
                // The first step is taken whole.
                let (for_level, for_slope) = if self.seen == 1 {
                    (error, error)
                } else {
                    (error >> level_share, error >> slope_share)
                };
                self.seen = 2;
                self.level = foretold.wrapping_add(for_level);
                self.slope = self.slope.wrapping_add(for_slope);
            }
        }
    }
}

/// Another column that foretells this one: `value ≈ other × factor / 2^shift + something steady`.
#[derive(Clone, Copy, Debug)]
struct Reference {
    /// How many columns before this one.
    back: usize,
    shift: u32,
    factor: i64,
}

impl Reference {
    const fn part(&self, other: i64) -> i64 {
        other.wrapping_mul(self.factor) >> self.shift
    }

    fn rest(&self, values: &[i64], other: &[i64]) -> Vec<i64> {
        let pairs = values.iter().zip(other);
        pairs
            .map(|(&value, &other)| value.wrapping_sub(self.part(other)))
            .collect()
    }
}

/// How what is left over is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Dense(u32),
    Sparse { runs: u32, ends: u32 },
}

/// The best way found to write a series.
#[derive(Debug)]
struct Plan {
    rule: usize,
    form: Form,
    /// Bits, without the description of a reference.
    cost: u64,
}

/// The width of Rice codes that suits these numbers, and the bits they take.
fn width(numbers: &[u64]) -> (u32, u64) {
    let sum: u128 = numbers.iter().copied().map(u128::from).sum();
    let mean = sum.checked_div(numbers.len() as u128).unwrap_or(0) as u64;
    let middle = (mean | 1).ilog2();
    let tried = middle.saturating_sub(1)..=(middle + 1).min(63);
    tried
        .map(|shift| {
            let cost = numbers.iter().fold(0u64, |sum, &number| {
                sum.saturating_add(rice_length(number, shift))
            });
            (shift, cost)
        })
        .min_by_key(|(_, cost)| *cost)
        .unwrap_or((0, 0))
}

/// Runs of zeros and the numbers that end them, less one; the last run may have no end.
fn runs(rest: &[u64]) -> (Vec<u64>, Vec<u64>) {
    let (mut lengths, mut ends, mut length) = (Vec::new(), Vec::new(), 0);
    for &number in rest {
        if number == 0 {
            length += 1;
        } else {
            lengths.push(length);
            ends.push(number - 1);
            length = 0;
        }
    }
    if length > 0 {
        lengths.push(length);
    }
    (lengths, ends)
}

fn left_over(values: &[i64], rule: Rule, rest: &mut Vec<u64>) {
    rest.clear();
    let Some((&first, values)) = values.split_first() else {
        return;
    };
    let mut foreteller = Foreteller::new(rule, first);
    for &value in values {
        rest.push(zigzag(value.wrapping_sub(foreteller.next())));
        foreteller.learn(value);
    }
}

fn plan(values: &[i64]) -> Plan {
    let first = values.first().copied().unwrap_or(0);
    let whole = u64::from(6 + 64 - zigzag(first).leading_zeros());
    if values.iter().all(|&value| value == first) {
        return Plan {
            rule: CONSTANT,
            form: Form::Dense(0),
            cost: whole,
        };
    }
    let mut best: Option<Plan> = None;
    let mut rest = Vec::with_capacity(values.len());
    for (rule, &how) in RULES.iter().enumerate().skip(1) {
        left_over(values, how, &mut rest);
        let (shift, cost) = width(&rest);
        let zeros = rest.iter().filter(|&&number| number == 0).count();
        let mut found = (Form::Dense(shift), cost);
        if zeros * 2 > rest.len() {
            let (lengths, numbers) = runs(&rest);
            let (runs, run_cost) = width(&lengths);
            let (ends, end_cost) = width(&numbers);
            let cost = run_cost + end_cost + u64::from(WIDTH_BITS);
            if cost < found.1 {
                found = (Form::Sparse { runs, ends }, cost);
            }
        }
        let cost = found.1.saturating_add(whole + u64::from(1 + WIDTH_BITS));
        if best.as_ref().is_none_or(|best| cost < best.cost) {
            best = Some(Plan {
                rule,
                form: found.0,
                cost,
            });
        }
    }
    best.expect("there is more than one rule")
}

/// How well the steps of one series follow those of another: the factor, and the share of their squares that it explains.
fn follow(values: &[i64], other: &[i64]) -> Option<(f64, f64)> {
    let (mut both, mut own, mut others) = (0.0, 0.0, 0.0);
    for (value, other) in values.windows(2).zip(other.windows(2)) {
        let step = value[1].wrapping_sub(value[0]) as f64;
        let other = other[1].wrapping_sub(other[0]) as f64;
        both += step * other;
        own += step * step;
        others += other * other;
    }
    (both != 0.0).then(|| (both / others, both * both / (own * others)))
}

/// The column before this one, read at the same instants, that foretells it best.
fn reference(body: &SampleBody, index: usize) -> Option<Reference> {
    let this = &body.series[index];
    let (mut best, mut explained) = (None, 0.1);
    for back in 1..=index.min(LOOK_BACK) {
        let other = &body.series[index - back];
        if other.times != this.times {
            continue;
        }
        if let Some((factor, share)) = follow(body.raws(this), body.raws(other))
            && share > explained
        {
            // The factor with eleven bits, whatever its size.
            let shift = f64::from(FACTOR_BITS - 2) - factor.abs().log2().floor();
            if (0.0..64.0).contains(&shift) {
                explained = share;
                let limit = (1i64 << (FACTOR_BITS - 1)) - 1;
                best = Some(Reference {
                    back,
                    shift: shift as u32,
                    factor: ((factor * shift.exp2()).round() as i64).clamp(-limit, limit),
                });
            }
        }
    }
    best
}

fn put_series(out: &mut Writer, values: &[i64], plan: &Plan) {
    out.put_whole(values.first().copied().unwrap_or(0));
    if plan.rule == CONSTANT {
        return;
    }
    let mut rest = Vec::with_capacity(values.len());
    left_over(values, RULES[plan.rule], &mut rest);
    match plan.form {
        Form::Dense(shift) => {
            out.put(0, 1);
            out.put(u64::from(shift), WIDTH_BITS);
            for &number in &rest {
                out.put_rice(number, shift);
            }
        }
        Form::Sparse { runs: by, ends } => {
            out.put(1, 1);
            out.put(u64::from(by), WIDTH_BITS);
            out.put(u64::from(ends), WIDTH_BITS);
            let (lengths, numbers) = runs(&rest);
            let mut numbers = numbers.into_iter();
            for length in lengths {
                out.put_rice(length, by);
                if let Some(number) = numbers.next() {
                    out.put_rice(number, ends);
                }
            }
        }
    }
}

/// The packed bytes of a body.
pub(crate) fn pack(body: &SampleBody) -> Vec<u8> {
    let mut out = Writer::default();
    out.put_gamma(body.times.len() as u64);
    for times in &body.times {
        out.put_gamma(times.len() as u64);
        let fine = times.iter().any(|time| time % 1000 != 0);
        out.put(u64::from(fine), 1);
        let unit = if fine { 1 } else { 1000 };
        let steps: Vec<i64> = times.iter().map(|time| time / unit).collect();
        let plan = plan(&steps);
        out.put(plan.rule as u64, 4);
        put_series(&mut out, &steps, &plan);
    }
    out.put_gamma(body.series.len() as u64);
    let (mut next, mut times) = (0u32, 0u32);
    for (index, series) in body.series.iter().enumerate() {
        out.put_gamma(u64::from(series.column.wrapping_sub(next)));
        next = series.column.wrapping_add(1);
        out.put(u64::from(series.times == times), 1);
        if series.times != times {
            out.put_gamma(u64::from(series.times));
            times = series.times;
        }
        let raws = body.raws(series);
        let alone = plan(raws);
        let helped = (alone.cost > REFERENCE_COST * 2 && raws.len() >= LEAST_TO_FOLLOW)
            .then(|| reference(body, index))
            .flatten()
            .map(|reference| {
                let rest = reference.rest(raws, body.raws(&body.series[index - reference.back]));
                (plan(&rest), reference, rest)
            })
            .filter(|(plan, ..)| plan.cost + REFERENCE_COST < alone.cost);
        let plan = helped.as_ref().map_or(&alone, |(plan, ..)| plan);
        out.put(plan.rule as u64, 4);
        out.put(u64::from(helped.is_some()), 1);
        if let Some((plan, reference, rest)) = &helped {
            out.put_gamma(reference.back as u64 - 1);
            out.put(u64::from(reference.shift), 6);
            out.put(reference.factor.cast_unsigned(), FACTOR_BITS);
            put_series(&mut out, rest, plan);
        } else {
            put_series(&mut out, raws, &alone);
        }
    }
    out.finish()
}

const CUT: Damaged = Damaged("they end too early");
/// How most columns of a short block begin: the next number, times as before, rule [`CONSTANT`], no other column.
const STILL: (u64, u32) = (0b110_0000, 7);

fn take_rule(input: &mut Reader<'_>) -> Result<Rule, Damaged> {
    let number = input.take(4).ok_or(CUT)? as usize;
    RULES
        .get(number)
        .copied()
        .ok_or(Damaged("a column follows an unknown rule"))
}

/// Reads a series of so many values to the end of others.
fn take_series(
    input: &mut Reader<'_>,
    rule: Rule,
    count: usize,
    values: &mut Vec<i64>,
) -> Result<(), Damaged> {
    let first = input.take_whole().ok_or(CUT)?;
    if rule == Rule::Constant {
        values.resize(values.len() + count, first);
        return Ok(());
    }
    values.reserve(count);
    values.push(first);
    let mut foreteller = Foreteller::new(rule, first);
    let mut take = |rest: u64| {
        let value = foreteller.next().wrapping_add(unzigzag(rest));
        foreteller.learn(value);
        values.push(value);
    };
    let sparse = input.take(1).ok_or(CUT)? == 1;
    let width = input.take(WIDTH_BITS).ok_or(CUT)? as u32;
    if !sparse {
        for _ in 1..count {
            take(input.take_rice(width).ok_or(CUT)?);
        }
        return Ok(());
    }
    let ends = input.take(WIDTH_BITS).ok_or(CUT)? as u32;
    let mut left = count as u64 - 1;
    while left > 0 {
        let run = input.take_rice(width).ok_or(CUT)?;
        if run > left {
            return Err(Damaged("a run is longer than its column"));
        }
        (0..run).for_each(|_| take(0));
        left -= run;
        if left > 0 {
            let end = input.take_rice(ends).ok_or(CUT)?;
            take(end.checked_add(1).ok_or(Damaged("a number is too large"))?);
            left -= 1;
        }
    }
    Ok(())
}

/// A count of things, of which there are no more than `most`.
fn take_count(input: &mut Reader<'_>, most: usize) -> Result<usize, Damaged> {
    let count = input.take_gamma().ok_or(CUT)?;
    usize::try_from(count)
        .ok()
        .filter(|&count| count <= most)
        .ok_or(Damaged("there are more of them than announced"))
}

/// Reads what [`pack`] wrote of a body of `announced` samples; it takes memory for so many, and no more.
pub(crate) fn unpack(bytes: &[u8], announced: usize) -> Result<SampleBody, Damaged> {
    let mut input = Reader::new(bytes);
    let mut body = SampleBody::default();
    let mut left = announced;
    for _ in 0..take_count(&mut input, announced)? {
        let count = take_count(&mut input, left)?;
        if count == 0 {
            return Err(Damaged("times of nothing"));
        }
        left -= count;
        let unit = if input.take(1).ok_or(CUT)? == 1 {
            1
        } else {
            1000
        };
        let rule = take_rule(&mut input)?;
        let mut times = Vec::new();
        take_series(&mut input, rule, count, &mut times)?;
        for time in &mut times {
            *time = time
                .checked_mul(unit)
                .ok_or(Damaged("a time is too large"))?;
        }
        body.times.push(times);
    }
    let mut left = announced;
    let (mut next, mut times) = (0u32, 0u32);
    body.raws.reserve_exact(announced);
    for index in 0..take_count(&mut input, announced)? {
        let still = input.take_whole_after(STILL.0, STILL.1);
        let skipped = match still {
            Some(_) => 0,
            None => input.take_gamma().ok_or(CUT)?,
        };
        let column = u32::try_from(skipped)
            .ok()
            .and_then(|skipped| next.checked_add(skipped))
            .filter(|&column| column < u32::MAX)
            .ok_or(Damaged("the number of a column is too large"))?;
        next = column + 1;
        if still.is_none() && input.take(1).ok_or(CUT)? == 0 {
            times = u32::try_from(input.take_gamma().ok_or(CUT)?).unwrap_or(u32::MAX);
        }
        let count = body
            .times
            .get(times as usize)
            .ok_or(Damaged("a column points at times that are not there"))?
            .len();
        left = left
            .checked_sub(count)
            .ok_or(Damaged("there are more of them than announced"))?;
        if let Some(value) = still {
            body.add(column, times);
            body.raws.resize(body.raws.len() + count, value);
            continue;
        }
        let rule = take_rule(&mut input)?;
        let reference = if input.take(1).ok_or(CUT)? == 1 {
            let back = take_count(&mut input, index)? + 1;
            let reference = Reference {
                back,
                shift: input.take(6).ok_or(CUT)? as u32,
                factor: sign_extended(input.take(FACTOR_BITS).ok_or(CUT)?),
            };
            let other = index
                .checked_sub(back)
                .map(|other| &body.series[other])
                .filter(|other| other.times == times)
                .ok_or(Damaged("a column follows one that is not there"))?;
            Some((reference, other.first))
        } else {
            None
        };
        let first = body.raws.len();
        body.add(column, times);
        take_series(&mut input, rule, count, &mut body.raws)?;
        if let Some((reference, other)) = reference {
            let (before, raws) = body.raws.split_at_mut(first);
            for (raw, &other) in raws.iter_mut().zip(&before[other..]) {
                *raw = raw.wrapping_add(reference.part(other));
            }
        }
    }
    if input.at_end() {
        Ok(body)
    } else {
        Err(Damaged("something follows them"))
    }
}

const fn sign_extended(bits: u64) -> i64 {
    (bits << (64 - FACTOR_BITS)).cast_signed() >> (64 - FACTOR_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(body: &SampleBody) -> usize {
        let bytes = pack(body);
        assert_eq!(unpack(&bytes, body.len()).as_ref(), Ok(body));
        bytes.len()
    }

    #[test]
    fn a_column_that_follows_another_costs_next_to_nothing() {
        // A speed that wanders, and a motor geared to it.
        let mut noise = 7u64;
        let mut speed = 3000i64;
        let rows: Vec<(i64, i64)> = (0..60)
            .map(|second| {
                noise = noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                speed += (noise >> 56).cast_signed() - 128;
                (second * 1_000_000, speed)
            })
            .collect();
        let one = SampleBody::from_samples(rows.iter().map(|&(time, speed)| (0, time, speed)));
        let both = SampleBody::from_samples(
            rows.iter()
                .flat_map(|&(time, speed)| [(0, time, speed), (1, time, speed * 97 / 10)]),
        );
        let (one, both) = (round_trip(&one), round_trip(&both));
        assert!(both - one < 25, "{one} and {both} bytes");
    }

    #[test]
    fn what_stands_still_costs_bits() {
        let still = (0..400u32)
            .flat_map(|column| (0..60i64).map(move |second| (column, second * 1_000_000, 0)));
        let length = round_trip(&SampleBody::from_samples(still));
        assert!(length < 400 * 2 + 20, "{length}");
    }

    proptest! {
        #[test]
        fn any_samples(samples in proptest::collection::vec((0u32..6, any::<i32>(), any::<i64>()), 0..200)) {
            round_trip(&SampleBody::from_samples(samples.into_iter().map(|(c, t, r)| (c, i64::from(t) * 500, r))));
        }

        #[test]
        fn columns_like_real_ones(seeds in proptest::collection::vec((-50i64..50, 0i64..400, -1_000_000_000i64..1_000_000_000), 1..12), rows in 1usize..80) {
            let mut noise = 1u64;
            let mut samples = Vec::new();
            for row in 0..rows as i64 {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let shared = (noise >> 54).cast_signed();
                for (column, &(slope, spread, level)) in (0u32..).zip(&seeds) {
                    samples.push((column, row * 1_000_000 + 7, level + slope * row + shared * spread / 100));
                }
            }
            round_trip(&SampleBody::from_samples(samples));
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), announced in 0usize..5000) {
            if let Ok(body) = unpack(&bytes, announced) {
                prop_assert!(body.len() <= announced);
            }
        }
    }
}
