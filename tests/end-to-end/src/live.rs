//! What is shown while the house runs.

use std::{fmt::Write as _, io::IsTerminal as _};

use serde::Deserialize;

/// The gateway's line of each second (`edge run --report`).
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// Counters of each stream.
    pub streams: Vec<Stream>,
    /// Samples that no commit has made durable yet.
    pub pending: u64,
    /// Why commits fail at present.
    pub buffer_failing: Option<String>,
    /// The uplink.
    pub uplink: Uplink,
    /// The depot's limits, if the gateway holds them.
    pub control: Option<Limits>,
}

/// The depot's limits.
#[derive(Clone, Debug, Deserialize)]
pub struct Limits {
    /// What the depot takes from the utility, in W.
    pub demand: Option<f64>,
    /// The average of this quarter of an hour so far, in W.
    pub average: Option<f64>,
    /// The greatest average that is wanted, in W.
    pub wanted: Option<f64>,
    /// Stations that may charge a car.
    pub charging: usize,
    /// Cars that wait.
    pub waiting: usize,
    /// An installer has signed what breakers, transformers and stations are.
    pub signed: bool,
    /// Circuits with a meter.
    pub circuits: Vec<Circuit>,
    /// Stations, in the order of the depot's file.
    pub stations: Vec<Station>,
    /// Until when the cloud's plan holds, in microseconds since 1970; `None`: cars share what there is.
    pub plan_until_us: Option<i64>,
    /// What people should look at.
    pub alarms: Vec<String>,
}

/// A station.
#[derive(Clone, Debug, Deserialize)]
pub struct Station {
    /// Its id.
    pub id: String,
    /// What it may draw, per phase, in A; 0: it pauses.
    pub limit: f64,
    /// The plan does not know its car: it counts with what the fleet assumes.
    #[serde(default)]
    pub assumed: bool,
}

/// A circuit with a meter.
#[derive(Clone, Debug, Deserialize)]
pub struct Circuit {
    /// Its id.
    pub id: String,
    /// What it carries, by phase, in A.
    pub current: [f64; 3],
    /// What it may carry for hours, by phase, in A.
    pub continuous: [f64; 3],
}

impl Limits {
    /// In one line.
    pub fn line(&self) -> String {
        let kilowatts =
            |watts: Option<f64>| watts.map_or("?".to_owned(), |w| format!("{:.1}", w / 1000.0));
        let mut line = format!("demand {} kW", kilowatts(self.demand));
        if self.wanted.is_some() {
            let (average, wanted) = (kilowatts(self.average), kilowatts(self.wanted));
            let _ = write!(line, " (this quarter {average} of {wanted})");
        }
        for circuit in &self.circuits {
            let most = |of: &[f64; 3]| of.iter().copied().fold(0.0, f64::max);
            let (now, may) = (most(&circuit.current), most(&circuit.continuous));
            let _ = write!(line, " · {} {now:.0} of {may:.0} A", circuit.id);
        }
        let _ = write!(line, " · {} charge, {} wait", self.charging, self.waiting);
        if self.plan_until_us.is_some() {
            line.push_str(" · planned");
        }
        if !self.signed {
            line.push_str(" · ratings unsigned");
        }
        for alarm in self.alarms.iter().take(2) {
            let _ = write!(line, " · {alarm}");
        }
        line
    }
}

/// Counters of one stream, in samples.
#[derive(Clone, Debug, Deserialize)]
pub struct Stream {
    /// Its name.
    pub stream: String,
    /// Ever made durable.
    pub produced: u64,
    /// Journalled, not sealed.
    pub open: u64,
    /// Sealed, not acknowledged.
    pub buffered: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Absent for good.
    pub dropped: u64,
}

/// State of the uplink.
#[derive(Clone, Debug, Deserialize)]
pub struct Uplink {
    /// Whether the broker has taken the gateway.
    pub connected: bool,
    /// Blocks sent again.
    pub resent: u64,
}

impl Report {
    /// One counter, summed over the streams.
    pub fn sum(&self, of: impl Fn(&Stream) -> u64) -> u64 {
        self.streams.iter().map(of).sum()
    }

