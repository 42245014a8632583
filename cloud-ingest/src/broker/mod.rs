//! The broker that gateways publish to: somebody else's, or rumqttd in a child process of this program.
//!
//! rumqttd cannot be stopped from inside its process, and one panic makes its listener or its router useless for good
//! while the process lives on. So it gets a process of its own, which is replaced when it does not answer. It keeps
//! nothing on disk, and nothing here depends on its keeping anything.
//!
//! - `child`: what runs in the child process, `cloud-ingest broker`
//! - `door`: how fast a client may publish to it
//! - `probe`: one round trip, to see whether a broker answers
//! - `supervisor`: starts the child, looks after it, starts it again

pub mod child;
pub mod door;
pub mod probe;
pub mod supervisor;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
};

use config_file::HostPort;

use crate::config::Tls;

/// Where a broker is reached.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Host and port.
    pub address: HostPort,
    /// TLS, when it is spoken.
    pub tls: Option<Tls>,
}

/// How fast a client of the embedded broker may publish; twice as much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes per second.
    pub bytes: NonZeroU32,
    /// Messages per second.
    pub messages: NonZeroU32,
}

impl Pace {
    /// The configuration's default.
    pub const DEFAULT: Self = Self {
        bytes: NonZeroU32::MIN.saturating_add((4 << 20) - 1),
        messages: NonZeroU32::MIN.saturating_add(999),
    };
}

impl Endpoint {
    /// The broker that listens at this address of this machine.
    pub fn local(listen: SocketAddr) -> Self {
        let host = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self {
            address: HostPort {
                host: host.to_string(),
                port: listen.port(),
            },
            tls: None,
        }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        format!("{scheme}://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_reached_through_loopback() {
        for (listen, url) in [
            ("127.0.0.1:1883", "mqtt://127.0.0.1:1883"),
            ("0.0.0.0:1883", "mqtt://127.0.0.1:1883"),
            ("[::]:1884", "mqtt://[::1]:1884"),
            ("10.1.2.3:1883", "mqtt://10.1.2.3:1883"),
        ] {
            assert_eq!(Endpoint::local(listen.parse().unwrap()).url(), url);
        }
    }
}
