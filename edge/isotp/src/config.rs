//! What a [`Link`](crate::Link) must know before it starts, and the flow control parameters.

use core::time::Duration;

use thiserror::Error;

use crate::address::Address;
use crate::frame::round_up_to_dlc;

/// The minimum separation time `STmin` between consecutive frames, as it stands in a flow control frame
/// (ISO 15765-2:2016 §9.6.5.4): 00 to 7F are milliseconds, F1 to F9 hundreds of microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StMin(pub u8);

impl StMin {
    /// The time to wait. Reserved values mean the longest, 127 ms (§9.6.5.5).
    pub const fn duration(self) -> Duration {
        match self.0 {
            ms @ 0x00..=0x7F => Duration::from_millis(ms as u64),
            us @ 0xF1..=0xF9 => Duration::from_micros((us - 0xF0) as u64 * 100),
            _ => Duration::from_millis(0x7F),
        }
    }

    /// The smallest value that asks for at least `gap`; `None` above 127 ms.
    pub fn at_least(gap: Duration) -> Option<Self> {
        match gap.as_micros().div_ceil(100) {
            0 => Some(Self(0)),
            tenths @ 1..=9 => Some(Self(0xF0 + tenths as u8)),
            tenths @ 10..=1270 => Some(Self(tenths.div_ceil(10) as u8)),
            _ => None,
        }
    }
}

/// How long to wait for the driver and for the other side (§9.8.1, §9.8.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// `N_As`, `N_Ar`: from handing a frame to the driver until it is on the bus. Only counts with [`Config::confirm`].
    pub n_a: Duration,
    /// `N_Bs`: the sender waits for flow control.
    pub n_bs: Duration,
    /// `N_Cr`: the receiver waits for a consecutive frame.
    pub n_cr: Duration,
}

impl Default for Timeouts {
    /// 1000 ms each, the standard's values.
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            n_a: second,
            n_bs: second,
            n_cr: second,
        }
    }
}

/// Everything a [`Link`](crate::Link) is configured with. Start from [`Config::new`] or [`Config::fd`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Who speaks to whom.
    pub address: Address,
    /// Whether we send CAN FD frames. Both kinds are received.
    pub fd: bool,
    /// `TX_DL` (§9.5): the longest frame we send; 8, and on CAN FD also 12, 16, 20, 24, 32, 48 or 64.
    pub tx_data_length: u8,
    /// What fills frames up (§10.4.2). `Some` fills every frame to eight bytes when `tx_data_length` is 8. Longer
    /// frames are always filled up to the next length CAN FD has, with CC if this is `None`.
    pub padding: Option<u8>,
    /// Frames are filled up to at least this many bytes.
    pub min_length: Option<u8>,
    /// `BS` we ask for (§9.6.5.3): flow control after so many consecutive frames, 0 for never again.
    pub block_size: u8,
    /// `STmin` we ask for (§9.6.5.4).
    pub st_min: StMin,
    /// How many `WAIT` frames we send before each clear-to-send, `wait_gap` apart; for simulators of slow ECUs.
    pub wait_frames: u8,
    /// The time from one of our `WAIT` frames to the next flow control frame; shorter than the sender's `N_Bs`.
    pub wait_gap: Duration,
    /// `N_WFTmax` (§9.7): how many `WAIT` frames in a row we take before giving up; 0 takes none.
    pub max_wait_frames: u8,
    /// The longest message we receive, in bytes. A longer one is answered with `OVFLW` (§9.6.5.1).
    pub max_message_size: u32,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// Whether the caller says when a frame is on the bus ([`Link::transmitted`](crate::Link::transmitted)). If not,
    /// a frame counts as sent when it is handed out.
    pub confirm: bool,
}

impl Config {
    /// Classic CAN without padding, no blocks, no separation time, messages up to 64 KiB, the standard's timeouts.
    pub fn new(address: Address) -> Self {
        Self {
            address,
            fd: false,
            tx_data_length: 8,
            padding: None,
            min_length: None,
            block_size: 0,
            st_min: StMin(0),
            wait_frames: 0,
            wait_gap: Duration::from_millis(100),
            max_wait_frames: 16,
            max_message_size: 0x1_0000,
            timeouts: Timeouts::default(),
            confirm: false,
        }
    }

