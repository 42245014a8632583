//! The table `[files]`: where photos and documents are kept, and who scans them.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use config_file::{Fault, Spans};
use outbound::{Client, Rules};
use platform::Clock;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shared_protocol::SigningKey;
use url::Url;
use vault::{
    Files, Secret,
    files::{
        LONGEST,
        s3::{Access, Bucket},
        scan::{self, Clamd, Scan, Unscanned},
        store::{Directory, Store},
    },
};

/// How long a scanner may take for a file.
const SCAN: Duration = Duration::from_secs(60);
/// How long a bucket may take for one.
const BUCKET: Duration = Duration::from_secs(60);

/// The table as it stands.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Table {
    folder: Option<PathBuf>,
    endpoint: Option<String>,
    bucket: Option<String>,
    region: String,
    key_id: Option<String>,
    key: Option<PathBuf>,
    path_style: bool,
    clamd: Option<String>,
}

/// Where files are kept, and who scans them.
#[derive(Clone, Debug)]
pub struct Place {
    kept: Kept,
    scanner: Option<scan::Place>,
}

#[derive(Clone, Debug)]
enum Kept {
    Folder(PathBuf),
    Bucket(Access),
}

impl Place {
    /// Opens it; says why it cannot be.
    pub fn open(self, clock: &Clock) -> Result<Files, String> {
        let store: Arc<dyn Store> = match self.kept {
            Kept::Folder(folder) => Arc::new(Directory::new(folder)),
            Kept::Bucket(access) => {
                // The operator's own service: it may be on this machine or in this network.
                let rules = Rules {
                    plain_http: true,
                    any_address: true,
                    total: BUCKET,
                    answer: LONGEST,
                    ..Rules::STRANGERS
                };
                let bucket = Bucket::new(access, Client::new(rules), clock.clone());
                Arc::new(bucket.map_err(|error| error.to_string())?)
            }
        };
        let scanner: Arc<dyn Scan> = match self.scanner {
            Some(place) => Arc::new(Clamd::new(place, SCAN)),
            None => Arc::new(Unscanned),
        };
        Ok(Files::new(store, scanner))
    }
}

/// What the table says, if it names a place.
pub(super) fn place(table: &Table, spans: &Spans, faults: &mut Vec<Fault>) -> Option<Place> {
    let scanner = table
        .clamd
        .as_ref()
        .map(|text| match text.parse::<SocketAddr>() {
            Ok(address) => scan::Place::Tcp(address),
            Err(_) => scan::Place::Unix(text.into()),
        });
    let kept = match (&table.folder, &table.endpoint) {
        (None, None) => return None,
        (Some(folder), None) => Kept::Folder(spans.resolve(folder)),
        (Some(_), Some(_)) => {
            let fault = spans
                .problem(
                    "files.endpoint",
                    "files are kept in one place: `folder` is another",
                )
                .hint("remove one of the two");
            faults.push(fault);
            return None;
        }
        (None, Some(endpoint)) => match bucket(table, endpoint, spans) {
            Ok(access) => Kept::Bucket(access),
            Err(fault) => {
                faults.push(fault);
                return None;
            }
        },
    };
    Some(Place { kept, scanner })
}

fn bucket(table: &Table, endpoint: &str, spans: &Spans) -> Result<Access, Fault> {
    let needed = |key: &str| spans.problem(key, "a bucket needs this key, too");
    let endpoint: Url = endpoint
        .parse()
        .map_err(|error| spans.problem("files.endpoint", format!("no URL: {error}")))?;
    let host = endpoint.host_str().unwrap_or_default();
    let own = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    if endpoint.scheme() != "https" && !(own && endpoint.scheme() == "http") {
        return Err(spans.problem(
            "files.endpoint",
            "files and their signatures go over it: https, or http on this machine",
        ));
    }
    let bucket = table.bucket.clone().ok_or_else(|| needed("files.bucket"))?;
    let key_id = table.key_id.clone().ok_or_else(|| needed("files.key_id"))?;
    let key = table.key.as_ref().ok_or_else(|| needed("files.key"))?;
    let key = spans.existing_file("files.key", key)?;
    let secret = std::fs::read_to_string(&key)
        .map_err(|error| spans.problem("files.key", error.to_string()))?;
    Ok(Access {
        endpoint,
        bucket,
        region: table.region.clone(),
        key_id,
        key: Secret::new(secret.trim()),
        path_style: table.path_style,
    })
}

/// The key of links to files, made of the one that signs.
pub(super) fn links(signing: &SigningKey) -> [u8; 32] {
    let text = format!("patio file links 1 {}", signing.to_hex());
    Sha256::digest(text).into()
}
