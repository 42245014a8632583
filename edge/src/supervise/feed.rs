//! The watchdogs that are fed: systemd's, and the hardware's.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
};

use sd_notify::NotifyState;

/// Written last, it tells the hardware watchdog that it is let go on purpose (Linux, `watchdog-api`, "magic close").
const MAGIC_CLOSE: &[u8] = b"V";

/// Feeds systemd, where it has started us, and a hardware watchdog, where one is given. A hardware watchdog that is
/// closed without [`Feeder::release`] starts the machine anew, unless the next process comes back to it in time.
#[derive(Debug, Default)]
pub struct Feeder {
    device: Option<File>,
    failing: bool,
}

impl Feeder {
    /// Opens the hardware watchdog, which runs from then on; `None`: there is none.
    pub fn open(device: Option<&Path>) -> io::Result<Self> {
        let device = device.map(|path| OpenOptions::new().write(true).open(path));
        Ok(Self {
            device: device.transpose()?,
            failing: false,
        })
    }

    /// The gateway runs.
    pub fn ready() {
        tell(&[NotifyState::Ready, NotifyState::Status("running")]);
    }

    /// The gateway begins to stop.
    pub fn stopping() {
        tell(&[NotifyState::Stopping]);
    }

    /// All that matters moves.
    pub fn feed(&mut self) {
        tell(&[NotifyState::Watchdog]);
        let Some(device) = &mut self.device else {
            return;
        };
        // Any byte but the magic one.
        let fed = device.write_all(b"\0");
        if let Err(error) = &fed
            && !self.failing
        {
            tracing::error!(%error, "the hardware watchdog takes nothing");
        }
        self.failing = fed.is_err();
    }

    /// Lets the hardware watchdog go: the gateway has stopped in order.
    pub fn release(mut self) {
        if let Some(device) = &mut self.device
            && let Err(error) = device.write_all(MAGIC_CLOSE)
        {
            tracing::error!(%error, "the hardware watchdog cannot be let go and will start the machine anew");
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd does not listen");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_fed_and_let_go_with_the_magic_byte() {
        let device = tempfile::NamedTempFile::new().unwrap();
        let mut feeder = Feeder::open(Some(device.path())).unwrap();
        feeder.feed();
        feeder.feed();
        feeder.release();
        assert_eq!(std::fs::read(device.path()).unwrap(), b"\0\0V");
        // Without a release the magic byte is not written.
        let device = tempfile::NamedTempFile::new().unwrap();
        let mut feeder = Feeder::open(Some(device.path())).unwrap();
        feeder.feed();
        drop(feeder);
        assert_eq!(std::fs::read(device.path()).unwrap(), b"\0");
        assert!(Feeder::open(Some(Path::new("/nowhere/watchdog"))).is_err());
    }
}
