//! Time: a monotonic clock for order, and what to add to it for the time of day, once that is known.
//!
//! Order comes from numbers and the monotonic clock alone; a clock that is set, late, or ten years off reorders nothing and
//! loses nothing. The time of day is an *offset* that blocks carry when it is known at their sealing:
//!
//! - who is believed about it, and when nobody is: the table in [`wall`]
//! - a block without it waits in the cloud, in the ledger already, until a block of the same boot has it. The boot is the
//!   kernel's, and so is the zero of the monotonic clock: what one process recorded without the time is placed by the next
//! - when it is learnt, or moves by more than a second, [`keep`] says so in a record `clock.set` of the critical stream,
//!   which travels first and carries the offset
//! - TLS is given [`Clock::for_tls`]: the time if the cloud has confirmed it in this run, else the latest of the system's clock, the
//!   build's date and the time that was last saved. A system's clock that is years ahead keeps the gateway from its
//!   broker until it is set, or until then
//! - a command is not judged by a clock that is unknown, or behind the instant at which the command was issued: it waits
//!   (`commands`)

mod keep;
mod saved;
mod wall;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use rustix::time::{ClockId, clock_gettime};

pub use keep::keep;
pub use wall::Source;

use wall::Wall;

/// When this build was made, in microseconds since 1970.
fn built_us() -> i64 {
    let seconds: i64 = env!("PATIO_BUILT_S").parse().unwrap_or(0);
    seconds * 1_000_000
}

/// Where the clock hears of the time of day.
pub struct Sources {
    /// The system's clock, in microseconds since 1970.
    pub system: Box<dyn Fn() -> i64 + Send + Sync>,
    /// Whether somebody keeps it right.
    pub kept: Box<dyn Fn() -> bool + Send + Sync>,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sources")
    }
}

impl Sources {
    /// This machine's. Its clock is kept right by NTP once it has been heard (systemd-timesyncd(8) says so in a file), by
    /// a clock with a battery, or, where systemd does not run the machine, by whoever does.
    pub fn machine() -> Self {
        Self {
            system: Box::new(system_us),
            kept: Box::new(|| {
                !Path::new("/run/systemd/system").exists()
                    || Path::new("/run/systemd/timesync/synchronized").exists()
                    || Path::new("/sys/class/rtc/rtc0").exists()
            }),
        }
    }
}

fn system_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_micros() as i64)
}

/// The gateway's clock. Its monotonic zero is the start of the machine, which `boot` names.
#[derive(Debug)]
pub struct Clock {
    zero: Instant,
    zero_us: i64,
    /// Number of this start of the machine; times of different starts are not comparable without it.
    pub boot: u64,
    sources: Sources,
    wall: Mutex<Wall>,
    folder: Option<PathBuf>,
}

/// What the clock says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Standing {
    /// Who says what time it is.
    pub source: Source,
    /// How far the system's clock is ahead of what is believed, in microseconds; 0 while nothing is.
    pub system_ahead_us: i64,
}

impl Clock {
    /// A clock that believes this machine's and remembers nothing; errors when the operating system has no randomness.
    pub fn start() -> Result<Self, getrandom::Error> {
        Self::new(Sources::machine(), None)
    }

    /// A clock over these sources that saves the time in this folder.
    pub fn new(sources: Sources, folder: Option<PathBuf>) -> Result<Self, getrandom::Error> {
        let now = clock_gettime(ClockId::Monotonic);
        let zero = Instant::now();
        let boot = match kernel_boot() {
            Some(boot) => boot,
            None => getrandom::u64()?,
        };
        let saved = folder.as_deref().and_then(saved::read);
        Ok(Self {
            zero,
            zero_us: now.tv_sec * 1_000_000 + now.tv_nsec / 1000,
            boot,
            sources,
            wall: Mutex::new(Wall::new(built_us(), saved)),
            folder,
        })
    }

    /// Microseconds since the start of the machine, never going back.
    pub fn now_us(&self) -> i64 {
        self.at_us(Instant::now())
    }

    /// Milliseconds since the start, as microseconds: the instant of a sample whose source has no finer stamp.
    pub fn tick_us(&self) -> i64 {
        self.now_us() / 1000 * 1000
    }

