//! The keys of the configuration file, as data.

use std::{net::SocketAddr, time::Duration};

use config_file::{HostPort, Key, Kind, Presence, Schema, Syntax};

use crate::limits;

/// The keys of the configuration file.
pub static SCHEMA: Schema = Schema {
    name: "cloud-ingest configuration",
    about: "What `cloud-ingest serve` needs to know.",
    keys: &[
        Key::table(
            "database",
            &DATABASE,
            "The PostgreSQL database that everything is kept in.",
        )
        .presence(Presence::Default("{}")),
        Key::table("http", &HTTP, "The HTTP API, health and metrics.")
            .presence(Presence::Default("{}")),
        Key::table("mqtt", &MQTT, "The MQTT broker that gateways publish to.")
            .presence(Presence::Default("{}")),
        Key::table(
            "ingest",
            &INGEST,
            "How much is held in memory and written at a time.",
        )
        .presence(Presence::Default("{}")),
        Key::table(
            "teltonika",
            &TELTONIKA,
            "The server that Teltonika trackers dial, over TCP and UDP.",
        )
        .presence(Presence::Default("{}")),
        Key::table(
            "json",
            &JSON,
            "Devices that publish JSON to the same broker.",
        )
        .presence(Presence::Default("{}")),
        Key::table(
            "geotab",
            &GEOTAB,
            "The MyGeotab databases that `cloud-ingest geotab add` names.",
        )
        .presence(Presence::Default("{}")),
        Key::table("keys", &KEYS, "Keys of the cloud."),
        Key::table("files", &FILES, "Where photos and documents are kept.")
            .presence(Presence::Default("{}")),
        Key::table("log", &LOG, "The log, on standard error.").presence(Presence::Default("{}")),
    ],
};

static DATABASE: Schema = Schema {
    name: "database",
    about: "The PostgreSQL database that everything is kept in.",
    keys: &[
        Key::optional(
            "url",
            Kind::Text,
            "\"postgres://patio@/patio?host=/run/postgresql\"",
            "Where it is; the environment variable PATIO_DATABASE_URL overrides it.",
        ),
        Key::optional(
            "owner_url",
            Kind::Text,
            "\"postgres://patio_owner@/patio?host=/run/postgresql\"",
            "The login that owns the tables, where it is another one: it migrates, and makes room for the days to come. \
             That of `url` then only has to be a member of patio_app and patio_system. PATIO_DATABASE_OWNER_URL \
             overrides it.",
        ),
        Key::with_default(
            "connections",
            Kind::Integer { min: 4, max: 200 },
            "12",
            "12",
            "Most connections that are opened to it; a third are the API's, so that questions never hold up blocks.",
        ),
        Key::optional(
            "replica_url",
            Kind::Text,
            "\"postgres://patio@/patio?host=/run/postgresql-replica\"",
            "A streaming replica, which answers what only reads samples: series and roll-ups. Where it does not answer or is too far \
             behind, the primary does. Dashboards are pointed at it by the addresses in their own data sources.",
        ),
        Key::with_default(
            "replica_lag",
            Kind::Duration {
                min: Duration::from_secs(1),
                max: Duration::from_hours(1),
            },
            "\"10s\"",
            "\"10s\"",
            "How far behind the replica may be.",
        ),
    ],
};

static HTTP: Schema = Schema {
    name: "http",
    about: "The HTTP API, health and metrics.",
    keys: &[
        Key::with_default(
            "listen",
            LISTEN,
            "\"127.0.0.1:8080\"",
            "\"127.0.0.1:8080\"",
            "Address and port; port 0 takes a free one.",
        ),
        Key::with_default(
            "trusted_network",
            Kind::Bool,
            "false",
            "false",
            "Says that nobody listens on the network between callers and a listen address outside this machine: keys \
             and answers go over it without TLS. Put a proxy that speaks TLS in front of it instead.",
        ),
        Key::optional(
            "public_url",
            Kind::Syntax(Syntax {
                form: "an address such as \"https://patio.example.com\"",
                check: public_url,
            }),
            "\"https://patio.example.com\"",
            "The address by which people's browsers know the service. Signing in at providers needs it, for they send \
             people back there, and keys.vault.",
        ),
        Key::with_default(
            "private_providers",
            Kind::Bool,
            "false",
            "false",
            "Says that providers to sign in at may be at addresses outside the public Internet, and speak HTTP without \
             TLS: for those on a network of your own.",
        ),
        Key::with_default(
            "requests_per_second",
            Kind::Integer {
                min: 1,
                max: 1_000_000,
            },
            "200",
            "200",
            "How often a key or user may ask; twice as many at once.",
        ),
        Key::with_default(
            "strangers_per_minute",
            Kind::Integer {
                min: 1,
                max: 1_000_000,
            },
            "60",
            "60",
            "How often an address may try to sign in, or ask without a good key; all of them at once.",
        ),
    ],
};

