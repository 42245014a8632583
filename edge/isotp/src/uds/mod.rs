//! Diagnostic services: UDS (ISO 14229-1), OBD (SAE J1979 / ISO 15031-5), and `ReadDataByLocalIdentifier` of
//! ISO 14230-3, which older electric cars still answer to.
//!
//! A [`Request`] becomes bytes and says which answers are its own ([`Request::judge`]); an [`Answer`] is a positive
//! one with typed readings. [`Client`] asks one ECU, [`Group`] asks all at once by a functional request.

mod answer;
mod client;
mod dtc;
mod group;
mod nrc;
mod pid;
mod request;
mod response;
mod verdict;
mod vin;

pub use answer::{Answer, AnswerError, SessionTiming};
pub use client::{AskError, Client, ClientError, ClientOutput, Timing};
pub use dtc::{Dtc, DtcCount, DtcError, DtcRecord, DtcReport, DtcStatus};
pub use group::{Group, GroupOutput, Responders};
pub use nrc::Nrc;
pub use pid::{SupportedIds, pid_length};
pub use request::{ReadDtc, Request, RequestError};
pub use response::{Response, ResponseError, service_name};
pub use verdict::Verdict;
pub use vin::{Vin, VinError};

/// The data identifier of the VIN (ISO 14229-1:2020 table C.1).
pub const VIN_DID: u16 = 0xF190;

/// The `InfoType` of the VIN in service 09 (SAE J1979).
pub const VIN_INFO_TYPE: u8 = 0x02;

/// What the first byte of a negative response is.
pub(crate) const NEGATIVE: u8 = 0x7F;

/// What a positive response adds to the service identifier.
pub(crate) const POSITIVE: u8 = 0x40;

/// The bit of a sub-function that asks for no positive response (`suppressPosRspMsgIndicationBit`, ISO 14229-1:2020
/// §9.2.2).
pub(crate) const SUPPRESS: u8 = 0x80;

/// Service identifiers.
pub(crate) mod sid {
    pub(crate) const CURRENT_DATA: u8 = 0x01;
    pub(crate) const FREEZE_FRAME: u8 = 0x02;
    pub(crate) const STORED_DTCS: u8 = 0x03;
    pub(crate) const PENDING_DTCS: u8 = 0x07;
    pub(crate) const VEHICLE_INFORMATION: u8 = 0x09;
    pub(crate) const PERMANENT_DTCS: u8 = 0x0A;
    pub(crate) const SESSION_CONTROL: u8 = 0x10;
    pub(crate) const ECU_RESET: u8 = 0x11;
    pub(crate) const CLEAR_DTCS: u8 = 0x14;
    pub(crate) const READ_DTCS: u8 = 0x19;
    pub(crate) const READ_LOCAL_ID: u8 = 0x21;
    pub(crate) const READ_DATA: u8 = 0x22;
    pub(crate) const SECURITY_ACCESS: u8 = 0x27;
    pub(crate) const TESTER_PRESENT: u8 = 0x3E;
}