    /// Whether `produced = open + buffered + acknowledged + dropped` in every stream.
    pub fn conserved(&self) -> bool {
        self.streams
            .iter()
            .all(|s| s.produced == s.open + s.buffered + s.acknowledged + s.dropped)
    }
}

/// Shows one line a second: in place on a terminal, one below the other elsewhere (each fifth, to keep logs short).
#[derive(Debug, Default)]
pub struct Screen {
    before: Option<u64>,
    shown: u64,
}

impl Screen {
    /// Shows a report with some latest values.
    pub fn show(&mut self, report: &Report, latest: &str) {
        let produced = report.sum(|s| s.produced);
        let rate = produced.saturating_sub(self.before.replace(produced).unwrap_or(produced));
        let mut line = format!(
            "{rate:>6} samples/s · produced {produced} · buffered {} · acknowledged {} · {}",
            report.sum(|s| s.buffered + s.open),
            report.sum(|s| s.acknowledged),
            if report.uplink.connected {
                "connected"
            } else {
                "no broker"
            },
        );
        if let Some(failing) = &report.buffer_failing {
            let _ = write!(line, " · the buffer cannot commit: {failing}");
        }
        if let Some(limits) = &report.control {
            let _ = write!(line, " · {}", limits.line());
        }
        if !latest.is_empty() {
            let _ = write!(line, " · {latest}");
        }
        if std::io::stdout().is_terminal() {
            print!("\r\x1b[2K{line}");
            let _ = std::io::Write::flush(&mut std::io::stdout());
        } else if self.shown.is_multiple_of(5) {
            println!("{line}");
        }
        self.shown += 1;
    }
}

/// A few latest values from the cloud's API, as people want to see them; empty when it does not answer.
pub fn latest(http: &str, key: &str, station: &str, meter: &str) -> String {
    let get = |path: String| -> Option<serde_json::Value> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(std::time::Duration::from_millis(800)))
            .build()
            .into();
        agent
            .get(format!("{http}{path}"))
            .header("authorization", format!("Bearer {key}"))
            .call()
            .ok()?
            .body_mut()
            .read_json()
            .ok()
    };
    let Some(assets) = get("/v1/assets?limit=100".into()) else {
        return String::new();
    };
    let mut shown = Vec::new();
    for (key, signal) in [
        (
            "car-01",
            "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
        ),
        // Behind a dongle: what its ECUs answer is all there is.
        (
            "car-10",
            "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current",
        ),
        (station, "Power.Active.Import"),
        (meter, "W"),
    ] {
        let is_it = |asset: &&serde_json::Value| asset["known_as"][0]["local_key"] == key;
        let asset = assets["items"]
            .as_array()
            .and_then(|assets| assets.iter().find(is_it));
        let Some(asset) = asset else { continue };
        let Some(latest) = get(format!("/v1/assets/{}/latest", asset["id"])) else {
            continue;
        };
        let values = latest["values"].as_array();
        if let Some(value) =
            values.and_then(|values| values.iter().find(|value| value["signal"] == signal))
        {
            let unit = value["unit"].as_str().unwrap_or("").replace("percent", "%");
            shown.push(format!("{key} {} {unit}", value["value"]));
        }
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demand_stands_against_the_contract() {
        let text = r#"{"demand": 91300.0, "average": 88000.0, "wanted": 95000.0, "charging": 12, "waiting": 3, "signed": true,
            "circuits": [{"id": "main", "current": [201.4, 190.0, 188.0], "continuous": [320.0, 320.0, 320.0]}],
            "stations": [{"id": "station-01", "limit": 16.0}], "plan_until_us": 1, "alarms": []}"#;
        let limits: Limits = serde_json::from_str(text).unwrap();
        let line = "demand 91.3 kW (this quarter 88.0 of 95.0) · main 201 of 320 A · 12 charge, 3 wait · planned";
        assert_eq!(limits.line(), line);
        // What is not known is no number, and without a contract there is none.
        let unknown = Limits {
            demand: None,
            average: None,
            wanted: None,
            plan_until_us: None,
            signed: false,
            ..limits
        };
        assert_eq!(
            unknown.line(),
            "demand ? kW · main 201 of 320 A · 12 charge, 3 wait · ratings unsigned"
        );
    }
}
