//! The outer shape of a response: positive or negative, and of which service (ISO 14229-1:2020 §8).

use thiserror::Error;

use super::{NEGATIVE, Nrc, POSITIVE};

/// Services by their identifiers: UDS (ISO 14229-1:2020 §10 to §15), OBD (SAE J1979), ISO 14230-3 for 21.
const SERVICES: &[(u8, &str)] = &[
    (0x01, "RequestCurrentPowertrainDiagnosticData"),
    (0x02, "RequestPowertrainFreezeFrameData"),
    (0x03, "RequestEmissionRelatedDTCs"),
    (0x04, "ClearEmissionRelatedDTCs"),
    (0x06, "RequestOnBoardMonitoringTestResults"),
    (0x07, "RequestPendingDTCs"),
    (0x08, "RequestControlOfOnBoardSystem"),
    (0x09, "RequestVehicleInformation"),
    (0x0A, "RequestPermanentDTCs"),
    (0x10, "DiagnosticSessionControl"),
    (0x11, "ECUReset"),
    (0x14, "ClearDiagnosticInformation"),
    (0x19, "ReadDTCInformation"),
    (0x21, "ReadDataByLocalIdentifier"),
    (0x22, "ReadDataByIdentifier"),
    (0x23, "ReadMemoryByAddress"),
    (0x24, "ReadScalingDataByIdentifier"),
    (0x27, "SecurityAccess"),
    (0x28, "CommunicationControl"),
    (0x29, "Authentication"),
    (0x2A, "ReadDataByPeriodicIdentifier"),
    (0x2C, "DynamicallyDefineDataIdentifier"),
    (0x2E, "WriteDataByIdentifier"),
    (0x2F, "InputOutputControlByIdentifier"),
    (0x31, "RoutineControl"),
    (0x34, "RequestDownload"),
    (0x35, "RequestUpload"),
    (0x36, "TransferData"),
    (0x37, "RequestTransferExit"),
    (0x38, "RequestFileTransfer"),
    (0x3D, "WriteMemoryByAddress"),
    (0x3E, "TesterPresent"),
    (0x83, "AccessTimingParameter"),
    (0x84, "SecuredDataTransmission"),
    (0x85, "ControlDTCSetting"),
    (0x86, "ResponseOnEvent"),
    (0x87, "LinkControl"),
];

/// The positive responses that may be nothing but their identifier.
const WITHOUT_DATA: [u8; 3] = [0x04, 0x14, 0x37];

/// The standard's name of a service; `None` for those it does not know.
pub fn service_name(service: u8) -> Option<&'static str> {
    SERVICES
        .iter()
        .find(|(sid, _)| *sid == service)
        .map(|(_, name)| *name)
}

/// A response whose request is not known, for logs. To take a value from a response, know its
/// [`Request`](super::Request).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response<'p> {
    /// The ECU did it.
    Positive {
        /// The request's service identifier.
        service: u8,
        /// What follows the response's identifier.
        data: &'p [u8],
    },
    /// The ECU did not do it, or not yet.
    Negative {
        /// The request's service identifier.
        service: u8,
        /// Why.
        code: Nrc,
    },
}

/// The bytes are no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ResponseError {
    /// Nothing there.
    #[error("the response is empty")]
    Empty,
    /// No service has this identifier.
    #[error("{0:02X} belongs to no known service")]
    UnknownService(u8),
    /// A negative response has three bytes.
    #[error("the negative response ends before its code")]
    CodeMissing,
    /// This service's positive response is never empty.
    #[error("the positive response to service {0:02X} has no data")]
    DataMissing(u8),
}

impl<'p> Response<'p> {
    /// Reads the outer shape of a response.
    pub fn parse(payload: &'p [u8]) -> Result<Self, ResponseError> {
        match *payload {
            [] => Err(ResponseError::Empty),
            [NEGATIVE, service, ..] if service_name(service).is_none() => {
                Err(ResponseError::UnknownService(service))
            }
            [NEGATIVE, service, code, ..] => Ok(Self::Negative {
                service,
                code: Nrc::from(code),
            }),
            [NEGATIVE] | [NEGATIVE, _] => Err(ResponseError::CodeMissing),
            [first, ref data @ ..] => {
                let service = first & !POSITIVE;
                if first & POSITIVE == 0 || service_name(service).is_none() {
                    return Err(ResponseError::UnknownService(first));
                }
                if data.is_empty() && !WITHOUT_DATA.contains(&service) {
                    return Err(ResponseError::DataMissing(service));
                }
                Ok(Self::Positive { service, data })
            }
        }
    }
}