static MQTT: Schema = Schema {
    name: "mqtt",
    about: "The MQTT broker that gateways publish to.",
    keys: &[
        Key::with_default(
            "broker",
            Kind::Syntax(Syntax {
                form: "\"embedded\", or a broker such as \"mqtt://host:1883\" or \"mqtts://host:8883\"",
                check: |text| broker(text).map(drop),
            }),
            "\"embedded\"",
            "\"mqtts://broker.example.com:8883\"",
            "A child process of this program, or a broker that is already there.",
        ),
        Key::with_default(
            "listen",
            LISTEN,
            "\"127.0.0.1:1883\"",
            "\"127.0.0.1:1883\"",
            "Where the embedded broker listens; port 0 takes a free one.",
        ),
        Key::with_default(
            "trusted_network",
            Kind::Bool,
            "false",
            "false",
            "Says that everybody who reaches the embedded broker from outside this machine may publish and \
             listen there: it knows no certificates and no rights. Use an external broker otherwise.",
        ),
        Key::with_default(
            "client_bytes",
            Kind::Bytes {
                min: 64 << 10,
                max: 1 << 30,
            },
            "\"4MiB\"",
            "\"4MiB\"",
            "Bytes that a client of the embedded broker may publish each second; twice as many at once. Who sends more is read more \
             slowly, so that it cannot stand between the others. A gateway with 100 vehicles makes some 5 kB a second; with 4 MiB \
             it brings in a week in a quarter of an hour, which keeps two processors busy.",
        ),
        Key::with_default(
            "client_messages",
            Kind::Integer {
                min: 10,
                max: 1_000_000,
            },
            "1000",
            "1000",
            "Messages that such a client may publish each second; twice as many at once. A gateway makes ten at most, and a week of \
             them, 600,000 live blocks, comes in within a quarter of an hour. An external broker needs limits of its own: \
             EMQX calls them bytes_rate and messages_rate; Mosquitto has none.",
        ),
        Key::optional(
            "shared_group",
            Kind::Syntax(Syntax {
                form: "the name of a group: letters, digits, - and _",
                check: group,
            }),
            "\"ingest\"",
            "Name of the shared subscription through which several ingestors share an external broker's work.",
        ),
        Key::optional(
            "ca",
            Kind::Path,
            "\"ca.pem\"",
            "Certificates of those who may sign the broker's; mqtts only, and then required.",
        ),
        Key::optional(
            "certificate",
            Kind::Path,
            "\"ingest.pem\"",
            "Certificate that we show to the broker; mqtts only.",
        ),
        Key::optional(
            "key",
            Kind::Path,
            "\"ingest.key\"",
            "Private key of that certificate.",
        ),
    ],
};

static JSON: Schema = Schema {
    name: "json",
    about: "Devices that publish JSON to the same broker (cloud-ingest/devices/data/json.schema.json says what).",
    keys: &[
        Key::with_default(
            "enabled",
            Kind::Bool,
            "false",
            "true",
            "Whether they are listened to. An external broker has to give each the right to write to patio/json/1/KEY and to \
             read patio/json/1/KEY/stored, and this program the right to the reverse.",
        ),
        Key::optional(
            "signals",
            Kind::Path,
            "\"json.toml\"",
            "What the names mean that they use beside the catalogue's; without it, the list that ships \
             (cloud-ingest/devices/data/json.toml, where the form is explained).",
        ),
    ],
};

