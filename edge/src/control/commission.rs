//! Stations are tested at commissioning: whether they end by themselves what they were told for a time. What was found is
//! kept for ever, by the station's serial number: one that goes on counts with its maximum when nobody hears it.
//!
//! A test is asked for by a file `commission/STATION.wanted` in the gateway's folder (`edge commission` writes it), and
//! answered by `commission/STATION.outcome`; the verdicts are in `commissioned.json`.

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use load_manager::{Inputs, Millis, Outcome, Trial};
use serde::{Deserialize, Serialize};
use shared_protocol::AssetKey;
use tokio::time::sleep;

use super::{Control, Order, lock};
use crate::{replace, supervise::Beat};

const FILE: &str = "commissioned.json";
const FOLDER: &str = "commission";
/// How often it is looked for tests that are asked for.
const EVERY: Duration = Duration::from_secs(1);

/// What was found of a station.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// It ends by itself what it was told for a time.
    pub falls_back: bool,
    /// Its serial number, if it said one: what was found holds for this device.
    pub serial: Option<String>,
}

/// What was found of all stations that were tested.
pub type Verdicts = BTreeMap<AssetKey, Found>;

/// The tests that go on, and what was found so far.
#[derive(Debug, Default)]
pub(super) struct Trials {
    going: HashMap<usize, Trial>,
    verdicts: Verdicts,
    /// Outcomes that nobody has written down yet.
    over: Vec<(AssetKey, Outcome)>,
}

impl Trials {
    pub(super) fn new(verdicts: Verdicts) -> Self {
        Self {
            verdicts,
            ..Self::default()
        }
    }

    /// Whether a station is to be told this order. One whose lease is withheld is not.
    pub(super) fn tells(&mut self, station: usize, order: &Order) -> bool {
        let Some(trial) = self.going.get_mut(&station) else {
            return true;
        };
        if trial.withholds() {
            return false;
        }
        trial.told(order.number, order.amperes, order.at + order.lease);
        true
    }

    /// Says of stations that they do not fall back by themselves: of those that are being tested, for nobody knows, and of
    /// those that were found not to.
    pub(super) fn judge(
        &mut self,
        inputs: &mut Inputs,
        now: Millis,
        who: impl Fn(usize) -> (AssetKey, Option<String>),
    ) {
        let Self {
            going,
            verdicts,
            over,
        } = self;
        for (place, report) in inputs.stations.iter_mut().enumerate() {
            if let Some(trial) = going.get_mut(&place) {
                match trial.pass(report, now) {
                    None => report.never_falls_back = true,
                    Some(outcome) => {
                        let (asset, serial) = who(place);
                        let found = match outcome {
                            Outcome::FallsBack => Some(true),
                            Outcome::GoesOn => Some(false),
                            Outcome::Nothing(_) => None,
                        };
                        if let Some(falls_back) = found {
                            verdicts.insert(asset.clone(), Found { falls_back, serial });
                        }
                        over.push((asset, outcome));
                        going.remove(&place);
                    }
                }
            }
            if verdicts.is_empty() {
                continue;
            }
            let (asset, serial) = who(place);
            if let Some(found) = verdicts.get(&asset).filter(|found| !found.falls_back) {
                // Another device at its place is another matter; one that has not said which it is may be the same.
                let same = found.serial.is_none() || serial.is_none() || found.serial == serial;
                report.never_falls_back |= same;
            }
        }
    }
}

impl Control {
    /// Begins to test a station; `false`: the depot does not have it.
    pub fn commission(&self, station: &AssetKey, now: Millis) -> bool {
        let mut stations = self.depot.stations.iter();
        let Some(place) = stations.position(|one| one.id == *station) else {
            return false;
        };
        let fallback = self.depot.stations[place].fallback_current;
        let mut trials = lock(&self.trials);
        trials.going.insert(place, Trial::new(fallback, now));
        true
    }

