//! Requests: built, read back by simulators, and matched with their answers.

use thiserror::Error;

use super::{Dtc, Nrc, POSITIVE, SUPPRESS, sid};

/// How many PIDs one request of service 01 may name (SAE J1979).
const MAX_PIDS: usize = 6;

/// The sub-functions of service 19 that are read here (ISO 14229-1:2020 §12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadDtc {
    /// 01 `reportNumberOfDTCByStatusMask`.
    CountByStatusMask(u8),
    /// 02 `reportDTCByStatusMask`.
    ByStatusMask(u8),
    /// 04 `reportDTCSnapshotRecordByDTCNumber`; record FF means all.
    Snapshot {
        /// Whose.
        dtc: Dtc,
        /// Which.
        record: u8,
    },
    /// 06 `reportDTCExtDataRecordByDTCNumber`; record FF means all.
    ExtendedData {
        /// Whose.
        dtc: Dtc,
        /// Which.
        record: u8,
    },
    /// 0A `reportSupportedDTC`.
    Supported,
}

/// A diagnostic request. `suppress` asks the ECU for no positive response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// 01 (ISO 15031-5:2006 §7.1): current values of one to six PIDs. Bitmaps of supported PIDs (00, 20, …) do not mix with others.
    CurrentData {
        /// The PIDs.
        pids: Vec<u8>,
    },
    /// 02 (ISO 15031-5:2006 §7.2): the value a PID had when a code was stored.
    FreezeFrame {
        /// The PID; 02 asks which code caused the frame.
        pid: u8,
        /// The frame's number; 00 is the one the law wants.
        frame: u8,
    },
    /// 03 (ISO 15031-5:2006 §7.3): confirmed emission-related codes.
    StoredDtcs,
    /// 07 (ISO 15031-5:2006 §7.7): codes of the current or last driving cycle.
    PendingDtcs,
    /// 0A (SAE J1979 §7.10): codes that clearing does not remove.
    PermanentDtcs,
    /// 09 (ISO 15031-5:2006 §7.9): facts about the vehicle.
    VehicleInformation {
        /// `InfoType`; 02 is the VIN.
        info_type: u8,
    },
    /// 10 (ISO 14229-1:2020 §10.2).
    DiagnosticSessionControl {
        /// 1 default, 2 programming, 3 extended.
        session: u8,
        /// Bit 7 of the sub-function.
        suppress: bool,
    },
    /// 11 (ISO 14229-1:2020 §10.3).
    EcuReset {
        /// 1 hard, 2 key off and on, 3 soft.
        kind: u8,
        /// Bit 7 of the sub-function.
        suppress: bool,
    },
    /// 14 (ISO 14229-1:2020 §12.2): forgets the codes of a group.
    ClearDiagnosticInformation {
        /// `groupOfDTC`, three bytes; FFFFFF is all.
        group: u32,
    },
    /// 19 (ISO 14229-1:2020 §12.3).
    ReadDtcInformation(ReadDtc),
    /// 21 of ISO 14230-3.
    ReadDataByLocalIdentifier {
        /// `recordLocalIdentifier`.
        id: u8,
    },
    /// 22 (ISO 14229-1:2020 §11.2): the values of data identifiers.
    ReadDataByIdentifier {
        /// The DIDs.
        ids: Vec<u16>,
    },
    /// 27 (ISO 14229-1:2020 §10.4): an odd sub-function asks for a seed, an even one sends a key.
    SecurityAccess {
        /// The sub-function, without bit 7.
        sub_function: u8,
        /// `securityAccessDataRecord` or `securityKey`.
        data: Vec<u8>,
    },
    /// 3E (ISO 14229-1:2020 §10.7): keeps a session alive.
    TesterPresent {
        /// Bit 7 of the sub-function.
        suppress: bool,
    },
    /// Any other request, as bytes.
    Other {
        /// The request with its service identifier.
        payload: Vec<u8>,
        /// How many bytes after the service identifier a positive answer repeats.
        echo: usize,
    },
}

/// A request that no ECU could understand. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// Too few or too many.
    #[error("service 01 takes 1 to 6 PIDs, not {0}")]
    Pids(usize),
    /// Two of the same cannot be told apart.
    #[error("identifier {0:02X} stands twice in the request: ask once")]
    Repeated(u16),
    /// Bitmaps of supported PIDs are asked for alone.
    #[error("PID {0:02X} is a bitmap of supported PIDs: do not mix it with others")]
    MixedBitmap(u8),
    /// Nothing to ask for.
    #[error("service 22 takes at least one data identifier")]
    NoIdentifier,
    /// Seven bits.
    #[error("sub-function {0:02X} is above 7F")]
    SubFunction(u8),
    /// Three bytes.
    #[error("group of codes {0:X} is above FFFFFF")]
    Group(u32),
    /// The service identifier is missing, is that of a response, or the echo is longer than the request.
    #[error("the bytes are no request, or it is shorter than the {echo} bytes to be repeated")]
    Other {
        /// What was to be repeated.
        echo: usize,
    },
}

impl Request {
    /// One PID's current value.
    pub fn pid(pid: u8) -> Self {
        Self::CurrentData { pids: vec![pid] }
    }

