//! Model years.

use serde::{Deserialize, Serialize};

/// Model years, in the way OBDb writes them: a range, single years, or both.
///
/// `from` alone is that year and later, `to` alone that year and earlier. Both are a range if `from` is before `to`;
/// otherwise they are its two ends left open: up to `to`, and from `from` on. `also` adds single years.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Years {
    /// First year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u16>,
    /// Last year.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<u16>,
    /// Single years.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<u16>,
}

impl Years {
    /// Whether this year is one of them.
    pub fn contains(&self, year: u16) -> bool {
        let ranged = match (self.from, self.to) {
            (Some(from), Some(to)) if from < to => (from..=to).contains(&year),
            (Some(from), Some(to)) => year >= from || year <= to,
            (Some(from), None) => year >= from,
            (None, Some(to)) => year <= to,
            (None, None) => false,
        };
        ranged || self.also.contains(&year)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_years() {
        let years = |from, to, also: &[u16]| Years {
            from,
            to,
            also: also.to_vec(),
        };
        assert!(years(Some(2015), None, &[]).contains(2015));
        assert!(!years(None, Some(2014), &[]).contains(2015));
        assert!(years(Some(2012), Some(2015), &[]).contains(2013));
        assert!(!years(Some(2012), Some(2015), &[]).contains(2016));
        let ends = years(Some(2022), Some(2011), &[2013]);
        assert!(
            ends.contains(2010)
                && ends.contains(2022)
                && ends.contains(2013)
                && !ends.contains(2012)
        );
        assert!(!Years::default().contains(2020));
    }
}
