//! What was found, as files.

use std::fmt::Write as _;

use crate::{
    quantity::Quantity,
    rank::Candidate,
    recording::{Order, Page},
    standard::remark,
};

/// A draft of a vehicle's definition, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// A DBC file.
    pub dbc: String,
    /// A vehicle profile that names it.
    pub profile: String,
}

/// Writes what was found: for each quantity its best candidate, with its confidence. Those of one message must not share
/// bits; of two that do the more confident one is taken. `file` is the name that the DBC file will have.
pub fn draft(name: &str, file: &str, found: &[(Quantity, Candidate)]) -> Draft {
    let mut best: Vec<_> = found.iter().collect();
    best.sort_by(|a, b| b.1.confidence.total_cmp(&a.1.confidence));
    let mut taken: Vec<&(Quantity, Candidate)> = Vec::new();
    for each in best {
        let clash = |other: &&(Quantity, Candidate)| {
            let (a, b) = (&each.1, &other.1);
            a.page.id == b.page.id
                && (a.page.first == b.page.first
                    || a.page.first.is_none()
                    || b.page.first.is_none())
                && a.window.mask() & b.window.mask() != 0
        };
        if !taken.iter().any(clash) {
            taken.push(each);
        }
    }
    taken.sort_by_key(|(_, candidate)| (candidate.page.id, candidate.page.first));
    let mut dbc = "VERSION \"draft\"\n\nBU_: Car\n".to_owned();
    let mut profile = format!(
        "# A draft, learnt from a recording and readings of the dashboard. Look at it before you rely on it.\n\nname = {name:?}\n\n\
         [[bus]]\nname = \"learnt\"\nbitrate = 500000\nlisten_only = true\n\n[[dbc]]\nfile = {file:?}\nbus = \"learnt\"\nonly_mapped = true\n"
    );
    let mut last = None;
    for (quantity, candidate) in taken {
        let Page { id, first } = candidate.page;
        // Writing to a text cannot fail.
        if last != Some(id) {
            let number = id.raw() | if id.is_extended() { 1 << 31 } else { 0 };
            let _ = writeln!(dbc, "\nBO_ {number} Learnt_{id}: 8 Car");
            if first.is_some() {
                let _ = writeln!(dbc, " SG_ Page M : 0|8@1+ (1,0) [0|255] \"\" Car");
            }
            last = Some(id);
        }
        let window = candidate.window;
        let _ = writeln!(
            dbc,
            " SG_ {}{} : {}|{}@{}+ ({},{}) [{}|{}] \"{}\" Car",
            quantity.name,
            first.map(|page| format!(" m{page}")).unwrap_or_default(),
            window.start(),
            window.length,
            u8::from(window.order == Order::Little),
            candidate.factor,
            candidate.offset,
            quantity.range.0,
            quantity.range.1,
            quantity.unit
        );
        let _ = write!(
            profile,
            "\n# Confidence {:.0} %{}.\n[[dbc.signal]]\nname = \"Learnt_{id}.{}\"\nsignal = \"{}\"\n",
            candidate.confidence * 100.0,
            remark(quantity, candidate.standard),
            quantity.name,
            quantity.signal
        );
    }
    Draft { dbc, profile }
}
