//! Files in a bucket of a server that is not ours: moto (PyPI), which speaks S3.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use hyper::Method;
use outbound::{Client, Request, Rules};
use platform::Clock;
use vault::{
    Secret,
    files::{
        LONGEST,
        s3::{Access, Bucket},
        store::{Store as _, StoreError},
    },
};

struct Server(Child, String);

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client() -> Client {
    Client::new(Rules {
        plain_http: true,
        any_address: true,
        total: Duration::from_secs(30),
        answer: LONGEST,
        ..Rules::STRANGERS
    })
}

/// Starts it with a bucket `depot`; somebody else may take the port that was free a moment ago.
async fn start(program: &Path) -> Server {
    for _ in 0..5 {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port().to_string();
        drop(free);
        let child = Command::new(program)
            .args(["--host", "127.0.0.1", "--port", &port])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut server = Server(child, format!("http://127.0.0.1:{port}"));
        for _ in 0..300 {
            let url = format!("{}/depot", server.1).parse().unwrap();
            let made = client().call(Request::new(Method::PUT, url, "")).await;
            if made.is_ok_and(|answer| answer.status == 200) {
                return server;
            }
            if server.0.try_wait().unwrap().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    panic!("{} does not start", program.display());
}

#[tokio::test]
async fn a_bucket_elsewhere_keeps_what_it_is_given() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
    let program = root.join(".patio/venv/bin/moto_server");
    if !program.exists() {
        eprintln!(
            "skipped: no {} (scripts/python-peers makes it)",
            program.display()
        );
        return;
    }
    let server = start(&program).await;
    let access = |bucket: &str| Access {
        endpoint: server.1.parse().unwrap(),
        bucket: bucket.to_owned(),
        region: "us-east-1".to_owned(),
        key_id: "AKID".to_owned(),
        key: Secret::new("verysecret"),
        path_style: true,
    };
    let bucket = Bucket::new(access("depot"), client(), Clock::system()).unwrap();
    let large: Vec<u8> = (0..5_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761) as u8)
        .collect();
    for content in [Vec::new(), b"content".to_vec(), large] {
        let key = format!("3/ab/{}", content.len());
        bucket.put(&key, content.clone().into()).await.unwrap();
        bucket.put(&key, content.clone().into()).await.unwrap();
        assert_eq!(bucket.get(&key).await.unwrap(), content);
        bucket.delete(&key).await.unwrap();
        bucket.delete(&key).await.unwrap();
        let gone = bucket.get(&key).await;
        assert!(matches!(gone, Err(StoreError::Missing(_))), "{gone:?}");
    }
    let nowhere = Bucket::new(access("nowhere"), client(), Clock::system()).unwrap();
    assert!(nowhere.put("k", "content".into()).await.is_err());
}
