//! What the benches share: a table for people, one JSON object for machines, percentiles.
//!
//! Each bench is a program (`src/bin`); `scripts/bench NAME` builds it with the release profile and runs it.

use serde_json::{Map, Value};

/// Figures in their order: printed as a table, and as one JSON object on the last line.
#[derive(Debug, Default)]
pub struct Figures(Vec<(String, Figure, String)>);

/// A number, or a word that says what was measured.
#[derive(Debug)]
enum Figure {
    Number(f64),
    Text(String),
}

impl Figures {
    /// Adds a figure: its key in the JSON object, its value, what it is for people.
    pub fn add(&mut self, key: &str, value: f64, about: &str) {
        let figure = Figure::Number(value);
        self.0.push((key.to_owned(), figure, about.to_owned()));
    }

    /// Adds a word.
    pub fn add_text(&mut self, key: &str, word: &str, about: &str) {
        let figure = Figure::Text(word.to_owned());
        self.0.push((key.to_owned(), figure, about.to_owned()));
    }

    /// Prints the table and the JSON object.
    pub fn print(&self) {
        for (key, value, about) in &self.0 {
            println!("{key:<34} {:>14}  {about}", value.shown());
        }
        let object: Map<String, Value> = self
            .0
            .iter()
            .map(|(key, value, _)| (key.clone(), value.json()))
            .collect();
        println!("{}", Value::Object(object));
    }
}

impl Figure {
    fn shown(&self) -> String {
        match self {
            Self::Number(value) => short(*value),
            Self::Text(word) => word.clone(),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Number(value) => Value::from(short(*value).parse::<f64>().unwrap_or(*value)),
            Self::Text(word) => Value::from(word.as_str()),
        }
    }
}

fn short(value: f64) -> String {
    if value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

/// The value below which this part of the samples lies (nearest rank).
pub fn percentile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let rank = (part * samples.len() as f64).ceil() as usize;
    samples
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let mut samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut samples, 0.99), 99.0);
        assert_eq!(percentile(&mut samples, 0.5), 50.0);
        assert!(percentile(&mut [], 0.5).is_nan());
    }
}
