//! An external broker: Mosquitto, plain and with TLS on both sides.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use cloud_ingest::broker::{Endpoint, probe::probe};
use platform::testing::{TestDatabase, on_each_database};
use shared_protocol::Stream;
use telemetry::read;

use crate::{
    http::get,
    machine::{free_address, until},
    service::Place,
};

const WALL_US: i64 = 1_760_000_000_000_000;
const PATIENCE: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(60);

/// Debian puts it where only root looks.
pub(crate) fn mosquitto() -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/usr/local/sbin"]);
    folders
        .map(|folder| Path::new(folder).join("mosquitto"))
        .find(|program| program.exists())
}

pub(crate) struct Mosquitto {
    child: Child,
    plain: SocketAddr,
}

impl Mosquitto {
    pub(crate) async fn start(
        program: &Path,
        folder: &Path,
        plain: SocketAddr,
        more: &str,
    ) -> Self {
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\npersistence false\nmessage_size_limit 1048576\n{more}",
            plain.port()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until("mosquitto", 10, || async {
            probe(plain, Duration::from_secs(1)).await.is_ok()
        })
        .await;
        Self { child, plain }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ingestors share the work; the broker is killed under them and comes back empty.
#[test]
fn ingestors_share_a_broker_that_comes_and_goes() {
    let Some(program) = mosquitto() else {
        eprintln!("skipped: no mosquitto");
        return;
    };
    on_each_database(move |database: TestDatabase| {
        let program = program.clone();
        async move {
            let plain = free_address();
            let place = Place::new(
                &database.url,
                &format!("[mqtt]\nbroker = \"mqtt://{plain}\"\nshared_group = \"ingest\"\n"),
            );
            place.run(&["database", "migrate"]);
            let mut broker = Mosquitto::start(&program, place.folder.path(), plain, "").await;
            let services = [place.serve(), place.serve()];
            let endpoint = Endpoint::local(broker.plain);
            let mut gateway = place.gateway("depot-1");
            gateway.columns();
            gateway.deliver(&endpoint, PATIENCE, WITHIN).await;
            for n in 0..3000 {
                let stream = [Stream::Critical, Stream::Live, Stream::Bulk][n as usize % 3];
                gateway.samples(stream, 10, WALL_US + n * 10_000_000);
            }
            let folder = place.folder.path().to_owned();
            let restart = async {
                for _ in 0..2 {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    broker.kill();
                    let answer = get(&services[0].http, "/health/ready").await;
                    assert!(
                        answer.status == 200 || answer.json()["checks"][1]["ok"] == false,
                        "{}",
                        answer.body
                    );
                    broker = Mosquitto::start(&program, &folder, plain, "").await;
                }
            };
            tokio::join!(
                restart,
                gateway.deliver(&endpoint, Duration::from_secs(1), WITHIN)
            );
            for service in &services {
                service.until_ready().await;
            }
            let db = database.connect().await;
            let client = db.system().await.unwrap();
            let counts = read::counts(&client, None).await.unwrap();
            assert_eq!(
                counts.iter().map(|count| count.samples).sum::<i64>(),
                3000 * 20
            );
            let mut received = Vec::new();
            for service in services {
                let metrics = get(&service.http, "/metrics").await.body;
                let messages = metrics
                    .lines()
                    .filter(|line| line.starts_with("patio_mqtt_messages_total{"));
                let sum: u64 = messages
                    .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
                    .sum();
                received.push(sum);
                service.stop();
            }
            assert!(
                received.iter().all(|count| *count > 50),
                "both work: {received:?}"
            );
        }
    });
}

fn openssl(folder: &Path, args: &str) {
    let done = Command::new("openssl")
        .args(args.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(done.success(), "openssl {args}");
}

/// The broker asks for a certificate and gives rights by its name.
#[test]
fn certificates_on_both_sides() {
    let Some(program) = mosquitto() else {
        eprintln!("skipped: no mosquitto");
        return;
    };
    if Command::new("openssl").arg("version").output().is_err() {
        eprintln!("skipped: no openssl to make certificates with");
        return;
    }
    on_each_database(move |database: TestDatabase| {
        let program = program.clone();
        async move {
            let (plain, secure) = (free_address(), free_address());
            let tls = |names: &str| {
                format!(
                    "[mqtt]\nbroker = \"mqtts://localhost:{}\"\nca = \"ca.pem\"\n{names}",
                    secure.port()
                )
            };
            let place = Place::new(
                &database.url,
                &tls("certificate = \"ingest.pem\"\nkey = \"ingest.key\"\n"),
            );
            let folder = place.folder.path();
            std::fs::write(folder.join("san"), "subjectAltName=DNS:localhost\n").unwrap();
            openssl(
                folder,
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=ca -keyout ca.key -out ca.pem",
            );
            for name in ["localhost", "ingest"] {
                openssl(
                    folder,
                    &format!(
                        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
                    ),
                );
                openssl(
                    folder,
                    &format!(
                        "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san -out {name}.pem"
                    ),
                );
            }
            std::fs::write(folder.join("acl"), "topic readwrite #\nuser ingest\ntopic read patio/1/+/up/+\ntopic write patio/1/+/down/+\n").unwrap();
            let at = |name: &str| folder.join(name).display().to_string();
            let more = format!(
                "user root\nacl_file {}\nper_listener_settings false\nlistener {} 127.0.0.1\ncafile {}\ncertfile {}\nkeyfile {}\n\
                 require_certificate true\nuse_identity_as_username true\n",
                at("acl"),
                secure.port(),
                at("ca.pem"),
                at("localhost.pem"),
                at("localhost.key"),
            );
            let _broker = Mosquitto::start(&program, folder, plain, &more).await;
            let service = place.serve();
            service.until_ready().await;
            let mut gateway = place.gateway("depot-1");
            gateway.columns();
            gateway.samples(Stream::Live, 10, WALL_US);
            gateway
                .deliver(&Endpoint::local(plain), PATIENCE, WITHIN)
                .await;
            service.stop();

            // Without our certificate the broker does not let us in, and it is said.
            place.configure(&tls(""));
            let service = place.serve();
            let answer = get(&service.http, "/health/ready").await;
            assert_eq!(answer.status, 503);
            assert_eq!(answer.json()["checks"][1]["ok"], false, "{}", answer.body);
            service.stop();
        }
    });
}
