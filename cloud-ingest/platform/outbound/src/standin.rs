//! A service outside that does what a script says, over plain HTTP/1.1 on loopback.
//!
//! It remembers what had an effect: a request counts as soon as it was read whole, whatever the script then does to the
//! answer. That is what makes *timeout after effect* different from a refusal.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What is done with the next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Reads it and answers.
    Answer(u16, String),
    /// Reads it and sends the caller elsewhere.
    Redirect(String),
    /// Hangs up without reading it: it has no effect.
    HangUpBefore,
    /// Reads it and hangs up: it has its effect, and the caller does not know.
    HangUpAfter,
    /// Reads it and says nothing for so long: the same.
    SilentAfter(Duration),
    /// Reads it and says something that is no HTTP.
    Nonsense,
    /// Reads it and answers 200 with so many bytes.
    Flood(usize),
}

/// A request that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first line without the version: `POST /hook`.
    pub line: String,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, byte by byte.
    pub body: Vec<u8>,
}

impl Seen {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct State {
    script: VecDeque<Act>,
    seen: Vec<Seen>,
}

/// The stand-in. It ends when it is dropped.
#[derive(Debug)]
pub struct StandIn {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl StandIn {
    /// Starts one; when the script is over it answers 200 to everything.
    pub async fn start(script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State {
            script: script.into_iter().collect(),
            seen: Vec::new(),
        }));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:…` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Begins another script.
    pub fn script(&self, acts: impl IntoIterator<Item = Act>) {
        lock(&self.state).script = acts.into_iter().collect();
    }

    /// What was read so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.state).seen.clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let act = lock(&state)
        .script
        .pop_front()
        .unwrap_or_else(|| Act::Answer(200, "{}".to_owned()));
    if act == Act::HangUpBefore {
        return;
    }
    let Some(seen) = read(&mut stream).await else {
        return;
    };
    lock(&state).seen.push(seen);
    let answer = match act {
        Act::HangUpBefore | Act::HangUpAfter => return,
        Act::SilentAfter(time) => {
            tokio::time::sleep(time).await;
            return;
        }
        Act::Nonsense => "nonsense\r\n\r\n".to_owned(),
        Act::Answer(status, body) => http(status, "", &body),
        Act::Redirect(to) => http(302, &format!("Location: {to}\r\n"), ""),
        Act::Flood(bytes) => http(200, "", &"x".repeat(bytes)),
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn http(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Said\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Seen {
        line: first.rsplit_once(' ')?.0.to_owned(),
        headers,
        body,
    })
}
