//! The whole way on a real database: blocks in, rows and answers out, whatever is killed on the way.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use platform::{
    Db,
    testing::{TestDatabase, on_each_database},
};
use shared_protocol::{Stream, Verdict, topic};
use telemetry::read;
use tokio::{io::copy_bidirectional, net::TcpStream, task::JoinSet};

use crate::{
    gateway::publish_raw,
    http::get,
    machine::{broker_pid, program, run, signal, stderr, until},
    service::{EMBEDDED, Place, Service},
};

const PATIENCE: Duration = Duration::from_secs(2);
const WITHIN: Duration = Duration::from_secs(90);
/// 2025-10-09T08:53:20Z.
const WALL_US: i64 = 1_760_000_000_000_000;

/// Samples that are stored, in all.
async fn stored(db: &Db) -> i64 {
    let client = db.system().await.unwrap();
    let counts = read::counts(&client, None).await.unwrap();
    counts.iter().map(|count| count.samples).sum()
}

fn listens(service: &Service) -> SocketAddr {
    service.broker.address.to_string().parse().unwrap()
}

#[test]
fn blocks_become_rows_and_signed_answers() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place.gateway("depot-1");
        let hello = gateway.hello(&service.broker).await;
        assert!(hello.answers.is_empty());
        gateway.columns();
        gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
        for (n, stream) in [Stream::Critical, Stream::Live, Stream::Bulk]
            .into_iter()
            .enumerate()
        {
            for m in 0..10 {
                let second = (n as i64 * 10 + m) * 60;
                gateway.samples(stream, 60, WALL_US + second * 1_000_000);
            }
        }
        gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
        assert!(
            gateway
                .verdicts
                .iter()
                .all(|(_, _, verdict)| *verdict == Verdict::Stored)
        );
        let db = database.connect().await;
        assert_eq!(stored(&db).await, 30 * 120);
        let hello = gateway.hello(&service.broker).await;
        let done: u64 = hello
            .answers
            .iter()
            .flat_map(|a| &a.done)
            .map(|(a, b)| b - a + 1)
            .sum();
        assert_eq!(done, 31);
        let log = service.stop();
        assert!(log.contains("the database is ready"), "{log}");
    });
}

/// The embedded broker is killed again and again: every block is stored, and none twice.
#[test]
fn exactly_once_whatever_becomes_of_the_broker() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place.gateway("depot-1");
        gateway.columns();
        gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
        for n in 0..3000 {
            let stream = [Stream::Critical, Stream::Live, Stream::Bulk][n as usize % 3];
            gateway.samples(stream, 10, WALL_US + n * 10_000_000);
        }
        let killer = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(250)).await;
                if let Some(pid) = broker_pid(listens(&service)) {
                    signal(pid, "KILL");
                }
            }
        };
        tokio::join!(
            killer,
            gateway.deliver(&service.broker, Duration::from_secs(1), WITHIN)
        );
        let db = database.connect().await;
        assert_eq!(stored(&db).await, 3000 * 20);
        service.until_ready().await;
        let metrics = get(&service.http, "/metrics").await.body;
        let restarts = metrics
            .lines()
            .find_map(|line| line.strip_prefix("patio_broker_restarts_total "));
        assert!(
            restarts.unwrap().parse::<u32>().unwrap() >= 2,
            "{restarts:?}"
        );
        service.stop();
    });
}

/// Killed in the middle of traffic it leaves no broker behind, and the next one goes on.
#[test]
fn exactly_once_whatever_becomes_of_the_service() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let mut gateway = place_gateway(&place);
        for n in 0..2000 {
            gateway.samples(Stream::Live, 10, WALL_US + n * 10_000_000);
        }
        for signal_name in ["KILL", "TERM", "KILL"] {
            let mut service = place.serve();
            let broker = service.broker.clone();
            let some = gateway.deliver_some(&broker, Duration::from_millis(300));
            let stop = async {
                tokio::time::sleep(Duration::from_millis(120)).await;
                signal(service.pid(), signal_name);
            };
            tokio::join!(some, stop);
            let status = service.wait(Duration::from_secs(20));
            assert_eq!(status.success(), signal_name == "TERM", "{}", service.log());
            until("no broker is left", 5, || async {
                broker_pid(listens(&service)).is_none()
            })
            .await;
            let db = database.connect().await;
            assert!(
                stored(&db).await >= 20 * gateway.acknowledged() as i64,
                "what was acknowledged is there"
            );
        }
        assert!(gateway.pending() > 0, "it was killed in the middle");
        let service = place.serve();
        gateway
            .deliver(&service.broker, Duration::from_secs(1), WITHIN)
            .await;
        let db = database.connect().await;
        assert_eq!(stored(&db).await, 2000 * 20);
        service.stop();
    });
}

