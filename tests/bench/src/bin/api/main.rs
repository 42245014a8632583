//! `scripts/bench api`: requests a second and their times, of `cloud-ingest serve` as a process of its own: a page of
//! assets, read with an API key, and an asset made with an `Idempotency-Key`.
//!
//! The baseline of the same run is a bare axum server, a process of its own, too: the same SQL in the same kind of
//! transaction on the same number of connections, without the frame (keys, limits, checks of parameters, problems,
//! request ids). Both are asked in turns, round by round, so that what else the machine does hits both.

mod bare;
mod load;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, bail, ensure};
use bench::{Figures, percentile};
use platform::testing::{TestDatabase, on_each_database};

/// Assets of the organisation; a page has 100 of them.
const ASSETS: usize = 500;
/// Connections of the API to the database: a third of the service's.
const POOL: usize = 8;
const ROUNDS: usize = 5;

/// A server that ends with this.
struct Server {
    child: Child,
    place: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program that says `… http=http://place …` when it is ready.
fn start(command: &mut Command) -> Result<Server> {
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("standard output is piped")?;
    let mut ready = String::new();
    BufReader::new(out).read_line(&mut ready)?;
    let Some(rest) = ready.split("http=http://").nth(1) else {
        let _ = child.kill();
        bail!("the server says `{}`", ready.trim());
    };
    let place = rest.split_whitespace().next().unwrap_or_default();
    Ok(Server {
        place: place.to_owned(),
        child,
    })
}

fn program() -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name("cloud-ingest");
    let hint = "is not built: cargo build --release -p cloud-ingest";
    ensure!(path.is_file(), "{} {hint}", path.display());
    Ok(path)
}

fn service(database: &str, folder: &Path) -> Result<Server> {
    let made = Command::new(program()?)
        .args(["keygen", "--out"])
        .arg(folder.join("cloud.key"))
        .output()?;
    ensure!(made.status.success(), "no key for the service");
    let text = format!(
        "[database]\nurl = \"{database}\"\nconnections = {}\n[http]\nlisten = \"127.0.0.1:0\"\n\
         requests_per_second = 1000000\n[mqtt]\nlisten = \"127.0.0.1:0\"\n[keys]\nsigning = \"cloud.key\"\n\
         [log]\nlevel = \"warn\"\n",
        3 * POOL
    );
    let config = folder.join("cloud.toml");
    std::fs::write(&config, text)?;
    start(
        Command::new(program()?)
            .args(["serve", "--config"])
            .arg(config),
    )
}

/// A key of a new organisation, `default`.
fn key(database: &str) -> Result<String> {
    said(database, &["organization", "add", "default"])?;
    let key = "key add --name bench --organization default --permission telemetry.read --permission assets.write";
    let args: Vec<&str> = key.split(' ').collect();
    Ok(said(database, &args)?.trim().to_owned())
}

/// What a command of the service's program says.
fn said(database: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program()?)
        .args(args)
        .args(["--database", database])
        .output()?;
    ensure!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Times in milliseconds and requests a second, over all rounds.
#[derive(Default)]
struct Measured {
    times: Vec<f64>,
    seconds: f64,
}

impl Measured {
    fn add(&mut self, (times, seconds): (Vec<f64>, f64)) {
        self.times.extend(times);
        self.seconds += seconds;
    }

    fn per_second(&self) -> f64 {
        self.times.len() as f64 / self.seconds
    }
}

async fn measure(database: &TestDatabase) -> Result<Figures> {
    let folder = tempfile::tempdir()?;
    let service = service(&database.url, folder.path())?;
    let key = key(&database.url)?;
    let bare = start(Command::new(std::env::current_exe()?).args(["--bare", &database.url]))?;
    let client = database.connect().await;
    let fill = "INSERT INTO platform.asset (organization_id, kind, name) \
                SELECT o.id, 'vehicle', 'Van ' || n FROM platform.organization AS o, generate_series(1, $1::bigint) AS n \
                WHERE o.name = 'default'";
    client
        .system()
        .await?
        .execute(fill, &[&(ASSETS as i64)])
        .await?;
    client.owner().await?.batch_execute("ANALYZE").await?;

    let (mut read, mut read_bare) = (Measured::default(), Measured::default());
    let (mut write, mut write_bare) = (Measured::default(), Measured::default());
    for round in 0..=ROUNDS {
        let page = load::run(&service.place, &key, load::What::Page).await?;
        let page_bare = load::run(&bare.place, &key, load::What::Page).await?;
        let made = load::run(&service.place, &key, load::What::Asset).await?;
        let made_bare = load::run(&bare.place, &key, load::What::Asset).await?;
        // The first warms up.
        if round > 0 {
            read.add(page);
            read_bare.add(page_bare);
            write.add(made);
            write_bare.add(made_bare);
        }
    }
    let mut figures = Figures::default();
    let p = |measured: &mut Measured, part| percentile(&mut measured.times, part);
    figures.add(
        "p50_ms",
        p(&mut read, 0.5),
        "a page of 100 assets, with an API key",
    );
    figures.add("p99_ms", p(&mut read, 0.99), "");
    figures.add(
        "requests_per_s",
        read.per_second(),
        "by as many connections as are kept busy",
    );
    figures.add(
        "bare_p50_ms",
        p(&mut read_bare, 0.5),
        "the same SQL in a bare axum handler",
    );
    figures.add("bare_p99_ms", p(&mut read_bare, 0.99), "");
    figures.add("bare_requests_per_s", read_bare.per_second(), "");
    figures.add(
        "ratio_to_bare",
        read.per_second() / read_bare.per_second(),
        "requests a second",
    );
    figures.add(
        "write_p50_ms",
        p(&mut write, 0.5),
        "an asset with an Idempotency-Key, committed",
    );
    figures.add("write_p99_ms", p(&mut write, 0.99), "");
    figures.add("write_requests_per_s", write.per_second(), "");
    figures.add(
        "bare_write_requests_per_s",
        write_bare.per_second(),
        "the same SQL, bare",
    );
    figures.add(
        "write_ratio_to_bare",
        write.per_second() / write_bare.per_second(),
        "",
    );
    figures.add_text("flavour", &database.label, "the database");
    Ok(figures)
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some("--bare") {
        return bare::serve(&arguments.next().context("--bare DATABASE")?, POOL);
    }
    let outcome: Arc<Mutex<Option<Result<Figures>>>> = Arc::default();
    let shared = Arc::clone(&outcome);
    let lock = |shared: &Mutex<_>| -> bool {
        let known: std::sync::MutexGuard<'_, Option<Result<Figures>>> =
            shared.lock().unwrap_or_else(PoisonError::into_inner);
        known.is_some()
    };
    // On the first database that is named.
    on_each_database(move |database| {
        let shared = Arc::clone(&shared);
        async move {
            if !lock(&shared) {
                let figures = measure(&database).await;
                *shared.lock().unwrap_or_else(PoisonError::into_inner) = Some(figures);
            }
        }
    });
    let figures = outcome
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
        .context("PATIO_TEST_DATABASE_URLS names no database: scripts/bench api starts one")??;
    figures.print();
    Ok(())
}
