//! Which answers belong to which request.

use super::{NEGATIVE, Nrc, POSITIVE, ReadDtc, Request};

/// What a payload is to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its positive answer: service identifier and repeated parameters agree.
    Positive,
    /// The ECU needs more time (78); the answer comes later.
    Pending,
    /// The ECU refuses.
    Negative(Nrc),
    /// Not an answer to this request.
    Foreign,
}

impl Request {
    /// What `payload` is to this request (ISO 14229-1:2020 §8.7). A negative response repeats the service
    /// identifier only: whether it belongs to this request or to an earlier one is for [`Client`](super::Client) to know.
    pub fn judge(&self, payload: &[u8]) -> Verdict {
        match *payload {
            [NEGATIVE, service, code, ..] if service == self.service() => match Nrc::from(code) {
                Nrc::ResponsePending => Verdict::Pending,
                code => Verdict::Negative(code),
            },
            [first, ref data @ ..]
                if first == self.service() | POSITIVE
                    && first != NEGATIVE
                    && self.is_repeated_in(data) =>
            {
                Verdict::Positive
            }
            _ => Verdict::Foreign,
        }
    }

    /// Whether `data`, the answer without its identifier, begins with the parameters an answer repeats.
    fn is_repeated_in(&self, data: &[u8]) -> bool {
        match self {
            Self::CurrentData { pids } => data.first().is_some_and(|pid| pids.contains(pid)),
            Self::FreezeFrame { pid, frame } => data.starts_with(&[*pid, *frame]),
            Self::StoredDtcs | Self::PendingDtcs | Self::PermanentDtcs => true,
            Self::ClearDiagnosticInformation { .. } => data.is_empty(),
            Self::VehicleInformation { info_type: id }
            | Self::DiagnosticSessionControl { session: id, .. }
            | Self::EcuReset { kind: id, .. }
            | Self::ReadDataByLocalIdentifier { id }
            | Self::SecurityAccess {
                sub_function: id, ..
            } => data.first() == Some(id),
            Self::ReadDtcInformation(read) => match read {
                ReadDtc::CountByStatusMask(_) => data.first() == Some(&0x01),
                ReadDtc::ByStatusMask(_) => data.first() == Some(&0x02),
                ReadDtc::Snapshot { dtc, .. } => data
                    .split_first()
                    .is_some_and(|(sub, d)| *sub == 0x04 && d.starts_with(&dtc.to_uds())),
                ReadDtc::ExtendedData { dtc, .. } => data
                    .split_first()
                    .is_some_and(|(sub, d)| *sub == 0x06 && d.starts_with(&dtc.to_uds())),
                ReadDtc::Supported => data.first() == Some(&0x0A),
            },
            Self::ReadDataByIdentifier { ids } => data
                .first_chunk()
                .is_some_and(|&id| ids.contains(&u16::from_be_bytes(id))),
            Self::TesterPresent { .. } => data == [0],
            Self::Other { payload, echo } => payload
                .get(1..=*echo)
                .is_some_and(|repeated| data.starts_with(repeated)),
        }
    }

    /// How many bytes of an answer repeat the request, its identifier included; what follows is the record. With
    /// several PIDs or DIDs the identifiers stand between the values, so only the service identifier counts.
    pub(crate) fn repeated_length(&self) -> usize {
        match self {
            Self::CurrentData { pids } => 1 + usize::from(pids.len() == 1),
            Self::StoredDtcs
            | Self::PendingDtcs
            | Self::PermanentDtcs
            | Self::ClearDiagnosticInformation { .. } => 1,
            Self::FreezeFrame { .. } => 3,
            Self::ReadDataByIdentifier { ids } => 1 + if ids.len() == 1 { 2 } else { 0 },
            Self::Other { echo, .. } => 1 + echo,
            _ => 2,
        }
    }
}
