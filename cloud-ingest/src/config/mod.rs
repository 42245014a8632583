//! The configuration file: its keys as data, and what they mean together.
//!
//! Every fault is told at once with file, line and key, and nothing is started before all of it is right. The keys
//! themselves, as data, are in `schema`.

mod files;
mod schema;

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use ::devices::json;
use config_file::{Fault, Faults, HostPort, Spans};
use serde::Deserialize;
use shared_protocol::SigningKey;
use teltonika::{
    MessageCodec,
    avl::{self, List},
    server::Settings,
};
use url::Url;
use vault::Ring;

use self::schema::broker;
use crate::{broker::Pace, keys};

pub use files::Place;
pub use schema::SCHEMA;

/// What the file says, complete and believed.
#[derive(Debug)]
pub struct Config {
    /// The database.
    pub database: Database,
    /// The HTTP API.
    pub http: Http,
    /// Where blocks come from.
    pub broker: Broker,
    /// How much is held and written at a time.
    pub ingest: Ingest,
    /// The key that signs acknowledgements.
    pub signing: SigningKey,
    /// The server of Teltonika trackers.
    pub teltonika: Teltonika,
    /// Devices that speak JSON over MQTT.
    pub json: Option<Arc<json::List>>,
    /// What is asked of MyGeotab.
    pub geotab: Geotab,
    /// The keys that seal secrets.
    pub vault: Option<Ring>,
    /// Where files are kept.
    pub files: Option<Place>,
    /// The key of links to files: made of the one that signs, so that there is one secret less to be kept.
    pub links: [u8; 32],
    /// The log.
    pub log: Log,
}

/// The database.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its URL; `PATIO_DATABASE_URL` overrides it.
    pub url: Option<String>,
    /// The URL of the login that owns the tables, where that is another one; `PATIO_DATABASE_OWNER_URL` overrides it.
    pub owner_url: Option<String>,
    /// Most connections to it, those of the API included.
    pub connections: usize,
    /// The URL of a streaming replica, which answers what only reads samples.
    pub replica_url: Option<String>,
    /// How far behind it may be.
    #[serde(deserialize_with = "config_file::duration")]
    pub replica_lag: Duration,
}

/// The HTTP API.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether it may listen where others than this machine reach it.
    pub trusted_network: bool,
    /// The address by which people's browsers know the service.
    pub public_url: Option<Url>,
    /// Whether providers to sign in at may be on private networks, and speak HTTP without TLS.
    pub private_providers: bool,
    /// How often a key or user may ask.
    pub requests_per_second: NonZeroU32,
    /// How often an address may ask of which nobody is known.
    pub strangers_per_minute: NonZeroU32,
}

/// Where blocks come from.
#[derive(Debug)]
pub enum Broker {
    /// A child process of this program.
    Embedded {
        /// Where it listens; port 0 takes a free one.
        listen: SocketAddr,
        /// How fast a client may publish.
        pace: Pace,
    },
    /// Somebody else's.
    External {
        /// Where it is.
        address: HostPort,
        /// TLS, when the URL says `mqtts`.
        tls: Option<Tls>,
        /// Name of the shared subscription, when several ingestors share the work.
        shared_group: Option<String>,
    },
}

/// What TLS to a broker needs, as PEM.
#[derive(Clone)]
pub struct Tls {
    /// Who may sign the broker's certificate.
    pub ca: Vec<u8>,
    /// Our certificate and its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// How much is held and written at a time.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    /// Most blocks in a transaction.
    pub batch: usize,
    /// How long a block waits for others to share its transaction.
    #[serde(deserialize_with = "config_file::duration")]
    pub batch_wait: Duration,
    /// Transactions at a time.
    pub workers: usize,
    /// Most bytes of blocks in memory.
    #[serde(deserialize_with = "config_file::bytes")]
    pub queue: u64,
    /// Most bytes of one gateway's blocks in memory.
    #[serde(deserialize_with = "config_file::bytes")]
    pub queue_per_gateway: u64,
}

/// The server of Teltonika trackers.
#[derive(Debug)]
pub struct Teltonika {
    /// How it treats them; `None`: it is not wanted.
    pub server: Option<Settings>,
    /// What their elements mean.
    pub elements: Arc<List>,
}

/// What is asked of MyGeotab.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Geotab {
    /// How often each feed is asked.
    #[serde(deserialize_with = "config_file::duration")]
    pub every: Duration,
}

/// The log.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Least serious thing that is written.
    pub level: String,
    /// `text` or `json`.
    pub format: String,
}

