//! Why a connection ended, which decides when the next one is made.

use rumqttc::{
    ClientError, ConnectReturnCode, ConnectionError, DisconnectReasonCode, StateError, mqttbytes,
};

use super::pipe;
use crate::buffer::Stopped;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    /// The gateway is stopping.
    #[error("stopping")]
    Stop,
    /// The broker does not take us, or we cannot go to it: trying again soon will not help, and may get the address banned.
    #[error("{0}: this must be put right before the gateway can connect")]
    Refused(String),
    /// The broker has closed the connection.
    #[error("{why}")]
    Closed {
        /// What it said.
        why: String,
        /// It said that it was over a packet's length.
        too_long: bool,
    },
    /// The client takes nothing any more; its last event says why.
    #[error("{0}")]
    Gone(ClientError),
    /// Anything else.
    #[error("{0}")]
    Broken(String),
}

impl End {
    pub(super) fn broken(error: impl std::error::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<Stopped> for End {
    fn from(_: Stopped) -> Self {
        Self::Stop
    }
}

impl From<ClientError> for End {
    fn from(error: ClientError) -> Self {
        Self::Gone(error)
    }
}

impl From<ConnectionError> for End {
    fn from(error: ConnectionError) -> Self {
        use ConnectReturnCode::{
            BadAuthenticationMethod, BadUserNamePassword, Banned, ClientIdentifierNotValid,
            NotAuthorized,
        };
        match error {
            ConnectionError::ConnectionRefused(
                code @ (NotAuthorized
                | BadUserNamePassword
                | Banned
                | BadAuthenticationMethod
                | ClientIdentifierNotValid),
            ) => Self::Refused(format!("the broker refuses this gateway ({code:?})")),
            ConnectionError::ConnectionRefused(code) => {
                Self::Broken(format!("the broker refuses the connection ({code:?})"))
            }
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => goodbye(reason_code, reason_string.as_deref()),
            ConnectionError::MqttState(StateError::ConnectionAborted) => Self::closed(),
            error if pipe::is_refusal(&error) => Self::Refused(format!(
                "the broker does not accept our certificate ({error})"
            )),
            ConnectionError::MqttState(StateError::Deserialization(mqttbytes::Error::Io(io)))
                if io.kind() == std::io::ErrorKind::ConnectionReset =>
            {
                Self::closed()
            }
            other => Self::broken(other),
        }
    }
}

impl End {
    fn closed() -> Self {
        Self::Closed {
            why: "the broker closed the connection without a word".into(),
            too_long: false,
        }
    }
}

fn goodbye(code: DisconnectReasonCode, words: Option<&str>) -> End {
    let why = match words {
        Some(words) => format!("the broker says goodbye: {code:?}, {words}"),
        None => format!("the broker says goodbye: {code:?}"),
    };
    match code {
        // Somebody else bears our name, or somebody sent us away.
        DisconnectReasonCode::NotAuthorized
        | DisconnectReasonCode::SessionTakenOver
        | DisconnectReasonCode::AdministrativeAction => End::Refused(why),
        _ => End::Closed {
            why,
            too_long: code == DisconnectReasonCode::PacketTooLarge,
        },
    }
}
