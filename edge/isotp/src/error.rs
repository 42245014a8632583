//! What can go wrong between two ends, in the standard's terms (`N_Result`, ISO 15765-2:2016 §8.3.7).

use thiserror::Error;

/// Why a message could not be accepted for sending. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// One message at a time.
    #[error("a message is still being sent: wait for Sent or SendFailed")]
    Busy,
    /// There is no frame for an empty message.
    #[error("an empty message cannot be sent")]
    Empty,
    /// The length field has 32 bits.
    #[error("{0} bytes are more than one message can carry")]
    TooLong(usize),
    /// Functional messages are single frames.
    #[error(
        "{len} bytes do not fit in a single frame of {limit}, and functional messages have no other"
    )]
    NotSingleFrame {
        /// The payload's length.
        len: usize,
        /// The longest payload.
        limit: usize,
    },
}

/// Why sending a message was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum SendError {
    /// `N_TIMEOUT_A`: the driver did not confirm a frame in time. Is the bus off, or nobody there to acknowledge?
    #[error("N_TIMEOUT_A: a frame did not reach the bus in time")]
    TimeoutA,
    /// `N_TIMEOUT_Bs`: no flow control in time.
    #[error("N_TIMEOUT_Bs: no flow control frame in time")]
    TimeoutBs,
    /// `N_BUFFER_OVFLW`: the receiver has no room for this message.
    #[error("N_BUFFER_OVFLW: the receiver has no room for a message of this length")]
    Overflow,
    /// `N_WFT_OVRN`: more `WAIT` frames in a row than allowed (§9.7).
    #[error("N_WFT_OVRN: more than {0} WAIT frames in a row")]
    TooManyWaits(u8),
    /// `N_INVALID_FS`: a flow status the standard does not know (§9.6.5.2).
    #[error("N_INVALID_FS: flow status {0:X} does not exist")]
    InvalidFlowStatus(u8),
}

/// Why receiving a message was given up. What had arrived of it is thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum ReceiveError {
    /// `N_TIMEOUT_A`: our flow control frame was not confirmed in time.
    #[error("N_TIMEOUT_A: our flow control frame did not reach the bus in time")]
    TimeoutA,
    /// `N_TIMEOUT_Cr`: no consecutive frame in time.
    #[error("N_TIMEOUT_Cr: no consecutive frame in time")]
    TimeoutCr,
    /// `N_WRONG_SN`: a frame was lost, repeated or overtaken.
    #[error("N_WRONG_SN: expected consecutive frame {expected:X}, found {found:X}")]
    WrongSequenceNumber {
        /// The sequence number due.
        expected: u8,
        /// The one that came.
        found: u8,
    },
    /// `N_UNEXP_PDU`: the sender began anew with a single frame, which was received.
    #[error("N_UNEXP_PDU: interrupted by a single frame")]
    InterruptedBySingleFrame,
    /// `N_UNEXP_PDU`: the sender began anew with a first frame, which was received.
    #[error("N_UNEXP_PDU: interrupted by a first frame")]
    InterruptedByFirstFrame,
    /// `N_BUFFER_OVFLW`: longer than we are configured to receive. It was answered with `OVFLW`.
    #[error(
        "N_BUFFER_OVFLW: a message of {announced} bytes was announced, at most {limit} are taken"
    )]
    TooLong {
        /// `FF_DL` of the first frame.
        announced: u32,
        /// [`Config::max_message_size`](crate::Config::max_message_size).
        limit: u32,
    },
}

/// Why a frame for us was ignored (§9.6 and §9.8.3). A message in progress goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum IgnoredFrame {
    /// No room for the protocol control information.
    #[error("too short for its protocol control information")]
    TooShort,
    /// Types 4 to F are not of this protocol.
    #[error("frame type {0:X} does not exist")]
    UnknownType(u8),
    /// `SF_DL` is 0 or beyond the frame's end (§9.6.2).
    #[error("single frame length {0} does not fit in the frame")]
    SingleFrameLength(u8),
    /// A frame of more than eight bytes must carry `SF_DL` in its second byte (§9.6.2).
    #[error("single frame of more than eight bytes without the escape sequence")]
    MissingEscape,
    /// A first frame must fill a frame of 8, 12, 16, 20, 24, 32, 48 or 64 bytes (§9.6.3).
    #[error("first frame in a frame of {0} bytes")]
    FirstFrameDataLength(u8),
    /// `FF_DL` announces no more than the first frame itself holds, or uses 32 bits without need (§9.6.3).
    #[error("first frame announces {0} bytes")]
    FirstFrameLength(u32),
    /// A consecutive frame that is not the last must be as long as the first frame (§9.6.4).
    #[error("consecutive frame of {found} bytes where {expected} were due")]
    ConsecutiveFrameDataLength {
        /// `RX_DL`, taken from the first frame.
        expected: u8,
        /// `CAN_DL` of this frame.
        found: u8,
    },
    /// No message is being received.
    #[error("consecutive frame without a first frame")]
    UnexpectedConsecutiveFrame,
    /// Nothing we sent waits for flow control.
    #[error("flow control that nobody waits for")]
    UnexpectedFlowControl,
    /// Functional messages are single frames.
    #[error("not a single frame, but sent to the functional address")]
    FunctionalMultiFrame,
}