/// The first start makes the tables that the register needs.
fn place_gateway(place: &Place) -> crate::gateway::Gateway {
    place.run(&["database", "migrate"]);
    let mut gateway = place.gateway("depot-1");
    gateway.columns();
    gateway
}

/// What cannot be used is kept where people find it, and delays nothing.
#[test]
fn poison_between_good_blocks() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place_gateway(&place);
        let mut stranger = crate::gateway::Gateway::new("depot-1", place.cloud);
        stranger.samples(Stream::Live, 5, WALL_US);
        let forged = stranger.last_pending();
        gateway.samples(Stream::Live, 5, WALL_US);
        let mut cut = gateway.last_pending();
        cut.truncate(cut.len() - 10);
        let live = topic::up(&gateway.id, shared_protocol::Class::Live);
        let junk = [b"{}".to_vec(), cut, forged, vec![9; 600 * 1024], Vec::new()];
        let junk: Vec<_> = junk
            .into_iter()
            .map(|payload| (live.clone(), payload))
            .collect();
        publish_raw(&service.broker, &junk).await;
        gateway
            .deliver(&service.broker, PATIENCE, Duration::from_secs(15))
            .await;
        let db = database.connect().await;
        assert_eq!(stored(&db).await, 10);
        let client = db.system().await.unwrap();
        let kept = || read::quarantine(&client, None, 100);
        until("it is kept", 10, || async {
            kept().await.unwrap().len() == junk.len()
        })
        .await;
        let kept = kept().await.unwrap();
        let list = place.run(&["quarantine", "list"]);
        let mut reasons: Vec<&str> = kept.iter().map(|message| message.reason.as_str()).collect();
        reasons.sort_unstable();
        for reason in &reasons {
            assert!(list.contains(reason), "{list}");
        }
        assert!(
            reasons.contains(&"wrong_signature") && reasons.contains(&"foreign"),
            "{reasons:?}"
        );
        let shown = place.run(&["quarantine", "show", &kept[0].id.to_string()]);
        assert!(
            shown.contains(&kept[0].topic) && shown.contains(&kept[0].detail),
            "{shown}"
        );
        service.stop();
    });
}

/// A wire to a database that can be cut.
pub(crate) struct Wire {
    pub(crate) listen: SocketAddr,
    cut: Arc<Mutex<bool>>,
    connections: Arc<Mutex<JoinSet<()>>>,
}

impl Wire {
    pub(crate) async fn to(target: SocketAddr) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let wire = Self {
            listen: listener.local_addr().unwrap(),
            cut: Arc::default(),
            connections: Arc::default(),
        };
        let (cut, connections) = (Arc::clone(&wire.cut), Arc::clone(&wire.connections));
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if *cut.lock().unwrap() {
                    continue;
                }
                connections.lock().unwrap().spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        wire
    }

    pub(crate) fn cut(&self, cut: bool) {
        *self.cut.lock().unwrap() = cut;
        if cut {
            self.connections.lock().unwrap().abort_all();
        }
    }
}

/// While the database is away nothing is lost, and `/health/ready` says what is missing.
#[test]
fn a_database_that_goes_and_comes_back() {
    on_each_database(async |database: TestDatabase| {
        let (before, rest) = database.url.split_once('@').unwrap();
        let Some(target) = rest.split('/').next().and_then(|host| host.parse().ok()) else {
            eprintln!(
                "skipped: {} is reached by no TCP address that could be cut",
                database.label
            );
            return;
        };
        let wire = Wire::to(target).await;
        let through = format!(
            "{before}@{}{}",
            wire.listen,
            rest.trim_start_matches(|c| c != '/')
        );
        let place = Place::new(&through, EMBEDDED);
        let service = place.serve();
        let mut gateway = place_gateway(&place);
        gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
        for n in 0..200 {
            gateway.samples(Stream::Live, 10, WALL_US + n * 10_000_000);
        }
        let breaker = async {
            for _ in 0..2 {
                tokio::time::sleep(Duration::from_millis(200)).await;
                wire.cut(true);
                tokio::time::sleep(Duration::from_secs(2)).await;
                let answer = get(&service.http, "/health/ready").await;
                assert_eq!(answer.status, 503);
                let checks = &answer.json()["checks"];
                assert_eq!(checks[0]["name"], "database");
                assert_eq!(checks[0]["ok"], false);
                assert!(checks[0]["reason"].as_str().unwrap().len() > 10, "{checks}");
                assert_eq!(checks[1]["ok"], true, "{checks}");
                let assets = service.get("/v1/assets").await;
                assert_eq!(
                    (assets.status, assets.json()["code"].as_str()),
                    (503, Some("database_unavailable"))
                );
                assert_eq!(get(&service.http, "/health/live").await.status, 204);
                wire.cut(false);
            }
        };
        tokio::join!(breaker, gateway.deliver(&service.broker, PATIENCE, WITHIN));
        let db = database.connect().await;
        assert_eq!(stored(&db).await, 200 * 20);
        service.until_ready().await;
        service.stop();
    });
}

