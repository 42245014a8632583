//! Asking: so many connections, each with one request at a time.

use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const CONNECTIONS: usize = 8;
/// Requests of each connection in a round.
const REQUESTS: usize = 150;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A page of assets.
    Page,
    /// An asset to be made.
    Asset,
}

/// A round: the time of each request in milliseconds, and how long all of it took in seconds.
pub(crate) async fn run(place: &str, key: &str, what: What) -> Result<(Vec<f64>, f64)> {
    let begun = Instant::now();
    let all = (0..CONNECTIONS).map(|_| one(place, key, what));
    let times = try_join_all(all).await?;
    Ok((times.concat(), begun.elapsed().as_secs_f64()))
}

async fn one(place: &str, key: &str, what: What) -> Result<Vec<f64>> {
    let stream = TcpStream::connect(place).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut times = Vec::with_capacity(REQUESTS);
    for _ in 0..REQUESTS {
        let (method, body, wanted) = match what {
            What::Page => ("GET", Bytes::new(), 200),
            What::Asset => ("POST", Bytes::from_static(b"{\"name\":\"Van\"}"), 201),
        };
        let request = Request::builder()
            .method(method)
            .uri("/v1/assets")
            .header("host", place)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .header("idempotency-key", platform::RequestId::fresh().as_str())
            .body(Full::new(body))?;
        let begun = Instant::now();
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        let says = String::from_utf8_lossy(&body);
        ensure!(status == wanted, "{status} instead of {wanted}: {says}");
        sender.ready().await?;
    }
    Ok(times)
}
