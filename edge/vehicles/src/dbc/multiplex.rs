//! Which signals of a message are in which of its frames.

use std::collections::{HashMap, HashSet};

use can_dbc::MultiplexIndicator;

use super::{Number, Signal, Warning, WarningKind, When, field::Bits};

/// Multiplexors below multiplexors below multiplexors: nobody nests deeper.
const DEEPEST: usize = 16;

/// Overlaps are looked for pair by pair; beyond so many signals in one message that is not worth the time.
const MOST_COMPARED: usize = 4096;

/// A signal as its own statement gives it.
pub(super) struct DraftSignal {
    pub(super) signal: Signal,
    pub(super) indicator: MultiplexIndicator,
    /// The name that attributes give it; its statement has a shortened one.
    pub(super) long_name: Option<String>,
}

/// Finds each signal's multiplexor and leaves out the signals that cannot be told apart. `extended` gives what
/// `SG_MUL_VAL_` says of a signal.
pub(super) fn resolve<'w>(
    drafts: Vec<DraftSignal>,
    extended: impl Fn(&str) -> Option<&'w When>,
    warnings: &mut Vec<Warning>,
) -> Vec<Signal> {
    let mut switches = drafts
        .iter()
        .filter(|d| d.indicator == MultiplexIndicator::Multiplexor)
        .map(|d| d.signal.name.clone());
    let only_switch = switches.next().filter(|_| switches.next().is_none());
    let mut long_names: HashMap<String, String> = HashMap::new();
    let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
    let mut signals: Vec<Signal> = Vec::new();
    for draft in drafts {
        let (mut signal, name) = (draft.signal, draft.long_name);
        let simple = match draft.indicator {
            MultiplexIndicator::Plain | MultiplexIndicator::Multiplexor => None,
            MultiplexIndicator::MultiplexedSignal(value)
            | MultiplexIndicator::MultiplexorAndMultiplexedSignal(value) => Some(value),
        };
        let when = match (extended(&signal.name), simple, &only_switch) {
            (Some(when), ..) => Ok(Some(when.clone())),
            (None, None, _) => Ok(None),
            (None, Some(value), Some(only)) => Ok(Some(When {
                multiplexor: only.clone(),
                ranges: vec![(value, value)],
            })),
            (None, Some(_), None) => Err(WarningKind::NoMultiplexor {
                name: signal.name.clone(),
            }),
        };
        let length = signal.length;
        let sound = when.and_then(|when| {
            signal.when = when;
            let name = signal.name.clone();
            let same = by_name.get(&name).map(Vec::as_slice).unwrap_or_default();
            if signal.number == Number::Float && !matches!(length, 32 | 64) {
                Err(WarningKind::FloatLength { name, length })
            } else if same.iter().any(|&at| !apart(&signals[at], &signal)) {
                Err(WarningKind::SignalAgain { name })
            } else {
                Ok(())
            }
        });
        if let Err(kind) = sound {
            let line = signal.line;
            warnings.push(Warning { line, kind });
            continue;
        }
        long_names.extend(name.map(|long| (signal.name.clone(), long)));
        by_name
            .entry(signal.name.clone())
            .or_default()
            .push(signals.len());
        signals.push(signal);
    }
    drop_unselected(&mut signals, warnings);
    overlaps(&signals, warnings);
    for signal in &mut signals {
        let lengthen = |name: &mut String| {
            if let Some(long) = long_names.get(name) {
                name.clone_from(long);
            }
        };
        lengthen(&mut signal.name);
        if let Some(when) = &mut signal.when {
            lengthen(&mut when.multiplexor);
        }
    }
    signals
}

/// Leaves out multiplexed signals that do not lead to a signal which is always there, and marks the multiplexors.
fn drop_unselected(signals: &mut Vec<Signal>, warnings: &mut Vec<Warning>) {
    let mut count: HashMap<&str, usize> = HashMap::new();
    for signal in signals.iter() {
        *count.entry(&signal.name).or_default() += 1;
    }
    // A name that occurs twice cannot select, nor can a float.
    let selects = |s: &&Signal| count[s.name.as_str()] == 1 && s.number != Number::Float;
    let candidates: Vec<&Signal> = signals.iter().filter(selects).collect();
    let mut reached: HashSet<String> = HashSet::new();
    // Each round finds the multiplexors at least one level deeper.
    for _ in 0..DEEPEST {
        let before = reached.len();
        for signal in &candidates {
            let open = |when: &When| reached.contains(&when.multiplexor);
            if signal.when.as_ref().is_none_or(open) {
                reached.insert(signal.name.clone());
            }
        }
        if reached.len() == before {
            break;
        }
    }
    signals.retain(|signal| {
        let selected = |when: &When| reached.contains(&when.multiplexor);
        let kept = signal.when.as_ref().is_none_or(selected);
        if !kept {
            warnings.push(Warning {
                line: signal.line,
                kind: WarningKind::NoMultiplexor {
                    name: signal.name.clone(),
                },
            });
        }
        kept
    });
    let selecting: HashSet<String> = signals
        .iter()
        .filter_map(|s| s.when.as_ref().map(|w| w.multiplexor.clone()))
        .collect();
    for signal in signals.iter_mut() {
        signal.multiplexor = selecting.contains(&signal.name);
    }
}

fn overlaps(signals: &[Signal], warnings: &mut Vec<Warning>) {
    if signals.len() > MOST_COMPARED {
        return;
    }
    let masks: Vec<[u64; 8]> = signals.iter().map(mask).collect();
    let share = |a: usize, b: usize| masks[a].iter().zip(&masks[b]).any(|(a, b)| a & b != 0);
    for (index, signal) in signals.iter().enumerate() {
        let other = signals[..index]
            .iter()
            .enumerate()
            .find(|&(before, other)| share(before, index) && can_meet(other, signal));
        if let Some((_, other)) = other {
            warnings.push(Warning {
                line: signal.line,
                kind: WarningKind::Overlap {
                    name: signal.name.clone(),
                    other: other.name.clone(),
                },
            });
        }
    }
}

/// Whether one multiplexor keeps these two out of each other's frames.
fn apart(a: &Signal, b: &Signal) -> bool {
    let (Some(a), Some(b)) = (&a.when, &b.when) else {
        return false;
    };
    let disjoint = |x: &(u64, u64)| b.ranges.iter().all(|y| x.1 < y.0 || y.1 < x.0);
    a.multiplexor == b.multiplexor && a.ranges.iter().all(disjoint)
}

/// Whether these two can be in one frame. Signals below different multiplexors may be kept apart further up.
fn can_meet(a: &Signal, b: &Signal) -> bool {
    match (&a.when, &b.when) {
        (Some(x), Some(y)) => x.multiplexor == y.multiplexor && !apart(a, b),
        _ => true,
    }
}

fn mask(signal: &Signal) -> [u64; 8] {
    let mut mask = [0u64; 8];
    for bit in Bits::of(signal).into_iter().flat_map(Bits::wire_bits) {
        mask[usize::from(bit / 64)] |= 1 << (bit % 64);
    }
    mask
}
