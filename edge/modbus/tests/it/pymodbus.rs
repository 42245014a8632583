//! PyPI pymodbus as the other end: one process with as many servers as a test wants.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

use crate::support::root;

/// Servers of pymodbus; they end with this.
pub(crate) struct Pymodbus {
    _process: Child,
    out: Lines<BufReader<ChildStdout>>,
    /// Where each is: a port, or the path of a pseudo-terminal.
    pub(crate) ends: Vec<Value>,
}

impl Pymodbus {
    /// Starts servers (`pymodbus_server.py` says how they are described); without the peer says so and gives nothing.
    pub(crate) async fn start(servers: Vec<Value>) -> Option<Self> {
        let python = root().join(".patio/venv/bin/python");
        if !python.exists() {
            eprintln!("skipped: no .patio/venv (scripts/python-peers makes it)");
            return None;
        }
        let mut process = Command::new(python)
            .arg(root().join("edge/modbus/tests/it/pymodbus_server.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let asked = format!("{}\n", Value::from(servers));
        let mut into = process.stdin.take().unwrap();
        into.write_all(asked.as_bytes()).await.unwrap();
        let out = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut started = Self {
            _process: process,
            out,
            ends: Vec::new(),
        };
        let Value::Array(ends) = started.says().await else {
            panic!("pymodbus does not say where it is");
        };
        started.ends = ends;
        Some(started)
    }

    /// The next line that it prints.
    pub(crate) async fn says(&mut self) -> Value {
        let line = timeout(Duration::from_mins(2), self.out.next_line()).await;
        let line = line.unwrap().unwrap();
        serde_json::from_str(&line.expect("pymodbus has ended: its errors stand above")).unwrap()
    }

    /// The port of a server on TCP.
    pub(crate) fn port(&self, server: usize) -> u16 {
        self.ends[server].as_u64().unwrap().try_into().unwrap()
    }
}

/// A server on TCP.
pub(crate) fn on_tcp(framer: &str, units: &[Value]) -> Value {
    json!({ "line": "tcp", "framer": framer, "units": units })
}

/// A server on one end of a pair of pseudo-terminals.
pub(crate) fn on_pty(units: &[Value]) -> Value {
    json!({ "line": "pty", "framer": "rtu", "units": units })
}