    /// One data identifier's value.
    pub fn did(id: u16) -> Self {
        Self::ReadDataByIdentifier { ids: vec![id] }
    }

    /// The service identifier.
    pub fn service(&self) -> u8 {
        match self {
            Self::CurrentData { .. } => sid::CURRENT_DATA,
            Self::FreezeFrame { .. } => sid::FREEZE_FRAME,
            Self::StoredDtcs => sid::STORED_DTCS,
            Self::PendingDtcs => sid::PENDING_DTCS,
            Self::PermanentDtcs => sid::PERMANENT_DTCS,
            Self::VehicleInformation { .. } => sid::VEHICLE_INFORMATION,
            Self::DiagnosticSessionControl { .. } => sid::SESSION_CONTROL,
            Self::EcuReset { .. } => sid::ECU_RESET,
            Self::ClearDiagnosticInformation { .. } => sid::CLEAR_DTCS,
            Self::ReadDtcInformation(_) => sid::READ_DTCS,
            Self::ReadDataByLocalIdentifier { .. } => sid::READ_LOCAL_ID,
            Self::ReadDataByIdentifier { .. } => sid::READ_DATA,
            Self::SecurityAccess { .. } => sid::SECURITY_ACCESS,
            Self::TesterPresent { .. } => sid::TESTER_PRESENT,
            Self::Other { payload, .. } => payload.first().copied().unwrap_or(0),
        }
    }

    /// Whether the ECU is asked for no positive response.
    pub fn is_suppressed(&self) -> bool {
        match self {
            Self::DiagnosticSessionControl { suppress, .. }
            | Self::EcuReset { suppress, .. }
            | Self::TesterPresent { suppress } => *suppress,
            _ => false,
        }
    }

    /// The bytes to send.
    pub fn encode(&self) -> Result<Vec<u8>, RequestError> {
        self.check()?;
        let mut bytes = vec![self.service()];
        match self {
            Self::CurrentData { pids } => bytes.extend_from_slice(pids),
            Self::FreezeFrame { pid, frame } => bytes.extend([*pid, *frame]),
            Self::StoredDtcs | Self::PendingDtcs | Self::PermanentDtcs => {}
            Self::VehicleInformation { info_type } => bytes.push(*info_type),
            Self::DiagnosticSessionControl {
                session: kind,
                suppress,
            }
            | Self::EcuReset { kind, suppress } => {
                bytes.push(kind | if *suppress { SUPPRESS } else { 0 });
            }
            Self::ClearDiagnosticInformation { group } => {
                bytes.extend_from_slice(&group.to_be_bytes()[1..]);
            }
            Self::ReadDtcInformation(read) => match read {
                ReadDtc::CountByStatusMask(mask) => bytes.extend([0x01, *mask]),
                ReadDtc::ByStatusMask(mask) => bytes.extend([0x02, *mask]),
                ReadDtc::Snapshot { dtc, record } | ReadDtc::ExtendedData { dtc, record } => {
                    bytes.push(if matches!(read, ReadDtc::Snapshot { .. }) {
                        0x04
                    } else {
                        0x06
                    });
                    bytes.extend(dtc.to_uds());
                    bytes.push(*record);
                }
                ReadDtc::Supported => bytes.push(0x0A),
            },
            Self::ReadDataByLocalIdentifier { id } => bytes.push(*id),
            Self::ReadDataByIdentifier { ids } => {
                bytes.extend(ids.iter().flat_map(|id| id.to_be_bytes()));
            }
            Self::SecurityAccess { sub_function, data } => {
                bytes.push(*sub_function);
                bytes.extend_from_slice(data);
            }
            Self::TesterPresent { suppress } => bytes.push(if *suppress { SUPPRESS } else { 0 }),
            Self::Other { payload, .. } => bytes.extend_from_slice(&payload[1..]),
        }
        Ok(bytes)
    }

    fn check(&self) -> Result<(), RequestError> {
        match self {
            Self::CurrentData { pids } if pids.is_empty() || pids.len() > MAX_PIDS => {
                Err(RequestError::Pids(pids.len()))
            }
            Self::CurrentData { pids } => {
                let is_bitmap = |pid: &&u8| pid.is_multiple_of(0x20);
                match pids.iter().find(is_bitmap) {
                    Some(pid) if !pids.iter().all(|pid| is_bitmap(&pid)) => {
                        Err(RequestError::MixedBitmap(*pid))
                    }
                    _ => {
                        repeated(pids).map_or(Ok(()), |pid| Err(RequestError::Repeated(pid.into())))
                    }
                }
            }
            Self::ReadDataByIdentifier { ids } if ids.is_empty() => Err(RequestError::NoIdentifier),
            Self::ReadDataByIdentifier { ids } => {
                repeated(ids).map_or(Ok(()), |id| Err(RequestError::Repeated(id)))
            }
            Self::DiagnosticSessionControl { session: sub, .. }
            | Self::EcuReset { kind: sub, .. }
            | Self::SecurityAccess {
                sub_function: sub, ..
            } if *sub >= SUPPRESS => Err(RequestError::SubFunction(*sub)),
            Self::ClearDiagnosticInformation { group } if *group > 0xFF_FFFF => {
                Err(RequestError::Group(*group))
            }
            Self::Other { payload, echo }
                if *echo >= payload.len() || payload[0] & POSITIVE != 0 =>
            {
                Err(RequestError::Other { echo: *echo })
            }
            _ => Ok(()),
        }
    }

