//! The metrics over HTTP, for whoever is on this machine: Prometheus' text format 0.0.4.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{Measured, table};
use crate::supervise::Beat;

/// A request is one line and a few headers, and comes at once.
const LONGEST: usize = 8 * 1024;
const WITHIN: Duration = Duration::from_secs(5);

/// Answers `GET /metrics`, one request at a time, for ever.
pub async fn serve(
    listener: Arc<TcpListener>,
    tell: Arc<dyn Fn() -> Vec<Measured> + Send + Sync>,
    beat: Beat,
) {
    loop {
        match beat.during(listener.accept()).await {
            Ok((stream, _)) => {
                let _ = timeout(WITHIN, answer(stream, &*tell)).await;
            }
            // No more file descriptors, say: that passes.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

async fn answer(
    mut stream: TcpStream,
    tell: &(dyn Fn() -> Vec<Measured> + Send + Sync),
) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut some = [0; 1024];
        let count = stream.read(&mut some).await?;
        if count == 0 || request.len() > LONGEST {
            return Ok(());
        }
        request.extend_from_slice(&some[..count]);
    }
    let (status, body) = if request.starts_with(b"GET /metrics ") {
        ("200 OK", text(&tell()))
    } else {
        ("404 Not Found", "GET /metrics\n".to_owned())
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The table's metrics in its order, each with what is told of it.
fn text(told: &[Measured]) -> String {
    let mut text = String::new();
    for metric in table() {
        let help = metric.cause.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(text, "# HELP {} {help}", metric.name);
        let _ = writeln!(text, "# TYPE {} {}", metric.name, metric.kind.name());
        for one in told.iter().filter(|one| one.name == metric.name) {
            let labels: Vec<_> = metric
                .labels
                .iter()
                .zip(&one.labels)
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let labels = match labels.join(",") {
                none if none.is_empty() => none,
                some => format!("{{{some}}}"),
            };
            let value = one.steps as f64 * metric.resolution.to_f64();
            let _ = writeln!(text, "{}{labels} {value}", metric.name);
        }
    }
    text
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn whoever_asks_for_metrics_gets_them() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let told = Measured {
            name: "edge_loop_silent_seconds",
            labels: vec!["can:car-1".into()],
            steps: 1500,
        };
        let tell = Arc::new(move || vec![told.clone()]);
        tokio::spawn(serve(Arc::new(listener), tell, Beat::free()));
        let answer = get(port, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("\nedge_loop_silent_seconds{loop=\"can:car-1\"} 1.5\n"),
            "{answer}"
        );
        assert!(
            answer.contains("\n# TYPE edge_up_seconds gauge\n"),
            "{answer}"
        );
        for other in ["GET / HTTP/1.1\r\n\r\n", "POST /metrics HTTP/1.1\r\n\r\n"] {
            assert!(get(port, other).await.starts_with("HTTP/1.1 404"));
        }
        // Nonsense without an end is not read to its end, and the next one is answered.
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        while stream.write_all(&[b'x'; 1024]).await.is_ok() {}
        let answer = get(port, "GET /metrics HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}