static INGEST: Schema = Schema {
    name: "ingest",
    about: "How much is held in memory and written at a time.",
    keys: &[
        Key::with_default(
            "batch",
            Kind::Integer { min: 1, max: 4096 },
            "256",
            "256",
            "Most blocks in a transaction.",
        ),
        Key::with_default(
            "batch_wait",
            Kind::Duration {
                min: Duration::from_millis(1),
                max: Duration::from_secs(1),
            },
            "\"20ms\"",
            "\"20ms\"",
            "How long a block waits for others to share its transaction.",
        ),
        Key::with_default(
            "workers",
            Kind::Integer { min: 1, max: 16 },
            "2",
            "2",
            "Transactions at a time; a gateway's blocks are never in two of them.",
        ),
        Key::with_default(
            "queue",
            Kind::Bytes {
                min: 4 << 20,
                max: 16 << 30,
            },
            "\"64MiB\"",
            "\"64MiB\"",
            "Most bytes of blocks that wait in memory; then no more is read from the broker.",
        ),
        Key::with_default(
            "queue_per_gateway",
            Kind::Bytes {
                min: limits::MAX_PACKET as u64,
                max: 1 << 30,
            },
            "\"8MiB\"",
            "\"8MiB\"",
            "Most bytes of one gateway's blocks that wait in memory; what comes beyond it is put off, and the \
             gateway sends it again.",
        ),
    ],
};

static TELTONIKA: Schema = Schema {
    name: "teltonika",
    about: "The server that Teltonika trackers dial, over TCP and UDP.",
    keys: &[
        Key::optional(
            "listen",
            LISTEN,
            "\"127.0.0.1:5027\"",
            "Address and port, the same for TCP and UDP; without it there is no server. `cloud-ingest device add` registers \
             trackers.",
        ),
        Key::with_default(
            "trusted_network",
            Kind::Bool,
            "false",
            "false",
            "Says that only trackers reach a listen address outside this machine, over a private network of the mobile \
             operator or a tunnel: the protocol knows no secrets, and whoever knows an IMEI can speak as that tracker.",
        ),
        Key::with_default(
            "connections",
            Kind::Integer {
                min: 1,
                max: 100_000,
            },
            "10000",
            "10000",
            "Most TCP connections at a time; whoever comes beyond them is turned away and dials again.",
        ),
        Key::with_default(
            "commands",
            Kind::Choice(&["codec12", "codec14"]),
            "\"codec12\"",
            "\"codec14\"",
            "How commands are sent; codec 14 names the tracker, and one of another IMEI refuses them. Old firmware knows codec \
             12 alone.",
        ),
        Key::optional(
            "elements",
            Kind::Path,
            "\"avl.toml\"",
            "A list of one's own of what AVL elements mean, instead of the one that ships \
             (cloud-ingest/teltonika/data/avl.toml, where the form is explained).",
        ),
    ],
};

static GEOTAB: Schema = Schema {
    name: "geotab",
    about: "The MyGeotab databases that `cloud-ingest geotab add` names.",
    keys: &[Key::with_default(
        "every",
        Kind::Duration {
            min: Duration::from_secs(1),
            max: Duration::from_hours(1),
        },
        "\"10s\"",
        "\"10s\"",
        "How often each feed is asked when it had nothing more to give; one that has is asked again after a second, which is as \
         often as MyGeotab permits.",
    )],
};

static KEYS: Schema = Schema {
    name: "keys",
    about: "Keys of the cloud.",
    keys: &[
        Key::required(
            "signing",
            Kind::Path,
            "\"cloud.key\"",
            "File with the secret key that signs acknowledgements; `cloud-ingest keygen` makes one.",
        ),
        Key::optional(
            "vault",
            Kind::Path,
            "\"vault.keys\"",
            "File with the keys that seal secrets, one a line; `cloud-ingest vault new-key` prints one. Without it webhooks are \
         not delivered.",
        ),
    ],
};