    /// What nobody has written down yet, with all verdicts.
    fn found(&self) -> (Vec<(AssetKey, Outcome)>, Verdicts) {
        let trials = lock(&self.trials);
        (trials.over.clone(), trials.verdicts.clone())
    }

    /// The first of them are written down.
    fn kept(&self, count: usize) {
        lock(&self.trials).over.drain(..count);
    }
}

/// The verdicts that are kept in a gateway's folder.
///
/// # Errors
/// The file cannot be read, or is none of ours: without it a station that goes on would be relied on.
pub fn verdicts(folder: &Path) -> io::Result<Verdicts> {
    match fs::read_to_string(folder.join(FILE)) {
        Ok(text) => serde_json::from_str(&text).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Verdicts::new()),
        Err(error) => Err(error),
    }
}

/// Where the verdicts of a gateway's folder are.
pub fn file(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Where a test is asked for, and where it is answered.
pub fn desk(folder: &Path, station: &AssetKey) -> (PathBuf, PathBuf) {
    let folder = folder.join(FOLDER);
    let of = |end: &str| folder.join(format!("{station}.{end}"));
    (of("wanted"), of("outcome"))
}

/// With this begins the answer to a test that a station has passed.
pub const FALLS_BACK: &str = "falls back";

/// An outcome in words.
fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::FallsBack => {
            format!("{FALLS_BACK}: it ends by itself what it was told for a time")
        }
        Outcome::GoesOn => {
            "goes on: it ignores for how long it is told a limit, and counts with its maximum when nobody hears it".to_owned()
        }
        Outcome::Nothing(reason) => format!("nothing found: {}", reason.words()),
    }
}

/// Takes what is asked for, and writes down what was found.
fn round(control: &Control, folder: &Path, now: Millis) -> io::Result<()> {
    let (over, verdicts) = control.found();
    if !over.is_empty() {
        let text = serde_json::to_string_pretty(&verdicts).map_err(io::Error::other)?;
        replace(&folder.join(FILE), text.as_bytes())?;
    }
    for (station, outcome) in over {
        let said = words(outcome);
        let place = desk(folder, &station).1;
        fs::create_dir_all(folder.join(FOLDER))?;
        replace(&place, said.as_bytes())?;
        tracing::info!(%station, outcome = said, "a station was tested");
        control.kept(1);
    }
    let Ok(wanted) = fs::read_dir(folder.join(FOLDER)) else {
        return Ok(());
    };
    for entry in wanted {
        let path = entry?.path();
        if path.extension().is_none_or(|end| end != "wanted") {
            continue;
        }
        let station = path
            .file_stem()
            .and_then(|name| name.to_str()?.parse().ok());
        fs::remove_file(&path)?;
        let begun = station
            .as_ref()
            .is_some_and(|one| control.commission(one, now));
        if begun {
            tracing::info!(station = ?station, "a station is tested: its lease is withheld once its car draws enough");
        } else {
            let said = "nothing found: the depot of this gateway has no such station";
            replace(&path.with_extension("outcome"), said.as_bytes())?;
        }
    }
    Ok(())
}

