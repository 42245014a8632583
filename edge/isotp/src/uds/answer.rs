//! Typed readings of a positive answer.

use core::time::Duration;

use thiserror::Error;

use super::{
    Dtc, DtcCount, DtcRecord, DtcReport, DtcStatus, ReadDtc, Request, SupportedIds, VIN_DID,
    VIN_INFO_TYPE, Verdict, Vin, VinError, pid_length,
};

/// A positive answer that fits its request: service identifier and repeated parameters agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    request: Request,
    payload: Vec<u8>,
}

/// The answer fits the request, but not what is read from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// This reading belongs to another request.
    #[error("this is no answer to a request for {0}")]
    OtherRequest(&'static str),
    /// Too short, too long, or a list that ends within an item.
    #[error("{what}: {found} bytes do not fit")]
    Length {
        /// What was read.
        what: &'static str,
        /// The bytes that were there for it.
        found: usize,
    },
    /// The answer cannot be taken apart without the length of this identifier.
    #[error("the length of identifier {0:04X} is not known: it must stand in the table")]
    UnknownLength(u16),
    /// Nobody asked for this.
    #[error("identifier {0:04X} was not asked for")]
    NotRequested(u16),
    /// Twice the same.
    #[error("identifier {0:04X} stands twice in the answer")]
    Repeated(u16),
    /// Not a VIN.
    #[error(transparent)]
    Vin(#[from] VinError),
}

/// The ECU's times in a session (ISO 14229-2): how long it may take to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTiming {
    /// `P2Server_max`: to begin an answer.
    pub p2_server: Duration,
    /// `P2*Server_max`: to begin it after a responsePending.
    pub p2_star_server: Duration,
}

impl Answer {
    /// `payload` as the answer to `request`; `None` if it is not its positive answer.
    pub fn new(request: Request, payload: Vec<u8>) -> Option<Self> {
        (request.judge(&payload) == Verdict::Positive).then_some(Self { request, payload })
    }

    /// What was asked.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The whole answer.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// What follows the service identifier and the repeated parameters. To a request for several PIDs or DIDs,
    /// whose answer has them between the values, everything after the service identifier.
    pub fn record(&self) -> &[u8] {
        self.payload
            .get(self.request.repeated_length()..)
            .unwrap_or_default()
    }

    /// Service 22: each identifier with its value, in the answer's order; identifiers the ECU left out are missing.
    /// `lengths` gives the bytes of each; a single identifier that is not in it takes all there is.
    pub fn data_identifiers(
        &self,
        lengths: &[(u16, usize)],
    ) -> Result<Vec<(u16, &[u8])>, AnswerError> {
        let Request::ReadDataByIdentifier { ids } = &self.request else {
            return Err(AnswerError::OtherRequest("data identifiers"));
        };
        let length = |id| {
            lengths
                .iter()
                .find(|(known, _)| *known == id)
                .map(|(_, length)| *length)
        };
        take_apart(
            &self.payload[1..],
            ids,
            "data identifiers",
            length,
            |bytes| {
                bytes
                    .split_first_chunk()
                    .map(|(id, rest)| (u16::from_be_bytes(*id), rest))
            },
        )
    }

    /// Service 01: each PID with its value, in the answer's order; PIDs the ECU left out are missing. A single PID
    /// whose length the standard does not fix takes all there is.
    pub fn pids(&self) -> Result<Vec<(u8, &[u8])>, AnswerError> {
        let Request::CurrentData { pids } = &self.request else {
            return Err(AnswerError::OtherRequest("PIDs"));
        };
        let ids: Vec<u16> = pids.iter().map(|&pid| pid.into()).collect();
        let length = |id| pid_length(id as u8);
        let values = take_apart(&self.payload[1..], &ids, "PIDs", length, |bytes| {
            bytes.split_first().map(|(&id, rest)| (id.into(), rest))
        })?;
        Ok(values
            .into_iter()
            .map(|(id, value)| (id as u8, value))
            .collect())
    }

    /// Services 01 and 09 with identifier 00, 20, … E0: the bitmap of what is supported.
    pub fn supported(&self) -> Result<SupportedIds, AnswerError> {
        let wrong = AnswerError::OtherRequest("a bitmap of supported identifiers");
        let base = match &self.request {
            Request::CurrentData { pids } if pids.len() == 1 => pids[0],
            Request::VehicleInformation { info_type } => *info_type,
            _ => return Err(wrong),
        };
        if !base.is_multiple_of(0x20) {
            return Err(wrong);
        }
        let bytes = self.record();
        let length = AnswerError::Length {
            what: "bitmap",
            found: bytes.len(),
        };
        bytes
            .try_into()
            .ok()
            .and_then(|bytes| SupportedIds::new(base, bytes))
            .ok_or(length)
    }

    /// Service 09, `InfoType` 02, or service 22, DID F190.
    pub fn vin(&self) -> Result<Vin, AnswerError> {
        let record = self.record();
        match &self.request {
            Request::VehicleInformation {
                info_type: VIN_INFO_TYPE,
            } => match record {
                [1, vin @ ..] => Ok(Vin::from_bytes(vin)?),
                _ => Err(AnswerError::Length {
                    what: "number of VINs, which is 1,",
                    found: record.len(),
                }),
            },
            Request::ReadDataByIdentifier { ids } if ids[..] == [VIN_DID] => {
                Ok(Vin::from_bytes(record)?)
            }
            _ => Err(AnswerError::OtherRequest("the VIN")),
        }
    }

