//! An ECU from tables, for simulators and tests: what it knows stands in maps, how it misbehaves in [`Rule`]s.
//!
//! [`Responder`] turns a request into replies; [`Ecu`] puts it behind a [`Link`](crate::Link), so that it can stand
//! on a (virtual) bus.

mod ecu;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::uds::{
    Dtc, DtcRecord, DtcStatus, Nrc, ReadDtc, Request, SupportedIds, VIN_DID, VIN_INFO_TYPE, Vin,
};

pub use ecu::{Ecu, EcuOutput};

/// The longest response an ECU sends, what a first frame can announce in twelve bits.
const MAX_RESPONSE: usize = 4095;

/// How an ECU departs from a prompt answer, for requests that begin with `prefix`. The first rule that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// The first bytes of the request; empty fits all.
    pub prefix: Vec<u8>,
    /// Time to the first reply, and between replies.
    pub delay: Duration,
    /// How many responsePending (78) go before the answer.
    pub pending: u8,
    /// Refuses with this instead of answering.
    pub refuse: Option<Nrc>,
    /// Says nothing, after the responsePending if there are any.
    pub silent: bool,
}

/// One response of an ECU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How long after the request it goes.
    pub after: Duration,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What an ECU knows. Fill in the tables; what is not in them is refused with the standard's code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responder {
    /// Service 22: values of data identifiers.
    pub data: BTreeMap<u16, Vec<u8>>,
    /// Service 21: values of local identifiers.
    pub local_data: BTreeMap<u8, Vec<u8>>,
    /// Service 01: values of PIDs. The bitmaps of supported PIDs follow from it.
    pub current: BTreeMap<u8, Vec<u8>>,
    /// Service 02: values by PID and frame number.
    pub freeze_frames: BTreeMap<(u8, u8), Vec<u8>>,
    /// Service 09: by `InfoType`, the number of items included. The bitmaps follow from it.
    pub information: BTreeMap<u8, Vec<u8>>,
    /// Services 03, 07 and 19: the trouble codes and their status.
    pub dtcs: Vec<DtcRecord>,
    /// Service 19 04: what was kept when a code was stored, from the record's number on.
    pub snapshots: BTreeMap<Dtc, Vec<u8>>,
    /// Service 19 06: what is kept of a code besides, from the record's number on.
    pub extended_data: BTreeMap<Dtc, Vec<u8>>,
    /// Service 0A.
    pub permanent_dtcs: Vec<Dtc>,
    /// Service 19: the status bits this ECU keeps.
    pub dtc_availability: DtcStatus,
    /// Service 10: the sessions there are, besides the default one.
    pub sessions: BTreeSet<u8>,
    /// Service 11: the kinds of reset there are.
    pub resets: BTreeSet<u8>,
    /// Answers to whole requests, before anything else is looked up: request bytes to response bytes.
    pub verbatim: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Departures from a prompt answer.
    pub rules: Vec<Rule>,
}

impl Responder {
    /// An ECU with a VIN, in service 09 and as DID F190, and all status bits.
    pub fn with_vin(vin: Vin) -> Self {
        let mut responder = Self {
            dtc_availability: DtcStatus(0xFF),
            ..Self::default()
        };
        responder.data.insert(VIN_DID, vin.as_bytes().to_vec());
        responder
            .information
            .insert(VIN_INFO_TYPE, [&[1], &vin.as_bytes()[..]].concat());
        responder
    }

    /// The replies to a request, in order; none if the ECU stays silent. Codes are forgotten (service 14) at once.
    pub fn respond(&mut self, request: &[u8], functional: bool) -> Vec<Reply> {
        let Some(&service) = request.first() else {
            return Vec::new();
        };
        let rule = self
            .rules
            .iter()
            .find(|rule| request.starts_with(&rule.prefix))
            .cloned()
            .unwrap_or_default();
        let negative = |code: Nrc| vec![0x7F, service, code.code()];
        let result = match rule.refuse {
            Some(code) => Err(code),
            None => self.answer(request),
        };
        let last = match result {
            _ if rule.silent => None,
            Ok(None) => None,
            Ok(Some(payload)) if payload.len() > MAX_RESPONSE => {
                Some(negative(Nrc::ResponseTooLong))
            }
            Ok(Some(payload)) => Some(payload),
            Err(code) if functional && code.silent_when_functional() && rule.pending == 0 => None,
            Err(code) => Some(negative(code)),
        };
        let pending = (0..rule.pending).map(|_| negative(Nrc::ResponsePending));
        let replies = pending.chain(last).zip(1..);
        replies
            .map(|(payload, n)| Reply {
                after: rule.delay * n,
                payload,
            })
            .collect()
    }

