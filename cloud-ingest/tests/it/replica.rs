//! A streaming replica answers what only reads, dashboards read there, and when it stands still or is gone the primary answers.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;
use tokio_postgres::{Client, NoTls};

use crate::{
    machine::until,
    service::{EMBEDDED, Place, Service},
};

const SIGNAL: &str = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current";

/// The programs of a PostgreSQL server of this machine.
fn server_programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pg_basebackup").exists())
        .collect();
    found.sort();
    let bin = found.pop();
    if bin.is_none() {
        eprintln!("skipped: no PostgreSQL server in /usr/lib/postgresql");
    }
    bin
}

/// A server on a socket in a folder of its own; ends with the test.
struct Server {
    bin: PathBuf,
    folder: PathBuf,
}

/// The server refuses to run as root; then it is another user's.
fn as_somebody(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(program);
    command
}

fn must(command: &mut Command) {
    // A server that goes on holds the ends of pipes.
    let status = tokio::task::block_in_place(|| {
        command
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
    });
    let status = status.unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}: {status}");
}

impl Server {
    fn at(bin: &Path, folder: PathBuf) -> Self {
        Self {
            bin: bin.to_owned(),
            folder,
        }
    }

    fn start(&self) {
        let options = format!(
            "-c listen_addresses= -k {} -c fsync=off -c max_wal_senders=4 -c shared_buffers=32MB",
            self.folder.display()
        );
        must(
            as_somebody(&self.bin.join("pg_ctl"))
                .arg("start")
                .args(["-w", "-t", "60", "-o", &options, "-l"])
                .arg(self.folder.join("log"))
                .arg("-D")
                .arg(self.folder.join("data")),
        );
    }

    fn url(&self, user: &str) -> String {
        let host = self.folder.display().to_string().replace('/', "%2F");
        format!("postgres://{user}@{host}/postgres")
    }

    async fn connect(&self, user: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url(user), NoTls)
            .await
            .unwrap();
        tokio::spawn(connection);
        client
    }

    fn stop(&self) {
        // It may have ended already.
        let _ = as_somebody(&self.bin.join("pg_ctl"))
            .args(["stop", "-m", "immediate", "-D"])
            .arg(self.folder.join("data"))
            .output();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}",
                std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
        }
        self.stop();
    }
}

fn own_folder(below: &Path, name: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = below.join(name);
    std::fs::create_dir(&folder).unwrap();
    // Whoever the server is.
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A primary and its replica.
fn two_servers(bin: &Path, below: &Path) -> (Server, Server) {
    let primary = Server::at(bin, own_folder(below, "p"));
    must(
        as_somebody(&bin.join("initdb"))
            .args([
                "-A",
                "trust",
                "-U",
                "patio",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
                "-D",
            ])
            .arg(primary.folder.join("data")),
    );
    primary.start();
    let replica = Server::at(bin, own_folder(below, "r"));
    must(
        as_somebody(&bin.join("pg_basebackup"))
            .args(["-R", "-X", "stream", "--no-sync", "-U", "patio", "-h"])
            .arg(&primary.folder)
            .arg("-D")
            .arg(replica.folder.join("data")),
    );
    replica.start();
    (primary, replica)
}

async fn add_sample(owner: &Client, asset: i64, minute: u32) {
    let sql = format!(
        "INSERT INTO telemetry.sample (time, asset_id, source, state_of_charge) VALUES ('2026-03-02 12:{minute:02}Z', {asset}, 1, 500)"
    );
    owner.batch_execute(&sql).await.unwrap();
}

/// How many values the series has, and how many answers the replica gave.
async fn ask(service: &Service, asset: i64) -> (usize, u64) {
    let path = format!(
        "/v1/assets/{asset}/series?signal={SIGNAL}&from=2026-03-02T00:00:00Z&to=2026-03-03T00:00:00Z"
    );
    let page = service.get(&path).await;
    assert_eq!(page.status, 200, "{}", page.body);
    let values = page.body.matches("\"time\"").count();
    let metrics = service.get("/metrics").await.body;
    let answered = metrics
        .lines()
        .find_map(|line| line.strip_prefix("patio_replica_answers_total "))
        .map_or(0, |count| count.parse().unwrap());
    (values, answered)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_what_only_reads_and_nothing_depends_on_it() {
    let Some(bin) = server_programs() else {
        return;
    };
    let below = tempfile::tempdir().unwrap();
    std::fs::set_permissions(
        below.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let (primary, replica) = two_servers(&bin, below.path());
    let place = Place::new(&primary.url("patio"), EMBEDDED);
    let text = std::fs::read_to_string(place.config()).unwrap();
    let with = format!(
        "[database]\nreplica_url = \"{}\"\nreplica_lag = \"3s\"\n",
        replica.url("patio")
    );
    std::fs::write(place.config(), text.replace("[database]\n", &with)).unwrap();
    let service = place.serve();
    let body = json!({"name": "Van", "kind": "vehicle"}).to_string();
    let asset = service.post("/v1/assets", "", &body).await.json()["id"]
        .as_i64()
        .unwrap();
    let owner = primary.connect("patio").await;
    add_sample(&owner, asset, 0).await;
    until("the replica answers", 30, || async {
        let (values, answered) = ask(&service, asset).await;
        values == 1 && answered > 0
    })
    .await;

    // A dashboard that is pointed at it sees its own organisation there, and writes nothing.
    place.run(&["organization", "add", "other"]);
    for (organization, seen) in [("default", 1), ("other", 0)] {
        let name = format!("panel_{organization}");
        place.run(&["reader", "add", &name, "--organization", organization]);
        let there = replica.connect("patio").await;
        until("the login is there", 30, || async {
            let sql = "SELECT count(*) FROM platform.reader WHERE role_name = $1";
            there
                .query_one(sql, &[&name])
                .await
                .unwrap()
                .get::<_, i64>(0)
                == 1
        })
        .await;
        let panel = replica.connect(&name).await;
        let row = panel
            .query_one("SELECT count(*) FROM telemetry.own_reading", &[])
            .await;
        assert_eq!(row.unwrap().get::<_, i64>(0), seen, "{organization}");
        panel
            .batch_execute("INSERT INTO platform.reader VALUES (current_user, 1)")
            .await
            .expect_err("a panel writes");
    }

    // One that stands still gives old answers for as long as it may be behind, and none after that.
    let there = replica.connect("patio").await;
    there
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .unwrap();
    until("it has paused", 30, || async {
        let row = there
            .query_one("SELECT pg_get_wal_replay_pause_state()", &[])
            .await;
        row.unwrap().get::<_, &str>(0) == "paused"
    })
    .await;
    add_sample(&owner, asset, 1).await;
    until("the primary answers", 30, || async {
        ask(&service, asset).await.0 == 2
    })
    .await;
    there
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .unwrap();
    let before = ask(&service, asset).await.1;
    until("the replica answers again, with all of it", 30, || async {
        let (values, answered) = ask(&service, asset).await;
        values == 2 && answered > before
    })
    .await;
    // One that is gone costs nobody an answer.
    drop(there);
    replica.stop();
    add_sample(&owner, asset, 2).await;
    until("the primary answers", 30, || async {
        ask(&service, asset).await.0 == 3
    })
    .await;
    // Nor does a service start any later for it.
    service.stop();
    let service = place.serve();
    assert_eq!(ask(&service, asset).await, (3, 0));
    let log = service.stop();
    assert!(log.contains("the replica does not answer"), "{log}");
}