/// Nothing is started when something is wrong, and one message says what.
#[test]
fn what_stands_in_the_way_is_said() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let refused = |place: &Place, args: &[&str]| {
            let output = program()
                .args(["serve", "--config"])
                .arg(place.config())
                .args(args)
                .output()
                .unwrap();
            assert!(output.stdout.is_empty());
            let said = stderr(&output);
            // Warnings on the way are lines of the log; the reason stands last.
            let reason = said
                .trim_end()
                .lines()
                .last()
                .unwrap_or_default()
                .to_owned();
            (output.status.code().unwrap(), reason)
        };
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap();
        place.configure(&format!("[mqtt]\nlisten = \"{taken}\"\n"));
        let reason = "another program listens there: stop it, or choose another port";
        assert_eq!(
            refused(&place, &[]),
            (
                2,
                format!("[mqtt] listen: cannot listen on {taken}: {reason}")
            )
        );
        let text = std::fs::read_to_string(place.config()).unwrap();
        std::fs::write(
            place.config(),
            text.replacen("127.0.0.1:0", &taken.to_string(), 1),
        )
        .unwrap();
        assert_eq!(
            refused(&place, &[]),
            (
                2,
                format!("[http] listen: cannot listen on {taken}: {reason}")
            )
        );

        let (server, _name) = database.url.rsplit_once('/').unwrap();
        let nowhere = Place::new(&format!("{server}/no_such_database"), EMBEDDED);
        let (status, said) = refused(&nowhere, &[]);
        assert!(
            status == 2 && said.contains("no such database") && said.contains("createdb"),
            "{said}"
        );

        let db = database.connect().await;
        let client = db.owner().await.unwrap();
        let role = format!("guest_{}", std::process::id());
        client
            .batch_execute(&format!(
                "DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN PASSWORD 'guest'"
            ))
            .await
            .unwrap();
        let (_, rest) = database.url.split_once('@').unwrap();
        let guest = Place::new(&format!("postgres://{role}:guest@{rest}"), EMBEDDED);
        let (status, said) = refused(&guest, &[]);
        client
            .batch_execute(&format!("DROP ROLE {role}"))
            .await
            .unwrap();
        assert!(
            status == 2 && said.contains("[42501]") && said.contains("CREATE ROLE"),
            "{status} {said}"
        );

        let away = Place::new("postgres://u@127.0.0.1:1/d", EMBEDDED);
        let (status, said) = refused(&away, &["--database-wait", "1"]);
        assert!(status == 1 && said.contains("cannot be reached"), "{said}");
    });
}

#[test]
fn what_the_database_lacks_is_said_and_migrated() {
    on_each_database(async |database: TestDatabase| {
        let check = || run(&["database", "check", "--database", &database.url]);
        let before = check();
        let said = String::from_utf8(before.stdout).unwrap();
        assert_eq!(before.status.code(), Some(1), "{said}");
        assert!(
            said.starts_with("PostgreSQL ") && said.contains("missing: platform V1"),
            "{said}"
        );
        let place = Place::new(&database.url, EMBEDDED);
        for _ in 0..2 {
            assert!(
                place
                    .run(&["database", "migrate"])
                    .ends_with("up to date\n")
            );
        }
        let after = check();
        let said = String::from_utf8(after.stdout).unwrap();
        assert!(
            after.status.success() && said.ends_with("nothing is missing\n"),
            "{said}"
        );
    });
}

/// Two deliveries of the same content are one block; the answer is the same.
#[test]
fn a_block_that_comes_twice_counts_once() {
    on_each_database(async |database: TestDatabase| {
        let place = Place::new(&database.url, EMBEDDED);
        let service = place.serve();
        let mut gateway = place_gateway(&place);
        gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
        gateway.samples(Stream::Live, 50, WALL_US);
        let bytes = gateway.last_pending();
        let live = topic::up(&gateway.id, shared_protocol::Class::Live);
        publish_raw(&service.broker, &vec![(live, bytes); 20]).await;
        gateway.deliver(&service.broker, PATIENCE, WITHIN).await;
        let db = database.connect().await;
        assert_eq!(stored(&db).await, 100);
        service.stop();
    });
}
