//! A fresh database per test, on every flavour that `PATIO_TEST_DATABASE_URLS` names
//! (`timescale=postgres://… plain=postgres://…`). Without it a test prints `skipped: …` and returns.

use std::{
    panic::resume_unwind,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio_postgres::NoTls;

use crate::{db::Db, server::Flavour};

const VARIABLE: &str = "PATIO_TEST_DATABASE_URLS";

/// An empty database of its own.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    /// Its URL.
    pub url: String,
    /// The word before the URL: `timescale`, `community` or `plain`.
    pub label: String,
}

impl TestDatabase {
    /// A pool on it.
    pub async fn connect(&self) -> Db {
        Db::connect(&self.url, 16)
            .await
            .unwrap_or_else(|e| panic!("{}: {e}", self.label))
    }

    /// The flavour that the label promises.
    pub fn flavour(&self) -> Flavour {
        match self.label.as_str() {
            "community" => Flavour::Community,
            "timescale" => Flavour::Apache,
            "plain" => Flavour::Plain,
            other => panic!("{VARIABLE}: what is `{other}`?"),
        }
    }
}

/// Runs a test once on each flavour, each time on a database that is created before and dropped after it, whatever
/// becomes of the test.
pub fn on_each_database<F: Future<Output = ()> + Send + 'static>(test: impl Fn(TestDatabase) -> F) {
    let Ok(servers) = std::env::var(VARIABLE) else {
        eprintln!("skipped: no {VARIABLE}");
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    for server in servers.split_whitespace() {
        let (label, admin) = server
            .split_once('=')
            .unwrap_or_else(|| panic!("{VARIABLE}: `{server}` is not flavour=URL"));
        let name = fresh_name();
        let database = TestDatabase {
            url: with_database(admin, &name),
            label: label.to_owned(),
        };
        // template0 has no guests, so that tests can make databases at the same time.
        runtime.block_on(command(
            admin,
            &format!("CREATE DATABASE {name} TEMPLATE template0"),
        ));
        let outcome = runtime.block_on(async { tokio::spawn(test(database)).await });
        runtime.block_on(command(
            admin,
            &format!("DROP DATABASE {name} WITH (FORCE)"),
        ));
        match outcome {
            Ok(()) => {}
            Err(failed) if failed.is_panic() => {
                eprintln!("on {label}");
                resume_unwind(failed.into_panic());
            }
            Err(failed) => panic!("on {label}: {failed}"),
        }
    }
}

/// How long a fault test may go on trying seeds: `PATIO_TEST_SECONDS`, 10 when it is not set, shared fairly by the
/// flavours.
pub fn budget() -> Duration {
    let seconds = std::env::var("PATIO_TEST_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10.0);
    let flavours = std::env::var(VARIABLE).map_or(1, |servers| servers.split_whitespace().count());
    Duration::from_secs_f64(seconds / flavours.max(1) as f64)
}

/// Fails unless every table, view and column of a schema has a comment.
pub async fn assert_commented(db: &Db, schema: &str) {
    let client = db.owner().await.expect("the test database answers");
    let rows = client
        .query(include_str!("../queries/uncommented.sql"), &[&schema])
        .await
        .expect("the catalogue can be read");
    let bare: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(bare.is_empty(), "without a comment: {bare:?}");
    let seen: i64 = client
        .query_one(
            "SELECT count(*) FROM pg_class WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'p', 'v')",
            &[&schema],
        )
        .await
        .expect("the catalogue can be read")
        .get(0);
    assert!(seen > 0, "schema {schema} is empty");
}

/// Prepares every `.sql` file of a folder, and returns how many there were.
pub async fn prepare_all(db: &Db, folder: &Path) -> usize {
    let client = db.owner().await.expect("the test database answers");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of queries is there") {
        let path = entry.expect("a folder can be read").path();
        let text = std::fs::read_to_string(&path).expect("a query can be read");
        if let Err(error) = client.prepare(&text).await {
            panic!("{}: {}", path.display(), crate::failure::in_words(&error));
        }
        count += 1;
    }
    count
}

fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("patio_test_{now}_{}_{next}", std::process::id())
}

/// The URL with another database's name.
fn with_database(url: &str, name: &str) -> String {
    let (place, parameters) = url.split_once('?').map_or((url, ""), |(a, b)| (a, b));
    let authority = place.find("://").map_or(0, |at| at + 3);
    let end = place[authority..]
        .find('/')
        .map_or(place.len(), |at| authority + at);
    let mark = if parameters.is_empty() { "" } else { "?" };
    format!("{}/{name}{mark}{parameters}", &place[..end])
}

async fn command(url: &str, sql: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .unwrap_or_else(|e| panic!("{VARIABLE}: {e:?}"));
    let connection = tokio::spawn(connection);
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {}", crate::failure::in_words(&e)));
    drop(client);
    let _ = connection.await;
}
