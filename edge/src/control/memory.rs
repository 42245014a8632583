//! What is remembered over a restart, each in a file of its own in the gateway's folder. A file that cannot be read is as
//! good as none: then what was told is told again, cars share what there is, and what nobody remembers of the utility's
//! window counts as the most.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{board::Told, plan::Held, wish::Wishes};
use crate::replace;

const PLAN: &str = "plan.json";
const WISHES: &str = "wishes.json";
const WINDOW: &str = "window.json";
const TOLD: &str = "told.json";

/// What was kept of the utility's window: which one it is, and what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Window {
    /// Quarters of an hour since 1970.
    pub(super) quarter: i64,
    pub(super) into: i64,
    pub(super) energy: f64,
    pub(super) unseen: i64,
    pub(super) greatest: f64,
}

/// What an earlier run remembered.
#[derive(Clone, Debug, Default)]
pub struct Remembered {
    pub(super) folder: Option<PathBuf>,
    pub(super) plan: Option<Held>,
    pub(super) wishes: Wishes,
    pub(super) window: Option<Window>,
    pub(super) told: Told,
}

impl Remembered {
    /// From a gateway's folder. `boot` names this start of the machine, `now_us` is its monotonic time.
    pub fn read(folder: &Path, boot: u64, now_us: i64) -> Self {
        let mut wishes: Wishes = read(folder, WISHES).unwrap_or_default();
        wishes.of_boot(boot, now_us);
        Self {
            folder: Some(folder.to_owned()),
            plan: read(folder, PLAN),
            wishes,
            window: read(folder, WINDOW),
            told: read(folder, TOLD).unwrap_or_default(),
        }
    }
}

fn read<T: DeserializeOwned>(folder: &Path, name: &str) -> Option<T> {
    let path = folder.join(name);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what was remembered cannot be read");
            return None;
        }
    };
    let found = serde_json::from_str(&text);
    found
        .map_err(|error| tracing::warn!(path = %path.display(), %error, "what was remembered is damaged; it counts as forgotten"))
        .ok()
}

/// Writes to the gateway's folder; nowhere without one. Each returns when it is on the disk.
#[derive(Clone, Debug)]
pub(super) struct Keeper(pub(super) Option<PathBuf>);

impl Keeper {
    pub(super) fn plan(&self, held: &Held) -> io::Result<()> {
        self.write(PLAN, held)
    }

    pub(super) fn wishes(&self, wishes: &Wishes) -> io::Result<()> {
        self.write(WISHES, wishes)
    }

    pub(super) fn window(&self, window: &Window) -> io::Result<()> {
        self.write(WINDOW, window)
    }

    pub(super) fn told(&self, told: &Told) -> io::Result<()> {
        self.write(TOLD, told)
    }

    fn write(&self, name: &str, what: &impl Serialize) -> io::Result<()> {
        let Some(folder) = &self.0 else {
            return Ok(());
        };
        let text = serde_json::to_string(what).map_err(io::Error::other)?;
        fs::create_dir_all(folder)?;
        replace(&folder.join(name), text.as_bytes())
    }
}
