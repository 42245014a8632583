//! What can be wrong with bytes that a device sent.

/// Why bytes are refused. Nothing that is refused is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A frame does not begin with four zero bytes.
    #[error("a frame begins with four zero bytes, found 0x{0:08X}: the stream is out of step")]
    Preamble(u32),
    /// A length that no device sends.
    #[error("{what} of {found} bytes: {least} to {most} are possible")]
    Length {
        /// What is so long.
        what: &'static str,
        /// How long it says it is.
        found: usize,
        /// Shortest.
        least: usize,
        /// Longest.
        most: usize,
    },
    /// The checksum is another one.
    #[error("the CRC-16 is 0x{computed:04X} by the data, 0x{found:08X} by the frame")]
    Crc {
        /// Of the data.
        computed: u16,
        /// As the frame says.
        found: u32,
    },
    /// A codec that is not read here.
    #[error(
        "codec 0x{0:02X} is not known: 0x08, 0x8E, 0x10 carry records, 0x0C, 0x0D, 0x0E messages"
    )]
    Codec(u8),
    /// The data ends early.
    #[error("the data ends within {0}")]
    Short(&'static str),
    /// The data goes on.
    #[error("{0} bytes follow the last record")]
    Trailing(usize),
    /// The count before and the count after are not the same.
    #[error("the data says {before} before and {after} after, {what}")]
    Counts {
        /// What is counted.
        what: &'static str,
        /// The first.
        before: usize,
        /// The second.
        after: usize,
    },
    /// No IMEI.
    #[error("`{0}` is not an IMEI: it has 15 digits")]
    Imei(String),
    /// A datagram whose fixed byte is another one.
    #[error("the fifth byte of a datagram is 0x01, found 0x{0:02X}")]
    Datagram(u8),
}