    /// Services 03, 07 and 0A: the codes.
    pub fn obd_dtcs(&self) -> Result<Vec<Dtc>, AnswerError> {
        if !matches!(
            self.request,
            Request::StoredDtcs | Request::PendingDtcs | Request::PermanentDtcs
        ) {
            return Err(AnswerError::OtherRequest("OBD trouble codes"));
        }
        let record = self.record();
        let length = AnswerError::Length {
            what: "trouble codes",
            found: record.len(),
        };
        let (&count, list) = record.split_first().ok_or(length)?;
        let used = usize::from(count) * 2;
        let (codes, padding) = list.split_at_checked(used).ok_or(length)?;
        if padding.iter().any(|&b| b != 0) {
            return Err(length);
        }
        let (pairs, _) = codes.as_chunks();
        Ok(pairs.iter().map(|&pair| Dtc::obd(pair)).collect())
    }

    /// Service 19, sub-functions 02 and 0A: the codes with their status.
    pub fn dtc_report(&self) -> Result<DtcReport, AnswerError> {
        let Request::ReadDtcInformation(ReadDtc::ByStatusMask(_) | ReadDtc::Supported) =
            self.request
        else {
            return Err(AnswerError::OtherRequest("trouble codes by status"));
        };
        let record = self.record();
        DtcReport::parse(record).ok_or(AnswerError::Length {
            what: "trouble codes",
            found: record.len(),
        })
    }

    /// Service 19, sub-function 01: how many codes there are.
    pub fn dtc_count(&self) -> Result<DtcCount, AnswerError> {
        let Request::ReadDtcInformation(ReadDtc::CountByStatusMask(_)) = self.request else {
            return Err(AnswerError::OtherRequest("the number of trouble codes"));
        };
        match *self.record() {
            [availability, format, high, low] => Ok(DtcCount {
                availability: DtcStatus(availability),
                format,
                count: u16::from_be_bytes([high, low]),
            }),
            ref other => Err(AnswerError::Length {
                what: "number of trouble codes",
                found: other.len(),
            }),
        }
    }

    /// Service 19, sub-functions 04 and 06: the code, and its records as the maker defines them (empty if none).
    pub fn dtc_detail(&self) -> Result<(DtcRecord, &[u8]), AnswerError> {
        let Request::ReadDtcInformation(ReadDtc::Snapshot { .. } | ReadDtc::ExtendedData { .. }) =
            self.request
        else {
            return Err(AnswerError::OtherRequest("a trouble code's records"));
        };
        match self.record() {
            &[a, b, c, status, ref rest @ ..] => Ok((
                DtcRecord {
                    dtc: Dtc::uds([a, b, c]),
                    status: DtcStatus(status),
                },
                rest,
            )),
            other => Err(AnswerError::Length {
                what: "trouble code",
                found: other.len(),
            }),
        }
    }

    /// Service 10: the ECU's times in the new session, milliseconds and tens of milliseconds on the wire.
    pub fn session_timing(&self) -> Result<SessionTiming, AnswerError> {
        let Request::DiagnosticSessionControl { .. } = self.request else {
            return Err(AnswerError::OtherRequest("a session"));
        };
        match *self.record() {
            [a, b, c, d] => Ok(SessionTiming {
                p2_server: Duration::from_millis(u16::from_be_bytes([a, b]).into()),
                p2_star_server: Duration::from_millis(u64::from(u16::from_be_bytes([c, d])) * 10),
            }),
            ref other => Err(AnswerError::Length {
                what: "session timing",
                found: other.len(),
            }),
        }
    }

    /// Service 27, odd sub-functions: the seed.
    pub fn seed(&self) -> Result<&[u8], AnswerError> {
        match self.request {
            Request::SecurityAccess { sub_function, .. } if sub_function % 2 == 1 => {
                Ok(self.record())
            }
            _ => Err(AnswerError::OtherRequest("a seed")),
        }
    }
}

/// Splits `bytes` into identifiers and values. With one identifier asked for, a length that is not known is what is left.
fn take_apart<'b>(
    mut bytes: &'b [u8],
    asked: &[u16],
    what: &'static str,
    length: impl Fn(u16) -> Option<usize>,
    identifier: impl Fn(&'b [u8]) -> Option<(u16, &'b [u8])>,
) -> Result<Vec<(u16, &'b [u8])>, AnswerError> {
    let mut values: Vec<(u16, &[u8])> = Vec::new();
    while !bytes.is_empty() {
        let (id, rest) = identifier(bytes).ok_or(AnswerError::Length {
            what,
            found: bytes.len(),
        })?;
        if !asked.contains(&id) {
            return Err(AnswerError::NotRequested(id));
        }
        if values.iter().any(|(known, _)| *known == id) {
            return Err(AnswerError::Repeated(id));
        }
        let length = match length(id) {
            Some(length) => length,
            None if asked.len() == 1 => rest.len(),
            None => return Err(AnswerError::UnknownLength(id)),
        };
        let (value, rest) = rest.split_at_checked(length).ok_or(AnswerError::Length {
            what,
            found: rest.len(),
        })?;
        if asked.len() == 1 && !rest.is_empty() {
            return Err(AnswerError::Length {
                what,
                found: value.len() + rest.len(),
            });
        }
        values.push((id, value));
        bytes = rest;
    }
    Ok(values)
}
