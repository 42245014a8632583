//! What the utility delivers and bills.

use serde::{Deserialize, Serialize};

/// The contract with the utility.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    /// Contracted demand, in kW.
    pub demand: f64,
    /// The greatest 15-minute average that is wanted, in kW; the contracted demand if absent.
    pub target: Option<f64>,
    /// The tariff book that explains the tariff: name of one that ships, or path of a file.
    pub tariff_book: String,
    /// The tariff (`GDMTH`).
    pub tariff: String,
    /// The tariff division.
    pub division: String,
    /// The table of prices: name of one that ships, or path of a file.
    pub prices: Option<String>,
}

impl Contract {
    /// The greatest 15-minute average that is wanted, in kW.
    pub fn wanted(&self) -> f64 {
        self.target.unwrap_or(self.demand)
    }
}
