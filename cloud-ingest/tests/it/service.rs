//! `cloud-ingest serve` on a database of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use cloud_ingest::broker::Endpoint;
use shared_protocol::VerifyingKey;

use crate::{
    gateway::Gateway,
    http::{self, Answer},
    machine::{program, signal, stderr, until},
};

/// A folder with a key and a configuration file, and what starts from it.
pub(crate) struct Place {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) database: String,
    pub(crate) cloud: VerifyingKey,
}

/// What runs.
pub(crate) struct Service {
    child: Child,
    log: PathBuf,
    pub(crate) http: String,
    pub(crate) broker: Endpoint,
    /// An API key of the organisation `default` that may do everything.
    pub(crate) key: String,
}

/// Every permission that there is.
pub(crate) fn all() -> Vec<&'static str> {
    let permissions = access::permission::catalogue().permissions.iter();
    permissions.map(|one| one.name.as_str()).collect()
}

/// Every port is a free one.
pub(crate) const EMBEDDED: &str = "[mqtt]\nlisten = \"127.0.0.1:0\"\n";

impl Place {
    /// `mqtt` is that table of the configuration.
    pub(crate) fn new(database: &str, mqtt: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("cloud.key");
        let made = program()
            .args(["keygen", "--out"])
            .arg(&key)
            .output()
            .unwrap();
        let public = String::from_utf8(made.stdout).unwrap();
        let ring = vault::Ring::new_line(1).unwrap();
        std::fs::write(folder.path().join("vault.keys"), ring).unwrap();
        let place = Self {
            folder,
            database: database.to_owned(),
            cloud: VerifyingKey::from_hex(public.trim()).unwrap(),
        };
        place.configure(mqtt);
        place
    }

    pub(crate) fn configure(&self, mqtt: &str) {
        let text = format!(
            "[database]\nurl = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\nprivate_providers = true\npublic_url = \"https://patio.example.com\"\n[keys]\nsigning = \"cloud.key\"\nvault = \"vault.keys\"\n\
             [log]\nlevel = \"debug\"\n{mqtt}",
            self.database
        );
        std::fs::write(self.config(), text).unwrap();
    }

    /// Gives it a folder for files with these keys beside it.
    pub(crate) fn equip(&self, files: &str) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let text = format!("{text}[files]\nfolder = \"files\"\n{files}");
        std::fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("cloud.toml")
    }

    /// Starts it and waits until it says that it is ready.
    pub(crate) fn serve(&self) -> Service {
        let log = self.folder.path().join("log");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let mut child = program()
            .args(["serve", "--config"])
            .arg(self.config())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        // A test's own tasks, such as a wire to the database, have to go on meanwhile.
        tokio::task::block_in_place(|| out.read_line(&mut line)).unwrap();
        let said = || std::fs::read_to_string(&log).unwrap();
        let (http, broker) = line
            .trim_end()
            .strip_prefix("ready http=")
            .and_then(|rest| rest.split_once(" broker="))
            .unwrap_or_else(|| panic!("{line}{}", said()));
        let address = broker.split_once("://").unwrap().1.parse().unwrap();
        Service {
            http: http.to_owned(),
            broker: Endpoint { address, tls: None },
            log,
            child,
            key: self.key("default", &all()),
        }
    }

    /// A new API key of an organisation.
    pub(crate) fn key(&self, organization: &str, permissions: &[&str]) -> String {
        self.run(&["organization", "add", organization]);
        let mut args = vec![
            "key",
            "add",
            "--name",
            "test",
            "--organization",
            organization,
        ];
        for permission in permissions {
            args.extend(["--permission", permission]);
        }
        self.run(&args).trim().to_owned()
    }

    /// The key ring.
    pub(crate) fn ring(&self) -> PathBuf {
        self.folder.path().join("vault.keys")
    }

    /// Runs a command on this place's database and returns what it says.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        self.run_with(args, "")
    }

    /// The same with this on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> String {
        let mut command = program();
        command.args(args).args(["--database", &self.database]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // A test's own tasks, such as a wire to the database, have to go on meanwhile.
        let output = tokio::task::block_in_place(|| {
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            // Who reads nothing may have ended.
            let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
            drop(stdin);
            child.wait_with_output()
        })
        .unwrap();
        assert!(output.status.success(), "{args:?}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A gateway that the register knows.
    pub(crate) fn gateway(&self, name: &str) -> Gateway {
        let gateway = Gateway::new(name, self.cloud);
        let key = gateway.key.verifying_key().to_string();
        self.run(&["gateway", "add", "--id", name, "--public-key", &key]);
        gateway
    }
}

impl Service {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Asks with the key.
    pub(crate) async fn ask(&self, request: &str, headers: &str, body: &str) -> Answer {
        let headers = format!("authorization: Bearer {}\r\n{headers}", self.key);
        http::ask(&self.http, request, &headers, body).await
    }

    /// Gets a path with the key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "", "").await
    }

    /// Posts JSON with the key.
    pub(crate) async fn post(&self, path: &str, headers: &str, body: &str) -> Answer {
        let headers = format!(
            "content-type: application/json\r\ncontent-length: {}\r\n{headers}",
            body.len()
        );
        self.ask(&format!("POST {path}"), &headers, body).await
    }

    pub(crate) async fn is_ready(&self) -> bool {
        http::get(&self.http, "/health/ready").await.status == 200
    }

    pub(crate) async fn until_ready(&self) {
        until("ready", 30, || async { self.is_ready().await }).await;
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            tokio::task::block_in_place(|| std::thread::park_timeout(Duration::from_millis(20)));
        }
    }

    /// Tells it to stop; it has to do so orderly.
    pub(crate) fn stop(mut self) -> String {
        signal(self.pid(), "TERM");
        let status = self.wait(Duration::from_secs(20));
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