static FILES: Schema = Schema {
    name: "files",
    about: "Where photos and documents are kept: in a folder, or in a bucket of S3-compatible storage. Without either none \
        are taken.",
    keys: &[
        Key::optional(
            "folder",
            Kind::Path,
            "\"files\"",
            "A folder of this machine; it is made when it is missing.",
        ),
        Key::optional(
            "endpoint",
            Kind::Text,
            "\"https://s3.us-east-1.amazonaws.com\"",
            "The service of a bucket; http only on this machine.",
        ),
        Key::optional("bucket", Kind::Text, "\"patio\"", "The bucket."),
        Key::with_default(
            "region",
            Kind::Text,
            "\"us-east-1\"",
            "\"us-east-1\"",
            "Its region; us-east-1 or auto where there are none.",
        ),
        Key::optional(
            "key_id",
            Kind::Text,
            "\"AKIA…\"",
            "The id of the access key.",
        ),
        Key::optional("key", Kind::Path, "\"s3.key\"", "File with the access key."),
        Key::with_default(
            "path_style",
            Kind::Bool,
            "true",
            "true",
            "Whether the bucket is a part of the path (MinIO, Ceph) and not of the host's name (Amazon).",
        ),
        Key::optional(
            "clamd",
            Kind::Text,
            "\"/run/clamav/clamd.ctl\"",
            "Where ClamAV's clamd listens: a Unix socket, or address and port. What it does not call clean is refused; \
             without it files are kept unscanned, and say so.",
        ),
    ],
};

static LOG: Schema = Schema {
    name: "log",
    about: "The log, on standard error.",
    keys: &[
        Key::with_default(
            "level",
            Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
            "\"info\"",
            "\"info\"",
            "Least serious thing that is written.",
        ),
        Key::with_default(
            "format",
            Kind::Choice(&["text", "json"]),
            "\"text\"",
            "\"json\"",
            "For people or for programs.",
        ),
    ],
};

const LISTEN: Kind = Kind::Syntax(Syntax {
    form: "an IP address and a port such as \"127.0.0.1:8080\"",
    check: |text| {
        text.parse::<SocketAddr>()
            .map(drop)
            .map_err(|_| "IPv6 addresses stand in brackets, and names are not looked up".to_owned())
    },
});

fn public_url(text: &str) -> Result<(), String> {
    let url = url::Url::parse(text).map_err(|error| error.to_string())?;
    let plain = matches!(url.scheme(), "https" | "http") && url.has_host() && url.path() == "/";
    if plain && url.query().is_none() && url.fragment().is_none() && url.username().is_empty() {
        Ok(())
    } else {
        Err("it begins with https:// and has nothing after the host and its port".to_owned())
    }
}

fn group(text: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if text.len() <= 64 && text.bytes().all(plain) && !text.is_empty() {
        Ok(())
    } else {
        Err("at most 64 of them, and nothing else".to_owned())
    }
}

/// Address of an external broker, and whether it speaks TLS; `None` for the embedded one.
pub(super) fn broker(text: &str) -> Result<Option<(HostPort, bool)>, String> {
    if text == "embedded" {
        return Ok(None);
    }
    let (rest, tls) = if let Some(rest) = text.strip_prefix("mqtts://") {
        (rest, true)
    } else if let Some(rest) = text.strip_prefix("mqtt://") {
        (rest, false)
    } else {
        return Err("it begins with neither mqtt:// nor mqtts://".to_owned());
    };
    let port = if tls { 8883 } else { 1883 };
    let address = HostPort::parse(rest.strip_suffix('/').unwrap_or(rest), Some(port))?;
    Ok(Some((address, tls)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_sound() {
        assert_eq!(SCHEMA.flaws(), Vec::<String>::new());
    }

    #[test]
    fn brokers() {
        assert_eq!(broker("embedded"), Ok(None));
        let address =
            |text: &str| broker(text).map(|found| found.map(|(a, tls)| (a.to_string(), tls)));
        for (text, expected, tls) in [
            ("mqtt://b", "b:1883", false),
            ("mqtt://b:2883/", "b:2883", false),
            ("mqtts://[::1]", "[::1]:8883", true),
        ] {
            assert_eq!(
                address(text),
                Ok(Some((expected.to_owned(), tls))),
                "{text}"
            );
        }
        for text in [
            "",
            "Embedded",
            "tcp://b",
            "mqtt://",
            "mqtt://b:0",
            "mqtt://u:p@b",
        ] {
            assert!(broker(text).is_err(), "{text}");
        }
    }
}