    /// The monotonic time of an instant; those before the clock was made are taken for its beginning.
    pub fn at_us(&self, instant: Instant) -> i64 {
        self.zero_us + instant.saturating_duration_since(self.zero).as_micros() as i64
    }

    /// The instant of a monotonic time.
    pub fn instant(&self, time_us: i64) -> Instant {
        let since = time_us.saturating_sub(self.zero_us);
        self.zero + Duration::from_micros(u64::try_from(since).unwrap_or(0))
    }

    /// What to add to a monotonic time to get microseconds since 1970; `None` while the time of day is unknown.
    /// Steady: it moves only when the clock was really set.
    pub fn wall_offset_us(&self) -> Option<i64> {
        let system = (self.sources.system)();
        let now = self.now_us();
        self.wall().look(system, now, (self.sources.kept)())
    }

    /// Microseconds since 1970; `None` while that is unknown.
    pub fn wall_us(&self) -> Option<i64> {
        let offset = self.wall_offset_us()?;
        Some(self.now_us() + offset)
    }

    /// The cloud, whose signature was verified, has said what time it was at some instant between these two: what it answers
    /// did not exist before the first, and the second is now.
    pub fn cloud_says(&self, cloud_us: i64, sent: Instant, received: Instant) {
        let (sent, received) = (self.at_us(sent), self.at_us(received));
        self.wall().cloud_says(cloud_us, sent, received);
    }

    /// The cloud has signed something with this time: it is not earlier.
    pub fn not_before(&self, cloud_us: i64) {
        self.wall().not_before(cloud_us);
    }

    /// The time by which certificates are judged.
    pub fn for_tls(&self) -> Duration {
        let believed = self.wall_us();
        let wall = self.wall();
        let time = match believed {
            Some(time) if wall.is_confirmed() => time,
            _ => (self.sources.system)().max(wall.floor()),
        };
        Duration::from_micros(u64::try_from(time).unwrap_or(0))
    }

    /// What it says about itself.
    pub fn standing(&self) -> Standing {
        let believed = self.wall_us();
        Standing {
            source: self.wall().source(),
            system_ahead_us: believed.map_or(0, |believed| (self.sources.system)() - believed),
        }
    }

    /// Saves the time, if the cloud has confirmed it, for a start without any clock.
    pub fn save(&self) -> std::io::Result<()> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        match self.wall_us() {
            Some(time) if self.wall().is_confirmed() => saved::write(folder, time),
            _ => Ok(()),
        }
    }

    fn wall(&self) -> MutexGuard<'_, Wall> {
        self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The kernel's number for this start of the machine (random(4)); its monotonic clock began with it.
fn kernel_boot() -> Option<u64> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: String = text.trim().split('-').collect();
    u64::from_str_radix(digits.get(..16)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_of_one_start_of_the_machine_share_their_times() {
        let (first, second) = (Clock::start().unwrap(), Clock::start().unwrap());
        assert_eq!(first.boot, second.boot);
        let instant = Instant::now();
        let apart = first.at_us(instant) - second.at_us(instant);
        assert!(apart.abs() < 1000, "{apart}");
        let back = first.instant(first.at_us(instant));
        assert!(instant.saturating_duration_since(back) < Duration::from_micros(2));
    }

    #[test]
    fn certificates_are_never_judged_by_a_clock_from_before_the_build() {
        let folder = tempfile::tempdir().unwrap();
        let clock = |system: i64| {
            let sources = Sources {
                system: Box::new(move || system),
                kept: Box::new(|| false),
            };
            Clock::new(sources, Some(folder.path().to_owned())).unwrap()
        };
        let day = 86_400_000_000;
        let micros = |clock: &Clock| clock.for_tls().as_micros() as i64;
        assert_eq!(micros(&clock(0)), built_us());
        assert_eq!(micros(&clock(built_us() + day)), built_us() + day);
        // The cloud is believed, and what it said outlives the process.
        let first = clock(0);
        let now = Instant::now();
        first.cloud_says(built_us() + 100 * day, now, now);
        // But for less than a millisecond.
        let said = built_us() + 100 * day - 1000;
        assert!(micros(&first) >= said);
        first.save().unwrap();
        assert!(micros(&clock(0)) >= said);
    }
}
