//! Sizes on which several parts have to agree.

use shared_protocol::envelope::MAX_ENVELOPE;

/// Longest payload that the embedded broker takes: twice what any message may be, so that what is somewhat too long
/// still reaches the quarantine and is seen there.
pub const MAX_PAYLOAD: usize = 2 * MAX_ENVELOPE;

/// Longest MQTT packet that we let a broker send to us. A broker drops what is longer instead of sending it
/// (MQTT 5, 3.1.2.11.4), so an oversize message cannot end the connection again and again.
pub const MAX_PACKET: usize = MAX_PAYLOAD + 64 * 1024;