/// The file as it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    database: Database,
    http: Http,
    mqtt: Mqtt,
    ingest: Ingest,
    teltonika: TeltonikaTable,
    json: JsonTable,
    geotab: Geotab,
    keys: Keys,
    files: files::Table,
    log: Log,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mqtt {
    broker: String,
    listen: SocketAddr,
    trusted_network: bool,
    #[serde(deserialize_with = "config_file::bytes")]
    client_bytes: u64,
    client_messages: NonZeroU32,
    shared_group: Option<String>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TeltonikaTable {
    listen: Option<SocketAddr>,
    trusted_network: bool,
    connections: usize,
    commands: String,
    elements: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonTable {
    enabled: bool,
    signals: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    signing: PathBuf,
    vault: Option<PathBuf>,
}

impl Config {
    /// Reads a file. The URLs are the environment's, which win.
    pub fn read(
        path: &Path,
        database_url: Option<String>,
        owner_url: Option<String>,
    ) -> Result<Self, Faults> {
        let (mut file, spans) = config_file::read::<File>(path, &SCHEMA)?;
        if database_url.is_some() {
            // The file's owner belongs to the file's database.
            file.database.owner_url = None;
        }
        if owner_url.is_some() {
            file.database.owner_url = owner_url;
        }
        Self::from_file(file, &spans, database_url)
    }

    /// The database that a file names, with its owner's login; keys and files that it names are not looked at.
    pub fn database_urls(path: &Path) -> Result<(String, Option<String>), Faults> {
        let (file, spans) = config_file::read::<File>(path, &SCHEMA)?;
        let url = file.database.url.ok_or_else(|| no_database(&spans))?;
        Ok((url, file.database.owner_url))
    }

    fn from_file(
        mut file: File,
        spans: &Spans,
        database_url: Option<String>,
    ) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        if database_url.is_some() {
            file.database.url = database_url;
        }
        if file.database.url.is_none() {
            faults.push(no_database(spans));
        }
        let (http, mqtt) = (&file.http, &file.mqtt);
        check_listen(
            "http",
            http.listen,
            http.trusted_network,
            "keys and answers go over it as they are, without TLS",
            spans,
            &mut faults,
        );
        if file.ingest.queue_per_gateway > file.ingest.queue {
            faults.push(spans.fault(
                "ingest.queue_per_gateway",
                "at most ingest.queue",
                format!(
                    "\"{}\"",
                    config_file::bytes_text(file.ingest.queue_per_gateway)
                ),
            ));
        }
        let broker = resolve_broker(mqtt, spans, &mut faults);
        let teltonika = resolve_teltonika(&file.teltonika, spans, &mut faults);
        let json = resolve_json(&file.json, spans, &mut faults);
        let signing = spans
            .existing_file("keys.signing", &file.keys.signing)
            .and_then(|path| {
                keys::read(&path).map_err(|error| {
                    spans
                        .problem("keys.signing", format!("{}: {error}", path.display()))
                        .hint(error.advice(&path))
                })
            });
        let vault = read_ring(file.keys.vault.as_deref(), spans, &mut faults);
        let place = files::place(&file.files, spans, &mut faults);
        match (broker, signing) {
            (Some(broker), Ok(signing)) if faults.is_empty() => Ok(Self {
                database: file.database,
                http: file.http,
                broker,
                ingest: file.ingest,
                teltonika,
                json,
                geotab: file.geotab,
                links: files::links(&signing),
                signing,
                vault,
                files: place,
                log: file.log,
            }),
            (_, signing) => {
                faults.extend(signing.err());
                Err(faults.into())
            }
        }
    }
}

/// What names of devices that speak JSON mean; `None`: they are not wanted.
fn resolve_json(
    table: &JsonTable,
    spans: &Spans,
    faults: &mut Vec<Fault>,
) -> Option<Arc<json::List>> {
    let read = |place: PathBuf| {
        let text = std::fs::read_to_string(&place).map_err(|error| error.to_string())?;
        json::List::read(&text)
    };
    let own = table.signals.as_deref().and_then(|path| {
        let key = "json.signals";
        spans
            .existing_file(key, path)
            .and_then(|place| read(place).map_err(|problem| spans.problem(key, problem)))
            .map_err(|fault| faults.push(fault))
            .ok()
    });
    table
        .enabled
        .then(|| own.map_or_else(json::List::shipped, Arc::new))
}

fn resolve_teltonika(table: &TeltonikaTable, spans: &Spans, faults: &mut Vec<Fault>) -> Teltonika {
    if let Some(listen) = table.listen {
        check_listen(
            "teltonika",
            listen,
            table.trusted_network,
            "whoever knows an IMEI can speak as that tracker there",
            spans,
            faults,
        );
    }
    let read = |place: PathBuf| {
        let text = std::fs::read_to_string(&place).map_err(|error| error.to_string())?;
        List::read(&text)
    };
    let elements = table.elements.as_deref().and_then(|path| {
        let key = "teltonika.elements";
        spans
            .existing_file(key, path)
            .and_then(|place| read(place).map_err(|problem| spans.problem(key, problem)))
            .map_err(|fault| faults.push(fault))
            .ok()
    });
    Teltonika {
        server: table.listen.map(|listen| Settings {
            connections: table.connections,
            commands: match table.commands.as_str() {
                "codec14" => MessageCodec::Fourteen,
                _ => MessageCodec::Twelve,
            },
            ..Settings::on(listen)
        }),
        elements: elements.map_or_else(avl::shipped, Arc::new),
    }
}

/// The key ring, when the file names one.
fn read_ring(path: Option<&Path>, spans: &Spans, faults: &mut Vec<Fault>) -> Option<Ring> {
    let read = |place: PathBuf| {
        let text = std::fs::read_to_string(&place).map_err(|error| error.to_string())?;
        Ring::read(&text).map_err(|error| error.to_string())
    };
    spans
        .existing_file("keys.vault", path?)
        .and_then(|place| read(place).map_err(|problem| spans.problem("keys.vault", problem)))
        .map_err(|fault| faults.push(fault))
        .ok()
}

fn no_database(spans: &Spans) -> Fault {
    spans
        .problem("database.url", "the database is not named")
        .hint("write its URL here, or put it into PATIO_DATABASE_URL")
}

/// Listening where others reach it has to be said in words.
fn check_listen(
    table: &str,
    listen: SocketAddr,
    trusted: bool,
    danger: &str,
    spans: &Spans,
    faults: &mut Vec<Fault>,
) {
    if !listen.ip().is_loopback() && !trusted {
        let problem = format!("{listen} can be reached from outside this machine, and {danger}");
        faults.push(spans.problem(&format!("{table}.listen"), problem).hint(
            format!("listen on 127.0.0.1, or write trusted_network = true in [{table}] if you mean it"),
        ));
    }
}

fn resolve_broker(mqtt: &Mqtt, spans: &Spans, faults: &mut Vec<Fault>) -> Option<Broker> {
    let before = faults.len();
    let address = broker(&mqtt.broker).ok()?;
    let Some((address, is_tls)) = address else {
        for key in ["shared_group", "ca", "certificate", "key"] {
            reject(
                &format!("mqtt.{key}"),
                "is for an external broker",
                spans,
                faults,
            );
        }
        check_listen(
            "mqtt",
            mqtt.listen,
            mqtt.trusted_network,
            "nobody is asked who they are there",
            spans,
            faults,
        );
        let embedded = Broker::Embedded {
            listen: mqtt.listen,
            pace: Pace {
                // Its greatest is less than that of the type.
                bytes: u32::try_from(mqtt.client_bytes)
                    .ok()
                    .and_then(NonZeroU32::new)
                    .unwrap_or(NonZeroU32::MAX),
                messages: mqtt.client_messages,
            },
        };
        return (faults.len() == before).then_some(embedded);
    };
    for key in [
        "listen",
        "trusted_network",
        "client_bytes",
        "client_messages",
    ] {
        reject(
            &format!("mqtt.{key}"),
            "is for the embedded broker",
            spans,
            faults,
        );
    }
    let mut pem = |key: &str, path: &Option<PathBuf>| -> Option<Vec<u8>> {
        let key = format!("mqtt.{key}");
        let place = spans
            .existing_file(&key, path.as_deref()?)
            .map_err(|fault| faults.push(fault))
            .ok()?;
        std::fs::read(&place)
            .map_err(|error| faults.push(spans.problem(&key, error.to_string())))
            .ok()
    };
    let (ca, certificate, key) = (
        pem("ca", &mqtt.ca),
        pem("certificate", &mqtt.certificate),
        pem("key", &mqtt.key),
    );
    let tls = if is_tls {
        if mqtt.ca.is_none() {
            faults.push(
                spans
                    .problem(
                        "mqtt.ca",
                        "mqtts needs the certificates of those who may sign the broker's",
                    )
                    .hint("name a PEM file; the system's own list is not used"),
            );
        }
        if mqtt.certificate.is_some() != mqtt.key.is_some() {
            faults.push(spans.problem("mqtt.certificate", "certificate and key go together"));
        }
        ca.map(|ca| Tls {
            ca,
            identity: certificate.zip(key),
        })
    } else {
        for key in ["ca", "certificate", "key"] {
            reject(
                &format!("mqtt.{key}"),
                "is for mqtts:// brokers",
                spans,
                faults,
            );
        }
        None
    };
    (faults.len() == before).then(|| Broker::External {
        address,
        tls,
        shared_group: mqtt.shared_group.clone(),
    })
}

/// A key that stands in the file although it has no meaning there.
fn reject(key: &str, why: &str, spans: &Spans, faults: &mut Vec<Fault>) {
    if spans.has(key) {
        faults.push(
            spans
                .problem(key, format!("this key {why}"))
                .hint("remove it"),
        );
    }
}
