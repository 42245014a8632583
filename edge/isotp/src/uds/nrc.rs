//! Negative response codes (ISO 14229-1:2020 annex A).

use core::fmt;

macro_rules! codes {
    ($($code:literal $variant:ident $name:literal,)*) => {
        /// Why an ECU refused a request. `Display` gives the standard's name and the code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Nrc {
            $(
                #[doc = concat!("`", $name, "`, ", stringify!($code), ".")]
                $variant,
            )*
            /// A code the standard reserves or leaves to the maker.
            Other(u8),
        }

        impl Nrc {
            /// Every code the standard names.
            pub const NAMED: &[Self] = &[$(Self::$variant,)*];

            /// The code on the wire.
            pub const fn code(self) -> u8 {
                match self {
                    $(Self::$variant => $code,)*
                    Self::Other(code) => code,
                }
            }

            /// The standard's name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(0xF0..=0xFE) => "vehicleManufacturerSpecificConditionsNotCorrect",
                    Self::Other(_) => "reserved",
                }
            }
        }

        impl From<u8> for Nrc {
            fn from(code: u8) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }
    };
}

codes! {
    0x10 GeneralReject "generalReject",
    0x11 ServiceNotSupported "serviceNotSupported",
    0x12 SubFunctionNotSupported "subFunctionNotSupported",
    0x13 IncorrectMessageLengthOrInvalidFormat "incorrectMessageLengthOrInvalidFormat",
    0x14 ResponseTooLong "responseTooLong",
    0x21 BusyRepeatRequest "busyRepeatRequest",
    0x22 ConditionsNotCorrect "conditionsNotCorrect",
    0x24 RequestSequenceError "requestSequenceError",
    0x25 NoResponseFromSubnetComponent "noResponseFromSubnetComponent",
    0x26 FailurePreventsExecutionOfRequestedAction "failurePreventsExecutionOfRequestedAction",
    0x31 RequestOutOfRange "requestOutOfRange",
    0x33 SecurityAccessDenied "securityAccessDenied",
    0x34 AuthenticationRequired "authenticationRequired",
    0x35 InvalidKey "invalidKey",
    0x36 ExceedNumberOfAttempts "exceedNumberOfAttempts",
    0x37 RequiredTimeDelayNotExpired "requiredTimeDelayNotExpired",
    0x38 SecureDataTransmissionRequired "secureDataTransmissionRequired",
    0x39 SecureDataTransmissionNotAllowed "secureDataTransmissionNotAllowed",
    0x3A SecureDataVerificationFailed "secureDataVerificationFailed",
    0x50 CertificateInvalidTimePeriod "certificateVerificationFailed-InvalidTimePeriod",
    0x51 CertificateInvalidSignature "certificateVerificationFailed-InvalidSignature",
    0x52 CertificateInvalidChainOfTrust "certificateVerificationFailed-InvalidChainOfTrust",
    0x53 CertificateInvalidType "certificateVerificationFailed-InvalidType",
    0x54 CertificateInvalidFormat "certificateVerificationFailed-InvalidFormat",
    0x55 CertificateInvalidContent "certificateVerificationFailed-InvalidContent",
    0x56 CertificateInvalidScope "certificateVerificationFailed-InvalidScope",
    0x57 CertificateInvalid "certificateVerificationFailed-InvalidCertificate",
    0x58 OwnershipVerificationFailed "ownershipVerificationFailed",
    0x59 ChallengeCalculationFailed "challengeCalculationFailed",
    0x5A SettingAccessRightsFailed "settingAccessRightsFailed",
    0x5B SessionKeyCreationDerivationFailed "sessionKeyCreationDerivationFailed",
    0x5C ConfigurationDataUsageFailed "configurationDataUsageFailed",
    0x5D DeAuthenticationFailed "deAuthenticationFailed",
    0x70 UploadDownloadNotAccepted "uploadDownloadNotAccepted",
    0x71 TransferDataSuspended "transferDataSuspended",
    0x72 GeneralProgrammingFailure "generalProgrammingFailure",
    0x73 WrongBlockSequenceCounter "wrongBlockSequenceCounter",
    0x78 ResponsePending "requestCorrectlyReceived-ResponsePending",
    0x7E SubFunctionNotSupportedInActiveSession "subFunctionNotSupportedInActiveSession",
    0x7F ServiceNotSupportedInActiveSession "serviceNotSupportedInActiveSession",
    0x81 RpmTooHigh "rpmTooHigh",
    0x82 RpmTooLow "rpmTooLow",
    0x83 EngineIsRunning "engineIsRunning",
    0x84 EngineIsNotRunning "engineIsNotRunning",
    0x85 EngineRunTimeTooLow "engineRunTimeTooLow",
    0x86 TemperatureTooHigh "temperatureTooHigh",
    0x87 TemperatureTooLow "temperatureTooLow",
    0x88 VehicleSpeedTooHigh "vehicleSpeedTooHigh",
    0x89 VehicleSpeedTooLow "vehicleSpeedTooLow",
    0x8A ThrottlePedalTooHigh "throttle/PedalTooHigh",
    0x8B ThrottlePedalTooLow "throttle/PedalTooLow",
    0x8C TransmissionRangeNotInNeutral "transmissionRangeNotInNeutral",
    0x8D TransmissionRangeNotInGear "transmissionRangeNotInGear",
    0x8F BrakeSwitchNotClosed "brakeSwitch(es)NotClosed",
    0x90 ShifterLeverNotInPark "shifterLeverNotInPark",
    0x91 TorqueConverterClutchLocked "torqueConverterClutchLocked",
    0x92 VoltageTooHigh "voltageTooHigh",
    0x93 VoltageTooLow "voltageTooLow",
    0x94 ResourceTemporarilyNotAvailable "resourceTemporarilyNotAvailable",
}

impl Nrc {
    /// Whether an ECU stays silent instead of sending this in answer to a functional request
    /// (ISO 14229-1:2020 §8.7).
    pub const fn silent_when_functional(self) -> bool {
        matches!(
            self,
            Self::ServiceNotSupported
                | Self::SubFunctionNotSupported
                | Self::RequestOutOfRange
                | Self::SubFunctionNotSupportedInActiveSession
                | Self::ServiceNotSupportedInActiveSession
        )
    }
}

impl fmt::Display for Nrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02X})", self.name(), self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_a_code() {
        for byte in 0..=255 {
            assert_eq!(Nrc::from(byte).code(), byte);
        }
        assert!(Nrc::NAMED.iter().all(|code| !matches!(code, Nrc::Other(_))));
        assert_eq!(
            Nrc::from(0x78).to_string(),
            "requestCorrectlyReceived-ResponsePending (78)"
        );
        assert_eq!(
            Nrc::from(0xF3).name(),
            "vehicleManufacturerSpecificConditionsNotCorrect"
        );
    }
}