/// Looks for tests that are asked for, and writes down what is to be remembered, until the gateway stops.
pub async fn keep(
    control: Arc<Control>,
    folder: PathBuf,
    clock: Arc<crate::clock::Clock>,
    beat: Beat,
) {
    let written = Arc::new(Mutex::new(None));
    loop {
        beat.during(sleep(EVERY)).await;
        let (control, folder) = (control.clone(), folder.clone());
        let (now, written) = (clock.now_us() / 1000, written.clone());
        let done = tokio::task::spawn_blocking(move || {
            control.write_down(now, &mut lock(&written))?;
            round(&control, &folder, now)
        });
        match beat.during(done).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "what is to be remembered cannot be written down");
            }
            Err(error) => tracing::error!(%error, "tests of stations stand still"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Post, Vouched, sample};

    fn control(verdicts: Verdicts) -> Control {
        let depot = sample::depot(&[
            ("one", r#"ocpp = { id = "CP1" }"#),
            ("two", r#"ocpp = { id = "CP2" }"#),
        ]);
        let vouched = Vouched {
            verdicts,
            ..Vouched::default()
        };
        Control::new(depot, vouched, &HashMap::new(), 0).unwrap()
    }

    fn key(text: &str) -> AssetKey {
        text.parse().unwrap()
    }

    /// A station with a car that takes what it is offered.
    struct Station {
        post: Post,
        /// It ends what it was told when it is over.
        obeys: bool,
        told: Option<(f64, Millis)>,
    }

    impl Station {
        fn new(control: &Control, id: &str, obeys: bool) -> Self {
            let post = control.post(&key(id)).unwrap();
            post.connected(Some(1));
            post.identify(&format!("serial of {id}"));
            Self {
                post,
                obeys,
                told: None,
            }
        }

        fn second(&mut self, now: Millis) -> f64 {
            if let Some(order) = self.post.order(now) {
                self.told = Some((order.amperes, now + order.seconds() * 1000));
                self.post.acknowledge(order.number);
            }
            let told = self.told.filter(|(_, until)| !self.obeys || now < *until);
            let draws = told.map_or(6.0, |(limit, _)| limit);
            let said = [("Current.Import.L1", draws), ("ChargePointStatus", 2.0)];
            self.post.hear(now, said.into_iter());
            draws
        }
    }

    /// Seconds until both tests are answered in the folder, with what all stations drew at most on the way.
    fn answered(control: &Control, folder: &Path, stations: &mut [Station], from: Millis) -> f64 {
        let mut most = 0.0_f64;
        let answers = ["one", "two"].map(|id| desk(folder, &key(id)).1);
        for second in 1..1500 {
            let now = from + second * 1000;
            let sum = stations.iter_mut().map(|one| one.second(now)).sum::<f64>();
            most = most.max(sum);
            control.step(now, None);
            round(control, folder, now).unwrap();
            if answers.iter().all(|answer| answer.exists()) {
                return most;
            }
        }
        panic!("a test is not answered: {:?}", control.shown());
    }

    #[test]
    fn one_that_goes_on_is_found_and_counts_with_its_maximum_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let first = control(Verdicts::new());
        let mut stations = [
            Station::new(&first, "one", true),
            Station::new(&first, "two", false),
        ];
        fs::create_dir_all(folder.join(FOLDER)).unwrap();
        for id in ["one", "two", "three"] {
            fs::write(desk(folder, &key(id)).0, "").unwrap();
        }
        let most = answered(&first, folder, &mut stations, 0);
        assert!(most <= 80.0, "{most} A at a breaker that may carry 80");
        let said = |id: &str| fs::read_to_string(desk(folder, &key(id)).1).unwrap();
        assert!(said("one").starts_with("falls back"), "{}", said("one"));
        assert!(said("two").starts_with("goes on"), "{}", said("two"));
        assert!(
            said("three").starts_with("nothing found"),
            "{}",
            said("three")
        );

        // The gateway is started again.
        let kept = verdicts(folder).unwrap();
        assert!(kept[&key("one")].falls_back);
        let second = control(kept);
        let judged = |control: &Control| {
            let mut inputs = control.board.inputs(0, None);
            lock(&control.trials).judge(&mut inputs, 0, |place| {
                let id = control.depot.stations[place].id.clone();
                (id, control.board.serial(place))
            });
            inputs
                .stations
                .iter()
                .map(|one| one.never_falls_back)
                .collect::<Vec<_>>()
        };
        assert_eq!(judged(&second), [false, true]);
        // The very device, and another one at its place.
        let post = second.post(&key("two")).unwrap();
        post.identify("serial of two");
        assert_eq!(judged(&second), [false, true]);
        post.identify("another serial");
        assert_eq!(judged(&second), [false, false]);
    }

    #[test]
    fn verdicts_that_cannot_be_read_are_not_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(verdicts(folder.path()).unwrap(), Verdicts::new());
        fs::write(file(folder.path()), "{").unwrap();
        assert!(verdicts(folder.path()).is_err());
    }
}
