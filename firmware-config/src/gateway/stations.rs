//! The central system of charging stations, as the configuration has it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use config_file::{Fault, Spans};
use shared_protocol::AssetKey;

use super::{Identity, file, schema};

/// The central system of the depot's charging stations.
#[derive(Clone, Debug)]
pub struct Stations {
    /// Where they connect.
    pub listen: SocketAddr,
    /// What they know the gateway by; without it there is no TLS.
    pub identity: Option<Identity>,
    /// Those that stations' certificates are verified with.
    pub client_ca: Option<PathBuf>,
    /// Whether stations may connect without TLS or without a secret.
    pub insecure: bool,
    /// How often a station says that it is there.
    pub heartbeat: Duration,
    /// Who may connect.
    pub stations: Vec<Station>,
    /// Who may charge.
    pub tokens: Vec<Token>,
}

/// A station that may connect.
#[derive(Clone, Debug)]
pub struct Station {
    /// Its id.
    pub id: String,
    /// The charger.
    pub asset: AssetKey,
    /// SHA-256 of its password.
    pub password: Option<[u8; 32]>,
    /// SHA-256 of its certificate.
    pub certificate: Option<[u8; 32]>,
    /// Address of the back-office that it is relayed to, without its id.
    pub relay: Option<String>,
    /// File with its password there.
    pub relay_password: Option<PathBuf>,
    /// File with the authorities of the back-office's certificate.
    pub relay_ca: Option<PathBuf>,
}

/// A token by which cars are charged.
#[derive(Clone, Debug)]
pub struct Token {
    /// What the reader reads.
    pub id: String,
    /// Whether it must not charge.
    pub blocked: bool,
    /// From when on it must not.
    pub expires: Option<jiff::Timestamp>,
    /// Its group.
    pub group: Option<String>,
}

/// Checks what stands in the file; nothing comes out when a fault was found.
pub(super) fn check(
    written: file::Stations,
    spans: &Spans,
    faults: &mut Vec<Fault>,
) -> Option<Stations> {
    let before = faults.len();
    let mut file = |key: &str, path: Option<PathBuf>| {
        let found = path.map(|path| spans.existing_file(&format!("stations.{key}"), &path));
        found.transpose().map_err(|fault| faults.push(fault)).ok()?
    };
    let given = (
        written.certificate.is_some(),
        written.certificate_key.is_some(),
    );
    let certificate = file("certificate", written.certificate);
    let key = file("certificate_key", written.certificate_key);
    let client_ca = file("client_ca", written.client_ca);
    let stations = written.station.iter().enumerate();
    let relays: Vec<_> = stations
        .map(|(index, station)| {
            let mut file = |name: &str, path: &Option<PathBuf>| {
                file(&format!("station[{index}].{name}"), path.clone())
            };
            (
                file("relay_password", &station.relay_password),
                file("relay_ca", &station.relay_ca),
            )
        })
        .collect();
    let mut fault = |key: &str, expected: &str, found: &str| {
        faults.push(spans.fault(&format!("stations.{key}"), expected, found));
    };
    match given {
        (true, false) => fault("certificate_key", "the key of the certificate", "none"),
        (false, true) => fault("certificate", "the certificate of the key", "none"),
        (false, false) if !written.insecure_stations => fault(
            "certificate",
            "a certificate for TLS, or `insecure_stations = true`",
            "none",
        ),
        _ => {}
    }
    for (index, station) in written.station.iter().enumerate() {
        let secret = station.password_sha256.is_some() || station.certificate_sha256.is_some();
        if !secret && !written.insecure_stations {
            fault(
                &format!("station[{index}]"),
                "the SHA-256 of a password or of a certificate, or `insecure_stations = true`",
                "neither",
            );
        }
        let secure = station
            .relay
            .as_ref()
            .is_some_and(|url| url.starts_with("wss://"));
        if secure && station.relay_ca.is_none() {
            fault(
                &format!("station[{index}].relay_ca"),
                "certificates to verify the back-office's with, for wss://",
                "none",
            );
        }
        if station.certificate_sha256.is_some() && client_ca.is_none() {
            fault(
                "client_ca",
                "certificates to verify those of stations with",
                "none",
            );
        }
    }
    let ids = written.station.iter().enumerate();
    let ids = ids.map(|(index, one)| (format!("stations.station[{index}].id"), &one.id));
    faults.extend(spans.repeated("an id that no other station has", ids));
    let assets = written.station.iter().enumerate();
    let assets =
        assets.map(|(index, one)| (format!("stations.station[{index}].asset"), &one.asset));
    faults.extend(spans.repeated("an asset that no other station is", assets));
    let tokens = written.token.iter().enumerate();
    let tokens =
        tokens.map(|(index, one)| (format!("stations.token[{index}].id"), one.id.to_lowercase()));
    faults.extend(spans.repeated("a token that is listed once", tokens));
    if faults.len() > before {
        return None;
    }
    let digest = |text: Option<String>| text.and_then(|text| schema::digest(&text).ok());
    Some(Stations {
        listen: written.listen,
        identity: certificate
            .zip(key)
            .map(|(certificate, key)| Identity { certificate, key }),
        client_ca,
        insecure: written.insecure_stations,
        heartbeat: written.heartbeat,
        stations: written
            .station
            .into_iter()
            .zip(relays)
            .map(|(one, (relay_password, relay_ca))| Station {
                relay: one.relay,
                relay_password,
                relay_ca,
                id: one.id,
                asset: one.asset,
                password: digest(one.password_sha256),
                certificate: digest(one.certificate_sha256),
            })
            .collect(),
        tokens: written
            .token
            .into_iter()
            .map(|one| Token {
                id: one.id,
                blocked: one.blocked,
                expires: one.expires,
                group: one.group,
            })
            .collect(),
    })
}