    /// Reads a request, as an ECU does. What is none of the others is `Other`; a wrong length is the code an ECU
    /// answers with.
    pub fn decode(bytes: &[u8]) -> Result<Self, Nrc> {
        let (&service, rest) = bytes
            .split_first()
            .ok_or(Nrc::IncorrectMessageLengthOrInvalidFormat)?;
        let other = |echo| Self::Other {
            payload: bytes.to_vec(),
            echo,
        };
        let (sub, suppress) = rest
            .first()
            .map_or((0, false), |b| (b & !SUPPRESS, b & SUPPRESS != 0));
        let request = match (service, rest) {
            (sid::CURRENT_DATA, pids) => Self::CurrentData {
                pids: pids.to_vec(),
            },
            (sid::FREEZE_FRAME, &[pid, frame]) => Self::FreezeFrame { pid, frame },
            (sid::STORED_DTCS, []) => Self::StoredDtcs,
            (sid::PENDING_DTCS, []) => Self::PendingDtcs,
            (sid::PERMANENT_DTCS, []) => Self::PermanentDtcs,
            (sid::VEHICLE_INFORMATION, &[info_type]) => Self::VehicleInformation { info_type },
            (sid::SESSION_CONTROL, [_]) => Self::DiagnosticSessionControl {
                session: sub,
                suppress,
            },
            (sid::ECU_RESET, [_]) => Self::EcuReset {
                kind: sub,
                suppress,
            },
            (sid::CLEAR_DTCS, &[a, b, c]) => Self::ClearDiagnosticInformation {
                group: u32::from_be_bytes([0, a, b, c]),
            },
            (sid::READ_DTCS, &[0x01, mask]) => {
                Self::ReadDtcInformation(ReadDtc::CountByStatusMask(mask))
            }
            (sid::READ_DTCS, &[0x02, mask]) => {
                Self::ReadDtcInformation(ReadDtc::ByStatusMask(mask))
            }
            (sid::READ_DTCS, &[0x04, a, b, c, record]) => {
                Self::ReadDtcInformation(ReadDtc::Snapshot {
                    dtc: Dtc::uds([a, b, c]),
                    record,
                })
            }
            (sid::READ_DTCS, &[0x06, a, b, c, record]) => {
                Self::ReadDtcInformation(ReadDtc::ExtendedData {
                    dtc: Dtc::uds([a, b, c]),
                    record,
                })
            }
            (sid::READ_DTCS, [0x0A]) => Self::ReadDtcInformation(ReadDtc::Supported),
            (sid::READ_DTCS, [0x01 | 0x02 | 0x04 | 0x06 | 0x0A, ..] | []) => {
                return Err(Nrc::IncorrectMessageLengthOrInvalidFormat);
            }
            (sid::READ_DTCS, _) => other(1),
            (sid::READ_LOCAL_ID, &[id]) => Self::ReadDataByLocalIdentifier { id },
            (sid::READ_DATA, ids) if ids.len().is_multiple_of(2) => {
                let (pairs, _) = ids.as_chunks::<2>();
                Self::ReadDataByIdentifier {
                    ids: pairs.iter().map(|&pair| u16::from_be_bytes(pair)).collect(),
                }
            }
            (sid::SECURITY_ACCESS, [first, data @ ..]) if *first < SUPPRESS => {
                Self::SecurityAccess {
                    sub_function: *first,
                    data: data.to_vec(),
                }
            }
            (sid::TESTER_PRESENT, [0 | SUPPRESS]) => Self::TesterPresent { suppress },
            (sid::TESTER_PRESENT, [_]) => return Err(Nrc::SubFunctionNotSupported),
            (service, _) if is_read_here(service) => {
                return Err(Nrc::IncorrectMessageLengthOrInvalidFormat);
            }
            _ => other(0),
        };
        request
            .check()
            .map_err(|_| Nrc::IncorrectMessageLengthOrInvalidFormat)?;
        Ok(request)
    }
}

fn repeated<T: PartialEq + Copy>(ids: &[T]) -> Option<T> {
    ids.iter()
        .enumerate()
        .find(|(n, id)| ids[..*n].contains(id))
        .map(|(_, id)| *id)
}

fn is_read_here(service: u8) -> bool {
    matches!(
        service,
        sid::FREEZE_FRAME
            | sid::STORED_DTCS
            | sid::PENDING_DTCS
            | sid::PERMANENT_DTCS
            | sid::VEHICLE_INFORMATION
            | sid::SESSION_CONTROL
            | sid::ECU_RESET
            | sid::CLEAR_DTCS
            | sid::READ_LOCAL_ID
            | sid::READ_DATA
            | sid::SECURITY_ACCESS
            | sid::TESTER_PRESENT
    )
}