    /// The positive response, or `None` if it is suppressed.
    fn answer(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, Nrc> {
        if let Some(response) = self.verbatim.get(bytes) {
            return Ok(Some(response.clone()));
        }
        let request = Request::decode(bytes)?;
        let response = self.record(&request)?;
        if request.is_suppressed() {
            return Ok(None);
        }
        Ok(Some([&[request.service() | 0x40], &response[..]].concat()))
    }

    /// What follows the response's identifier.
    fn record(&mut self, request: &Request) -> Result<Vec<u8>, Nrc> {
        let unknown = Nrc::RequestOutOfRange;
        match request {
            Request::CurrentData { pids } => {
                let known = pids
                    .iter()
                    .filter_map(|&pid| Some((pid, lookup(&self.current, pid)?)));
                not_empty(
                    known
                        .flat_map(|(pid, value)| [vec![pid], value].concat())
                        .collect(),
                )
                .ok_or(unknown)
            }
            Request::FreezeFrame { pid, frame } => {
                let value = self.freeze_frames.get(&(*pid, *frame)).ok_or(unknown)?;
                Ok([&[*pid, *frame], &value[..]].concat())
            }
            Request::StoredDtcs => Ok(self.obd_dtcs(DtcStatus::confirmed)),
            Request::PendingDtcs => Ok(self.obd_dtcs(DtcStatus::pending)),
            Request::PermanentDtcs => Ok(obd_list(&self.permanent_dtcs)),
            Request::VehicleInformation { info_type } => {
                let value = lookup(&self.information, *info_type).ok_or(unknown)?;
                Ok([vec![*info_type], value].concat())
            }
            Request::DiagnosticSessionControl { session, .. } => {
                let known = *session == 1 || self.sessions.contains(session);
                // P2 of 50 ms, P2* of 500 tens of milliseconds: the standard's values.
                known
                    .then(|| vec![*session, 0x00, 0x32, 0x01, 0xF4])
                    .ok_or(Nrc::SubFunctionNotSupported)
            }
            Request::EcuReset { kind, .. } => self
                .resets
                .contains(kind)
                .then(|| vec![*kind])
                .ok_or(Nrc::SubFunctionNotSupported),
            Request::ClearDiagnosticInformation { group } => {
                self.clear(*group).map(|()| Vec::new())
            }
            Request::ReadDtcInformation(read) => self.dtc_information(*read),
            Request::ReadDataByLocalIdentifier { id } => {
                let value = self.local_data.get(id).ok_or(unknown)?;
                Ok([&[*id], &value[..]].concat())
            }
            Request::ReadDataByIdentifier { ids } => {
                let known = ids.iter().filter_map(|id| Some((id, self.data.get(id)?)));
                not_empty(
                    known
                        .flat_map(|(id, value)| [&id.to_be_bytes(), &value[..]].concat())
                        .collect(),
                )
                .ok_or(unknown)
            }
            Request::TesterPresent { .. } => Ok(vec![0]),
            Request::SecurityAccess { .. } | Request::Other { .. } => Err(Nrc::ServiceNotSupported),
        }
    }

    fn clear(&mut self, group: u32) -> Result<(), Nrc> {
        let before = self.dtcs.len();
        let all = group == 0xFF_FFFF;
        self.dtcs
            .retain(|record| !all && record.dtc.to_uds() != group.to_be_bytes()[1..]);
        if all || self.dtcs.len() < before {
            Ok(())
        } else {
            Err(Nrc::RequestOutOfRange)
        }
    }

    fn dtc_information(&self, read: ReadDtc) -> Result<Vec<u8>, Nrc> {
        let availability = self.dtc_availability.0;
        let matching = |mask: u8| {
            self.dtcs
                .iter()
                .filter(move |record| record.status.0 & mask & availability != 0)
        };
        let list = |records: &mut dyn Iterator<Item = &DtcRecord>| -> Vec<u8> {
            records
                .flat_map(|record| {
                    [&record.dtc.to_uds()[..], &[record.status.0 & availability]].concat()
                })
                .collect()
        };
        match read {
            ReadDtc::CountByStatusMask(mask) => {
                let count =
                    u16::try_from(matching(mask).count()).map_err(|_| Nrc::ResponseTooLong)?;
                Ok([&[0x01, availability, 0x01], &count.to_be_bytes()[..]].concat())
            }
            ReadDtc::ByStatusMask(mask) => {
                Ok([vec![0x02, availability], list(&mut matching(mask))].concat())
            }
            ReadDtc::Supported => {
                Ok([vec![0x0A, availability], list(&mut self.dtcs.iter())].concat())
            }
            ReadDtc::Snapshot { dtc, .. } | ReadDtc::ExtendedData { dtc, .. } => {
                let (sub, kept) = if matches!(read, ReadDtc::Snapshot { .. }) {
                    (0x04, &self.snapshots)
                } else {
                    (0x06, &self.extended_data)
                };
                let record = self
                    .dtcs
                    .iter()
                    .find(|record| record.dtc.to_uds() == dtc.to_uds())
                    .ok_or(Nrc::RequestOutOfRange)?;
                let kept = kept.get(&record.dtc).cloned().unwrap_or_default();
                Ok([vec![sub], list(&mut core::iter::once(record)), kept].concat())
            }
        }
    }

    fn obd_dtcs(&self, has: fn(DtcStatus) -> bool) -> Vec<u8> {
        let codes: Vec<_> = self
            .dtcs
            .iter()
            .filter(|record| has(record.status))
            .map(|record| record.dtc)
            .collect();
        obd_list(&codes)
    }
}

/// The number of codes, then each; at most as many as the number can say.
fn obd_list(codes: &[Dtc]) -> Vec<u8> {
    let count = u8::try_from(codes.len()).unwrap_or(u8::MAX);
    let codes = codes
        .iter()
        .take(count.into())
        .flat_map(|dtc| dtc.code().to_be_bytes());
    core::iter::once(count).chain(codes).collect()
}

/// The value of an identifier, or the bitmap of the 32 that follow it. The first bitmap always exists; a later one if
/// something in or beyond it does.
fn lookup(table: &BTreeMap<u8, Vec<u8>>, id: u8) -> Option<Vec<u8>> {
    if let Some(value) = table.get(&id) {
        return Some(value.clone());
    }
    let last = table.keys().copied().max().unwrap_or(0);
    let exists = id == 0 || (id.is_multiple_of(0x20) && id < last);
    let bitmaps = (0x20..last).step_by(0x20);
    let bitmap = SupportedIds::of(id, table.keys().copied().chain(bitmaps))?;
    exists.then(|| bitmap.to_bytes().to_vec())
}

fn not_empty(bytes: Vec<u8>) -> Option<Vec<u8>> {
    (!bytes.is_empty()).then_some(bytes)
}
