//! A PostgreSQL of a test's own, which may be killed: made of the programs of one that runs, by the user whom that one runs as.
//!
//! A running server tells its process, and /proc tells the rest: the folder of its programs, its user, and its root where it has
//! one of its own (a chroot, a namespace). Killed means SIGKILL, of the postmaster or of a process of its: what was committed is
//! in the log on disk, and is found there when it starts again.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, getuid, kill_process};
use tokio::time::sleep;

use crate::{check::connect, house::free_port};

/// How long a server may take to start, recovery included.
const START: Duration = Duration::from_secs(60);

/// A server of its own. It is killed, and its folder removed, when this value is dropped.
#[derive(Debug)]
pub struct Server {
    like: Like,
    /// The folder, and the same as the server sees it.
    folder: PathBuf,
    inside: PathBuf,
    port: u16,
    child: Option<Child>,
}

/// What a server that runs is like.
#[derive(Debug)]
struct Like {
    /// Where its programs see their root.
    root: PathBuf,
    /// The folder of its programs, below that root.
    programs: PathBuf,
    uid: u32,
    gid: u32,
    /// Settings that make its flavour.
    settings: Vec<String>,
}

impl Like {
    async fn of(url: &str) -> Result<Self> {
        let client = connect(url).await?;
        let row = client
            .query_one(
                "SELECT pg_backend_pid(), current_setting('shared_preload_libraries'), current_setting('timescaledb.license', true)",
                &[],
            )
            .await?;
        let (pid, libraries, licence): (i32, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        let process = PathBuf::from(format!("/proc/{pid}"));
        let program = fs::read_link(process.join("exe")).context(
            "the server of the tests does not run on this machine, or is another user's",
        )?;
        ensure!(
            program.file_name().is_some_and(|name| name == "postgres"),
            "process {pid} is not the server of the tests: it runs elsewhere"
        );
        let owner = fs::metadata(&process)?;
        // Its postmaster lives as long as the server does.
        let status = fs::read_to_string(process.join("stat"))?;
        let parent = status
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(1))
            .context("the postmaster of the server of the tests")?;
        let root = PathBuf::from(format!("/proc/{parent}/root"));
        let own_root = fs::metadata("/")?;
        let its_root = fs::metadata(root.join("."))?;
        let shared = (own_root.dev(), own_root.ino()) == (its_root.dev(), its_root.ino());
        ensure!(
            getuid().is_root() || (shared && getuid().as_raw() == owner.uid()),
            "only root can start a server as another user, or in another root"
        );
        let mut settings = vec![format!("shared_preload_libraries={libraries}")];
        settings.extend(licence.map(|licence| format!("timescaledb.license={licence}")));
        // In a chroot the link names the program from outside.
        let outside = fs::read_link(&root)?;
        let program = program.strip_prefix(&outside).unwrap_or(&program);
        Ok(Self {
            root,
            programs: Path::new("/").join(program.parent().context("a program is in a folder")?),
            uid: owner.uid(),
            gid: owner.gid(),
            settings,
        })
    }

    /// One of the server's programs, as its user and in its root.
    fn program(&self, name: &str) -> Command {
        let path = self.programs.join(name);
        let mut command = if getuid().is_root() {
            let mut command = Command::new("chroot");
            command
                .arg(format!("--userspec={}:{}", self.uid, self.gid))
                .arg(&self.root)
                .arg(path);
            command
        } else {
            Command::new(path)
        };
        command
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        command
    }
}

impl Server {
    /// Makes and starts a server like the one of a URL; an error says why that cannot be done here.
    pub async fn like(url: &str) -> Result<Self> {
        let like = Like::of(url).await?;
        let port = free_port()?;
        let inside = PathBuf::from(format!("/tmp/patio-server-{}-{port}", std::process::id()));
        let folder = like.root.join(inside.strip_prefix("/")?);
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut server = Self {
            like,
            folder,
            inside,
            port,
            child: None,
        };
        fs::set_permissions(&server.folder, fs::Permissions::from_mode(0o700))?;
        chown(&server.folder, Some(server.like.uid), Some(server.like.gid))?;
        let made = server
            .like
            .program("initdb")
            .args(["--username=patio", "--auth=trust", "--encoding=UTF8"])
            .args(["--locale=C.UTF-8", "--data-checksums", "-D"])
            .arg(server.inside.join("data"))
            .output()?;
        if !made.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
        server.start().await?;
        Ok(server)
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("postgres://patio@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it and waits until it answers.
    async fn start(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        let log = self.folder.join("log");
        loop {
            let mut command = self.like.program("postgres");
            command
                .arg("-D")
                .arg(self.inside.join("data"))
                .args(["-p", &self.port.to_string()]);
            let own = [
                "listen_addresses=127.0.0.1",
                "unix_socket_directories=",
                "max_connections=100",
                "shared_buffers=64MB",
                "max_locks_per_transaction=256",
                "restart_after_crash=on",
            ];
            let settings = self.like.settings.iter().map(String::as_str);
            for setting in own.into_iter().chain(settings) {
                command.args(["-c", setting]);
            }
            let mut child = command
                .stderr(fs::File::options().create(true).append(true).open(&log)?)
                .spawn()?;
            let ended = loop {
                if let Some(ended) = child.try_wait()? {
                    break ended;
                }
                if connect(&self.url()).await.is_ok() {
                    self.child = Some(child);
                    return Ok(());
                }
                if Instant::now() > deadline {
                    child.kill()?;
                    child.wait()?;
                    bail!("the server does not answer: {}", self.log_end());
                }
                sleep(Duration::from_millis(50)).await;
            };
            // Processes of the one before may still be there; they go by themselves.
            if Instant::now() > deadline {
                bail!("the server ended with {ended}: {}", self.log_end());
            }
            sleep(Duration::from_millis(200)).await;
            let _ = fs::remove_file(self.folder.join("data/postmaster.pid"));
        }
    }

    /// Kills it as a whole, and starts it again.
    pub async fn kill(&mut self) -> Result<()> {
        self.end()?;
        self.start().await
    }

    /// Kills the one of its processes that `choose` takes of so many: the server throws out everybody and recovers by
    /// itself, unless it was recovering already: then it is started again.
    pub async fn kill_one(&mut self, choose: impl FnOnce(usize) -> usize) -> Result<()> {
        let deadline = Instant::now() + START;
        let postmaster = self.child.as_ref().map_or(0, Child::id);
        // For a moment there are none, when it has just thrown out everybody.
        let processes = loop {
            let processes = children(postmaster);
            if !processes.is_empty() {
                break processes;
            }
            ensure!(
                Instant::now() < deadline,
                "the server has no processes: {}",
                self.log_end()
            );
            sleep(Duration::from_millis(10)).await;
        };
        if let Some(pid) = Pid::from_raw(processes[choose(processes.len())]) {
            // It may have ended by itself meanwhile.
            let _ = kill_process(pid, Signal::KILL);
        }
        while connect(&self.url()).await.is_err() {
            // A server whose recovery itself is killed gives up: a service manager would start it again.
            if let Some(child) = &mut self.child
                && child.try_wait()?.is_some()
            {
                self.child = None;
                return self.start().await;
            }
            ensure!(
                Instant::now() < deadline,
                "the server does not recover: {}",
                self.log_end()
            );
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let processes = children(self.child.as_ref().map_or(0, Child::id));
        let _ = self.end();
        // They would go by themselves, but not at once, and write until then.
        for pid in processes.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        for _ in 0..1000 {
            if fs::remove_dir_all(&self.folder).is_ok() {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// The child processes of a process.
pub fn children(parent: u32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace()
                .filter_map(|id| id.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