    /// The same on CAN FD with frames of up to `tx_data_length` bytes.
    pub fn fd(address: Address, tx_data_length: u8) -> Self {
        Self {
            fd: true,
            tx_data_length,
            ..Self::new(address)
        }
    }

    /// Fills every frame with `byte`, as ISO 15765-4 wants for OBD.
    #[must_use]
    pub fn padded(self, byte: u8) -> Self {
        Self {
            padding: Some(byte),
            ..self
        }
    }

    /// Checks what types cannot say.
    pub fn check(&self) -> Result<(), ConfigError> {
        let longest = usize::from(self.tx_data_length);
        let fits = round_up_to_dlc(longest) == Some(longest);
        if longest < 8 || !fits || (longest > 8 && !self.fd) {
            return Err(ConfigError::TxDataLength {
                length: self.tx_data_length,
                fd: self.fd,
            });
        }
        if let Some(shortest) = self.min_length {
            let shortest = usize::from(shortest);
            if shortest > longest || round_up_to_dlc(shortest) != Some(shortest) {
                return Err(ConfigError::MinLength {
                    length: shortest,
                    longest,
                });
            }
        }
        if self.address.hears_itself() {
            return Err(ConfigError::SameAddress);
        }
        if self.max_message_size == 0 {
            return Err(ConfigError::MaxMessageSize);
        }
        Ok(())
    }
}

/// What is wrong with a [`Config`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No frame has this length.
    #[error("tx_data_length {length} is no length of a {} frame: use 8{}", if *.fd { "CAN FD" } else { "classic CAN" },
        if *.fd { ", 12, 16, 20, 24, 32, 48 or 64" } else { "" })]
    TxDataLength {
        /// What was given.
        length: u8,
        /// Whether frames are CAN FD.
        fd: bool,
    },
    /// No frame has this length, or it is above `tx_data_length`.
    #[error("min_length {length} is no frame length up to {longest}")]
    MinLength {
        /// What was given.
        length: usize,
        /// `tx_data_length`.
        longest: usize,
    },
    /// We would receive our own frames.
    #[error("both directions have the same address: give each its own identifier or address byte")]
    SameAddress,
    /// Nothing could be received.
    #[error("max_message_size is 0: no message could be received")]
    MaxMessageSize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::CanId;

    #[test]
    fn st_min_reads_and_rounds_up() {
        let us = |n| Duration::from_micros(n);
        for (raw, expected) in [
            (0, 0),
            (1, 1000),
            (0x7F, 127_000),
            (0xF1, 100),
            (0xF9, 900),
            (0x80, 127_000),
            (0xF0, 127_000),
            (0xFA, 127_000),
        ] {
            assert_eq!(StMin(raw).duration(), us(expected), "{raw:02X}");
        }
        for (gap, raw) in [
            (0, 0),
            (1, 0xF1),
            (100, 0xF1),
            (101, 0xF2),
            (900, 0xF9),
            (901, 1),
            (1001, 2),
            (127_000, 0x7F),
        ] {
            assert_eq!(StMin::at_least(us(gap)), Some(StMin(raw)), "{gap} us");
        }
        assert_eq!(StMin::at_least(us(127_001)), None);
    }

    #[test]
    fn impossible_configurations_are_refused() {
        let address = Address::obd_11(0);
        assert_eq!(Config::new(address).check(), Ok(()));
        for length in 0..=255 {
            let fd = matches!(length, 8 | 12 | 16 | 20 | 24 | 32 | 48 | 64);
            assert_eq!(Config::fd(address, length).check().is_ok(), fd, "{length}");
            let classic = Config {
                tx_data_length: length,
                ..Config::new(address)
            };
            assert_eq!(classic.check().is_ok(), length == 8, "{length}");
        }
        let short = Config {
            min_length: Some(12),
            ..Config::new(address)
        };
        assert_eq!(
            short.check(),
            Err(ConfigError::MinLength {
                length: 12,
                longest: 8
            })
        );
        let id = CanId::known_standard(0x7E0);
        assert_eq!(
            Config::new(Address::normal(id, id)).check(),
            Err(ConfigError::SameAddress)
        );
        let nothing = Config {
            max_message_size: 0,
            ..Config::new(address)
        };
        assert_eq!(nothing.check(), Err(ConfigError::MaxMessageSize));
    }
}
