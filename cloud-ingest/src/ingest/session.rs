//! A session that a broker keeps while we are away (MQTT 5, 4.1).
//!
//! It is the broker's part that matters: subscriptions, and messages that we have not acknowledged. Ours is empty each time: an
//! answer that was under way is given again when its question comes again. The client wants to hear that from a store; it would
//! refuse to subscribe or publish in a session of which it knows nothing.

use std::pin::Pin;

use rumqttc::{
    MqttOptions, PersistedAckMode, PersistedSession, SessionStore, SessionStoreError,
    SessionStoreKey,
};

/// How long a broker keeps it, in seconds: a day.
const KEEP_S: u32 = 86_400;
/// Of rumqttc 0.34, which is pinned.
const FORMAT: u16 = 1;

/// Goes on with the session of the client of this name, with manual acknowledgements.
pub(super) fn resume(options: &mut MqttOptions) {
    let nothing = Nothing(PersistedSession {
        format_version: FORMAT,
        client_id: options.client_id(),
        clean_start: false,
        session_expiry_interval: Some(KEEP_S),
        outgoing_inflight_upper_limit: options.get_outgoing_inflight_upper_limit(),
        ack_mode: PersistedAckMode::Manual,
        last_pkid: 0,
        last_puback: 0,
        replay: Vec::new(),
        incoming_qos2: Vec::new(),
    });
    options
        .set_clean_start(false)
        .set_session_expiry_interval(Some(KEEP_S))
        .set_session_store(nothing);
}

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SessionStoreError>> + Send + 'a>>;

/// Has nothing under way, and keeps nothing.
#[derive(Debug)]
struct Nothing(PersistedSession);

impl SessionStore for Nothing {
    fn load<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, Option<PersistedSession>> {
        Box::pin(async { Ok(Some(self.0.clone())) })
    }

    fn save<'a>(&'a self, _: &'a SessionStoreKey, _: &'a PersistedSession) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    fn clear<'a>(&'a self, _: &'a SessionStoreKey) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
