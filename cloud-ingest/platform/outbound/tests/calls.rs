//! Calls to a stand-in: what is permitted, what is known after a fault.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use outbound::{
    Answer, CallError, Client, Request, Resolve, Rules,
    standin::{Act, StandIn},
};
use tokio::{io::AsyncReadExt as _, net::TcpListener};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};
use url::Url;

fn ours() -> Rules {
    Rules {
        plain_http: true,
        any_address: true,
        total: Duration::from_millis(400),
        ..Rules::STRANGERS
    }
}

async fn call(client: &Client, url: &str) -> Result<Answer, CallError> {
    let url: Url = url.parse().unwrap();
    let request = Request::new(hyper::Method::POST, url, "{\"a\":1}").header("x-mine", "yes");
    client.call(request).await
}

/// Gives the first addresses at the first question, and the others at every later one.
struct Rebinding(Vec<SocketAddr>, Vec<SocketAddr>, AtomicUsize);

impl Resolve for Rebinding {
    fn resolve<'a>(
        &'a self,
        _: &'a str,
        _: u16,
    ) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>> {
        let first = self.2.fetch_add(1, Ordering::SeqCst) == 0;
        let found = if first {
            self.0.clone()
        } else {
            self.1.clone()
        };
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test]
async fn an_answer_is_an_answer_whatever_it_says() {
    let world = StandIn::start([
        Act::Answer(201, "made".to_owned()),
        Act::Answer(500, "no".to_owned()),
        Act::Redirect("http://169.254.169.254/latest/meta-data".to_owned()),
        Act::Flood(100_000),
    ])
    .await;
    let client = Client::new(ours());
    let url = world.url("/hook?a=b");
    let made = call(&client, &url).await.unwrap();
    assert_eq!(
        (made.status, &*made.body, made.address),
        (201, &b"made"[..], world.address())
    );
    assert_eq!(call(&client, &url).await.unwrap().status, 500);
    let redirect = call(&client, &url).await.unwrap();
    assert_eq!(redirect.status, 302, "nobody goes there");
    let flood = call(&client, &url).await.unwrap();
    assert_eq!((flood.body.len(), flood.cut), (16 * 1024, true));
    let seen = world.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!(
        (seen[0].line.as_str(), seen[0].header("x-mine")),
        ("POST /hook?a=b", Some("yes"))
    );
    assert_eq!(
        seen[0].header("host"),
        Some(world.address().to_string().as_str())
    );
    assert_eq!(seen[0].body, b"{\"a\":1}");
}

#[tokio::test]
async fn after_a_fault_it_is_known_whether_there_may_have_been_an_effect() {
    let world = StandIn::start([
        Act::HangUpAfter,
        Act::SilentAfter(Duration::from_secs(60)),
        Act::Nonsense,
    ])
    .await;
    let client = Client::new(ours());
    for effects in 1..=3 {
        let error = call(&client, &world.url("/")).await.unwrap_err();
        assert!(error.may_have_happened(), "{error}");
        assert_eq!(world.seen().len(), effects);
    }
    let address = world.address();
    drop(world);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let error = call(&client, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert!(!error.may_have_happened(), "{error}");
}

#[tokio::test]
async fn strangers_urls_lead_to_the_public_internet_only() {
    let world = StandIn::start([]).await;
    let strict = Client::new(Rules {
        plain_http: true,
        ..Rules::STRANGERS
    });
    for url in [
        world.url("/"),
        format!("http://localhost:{}/", world.address().port()),
        "http://2130706433/".to_owned(),
        "http://0x7f.1/".to_owned(),
        "http://[::ffff:127.0.0.1]/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let error = call(&strict, &url).await.unwrap_err();
        assert!(
            matches!(error, CallError::Forbidden { .. }),
            "{url}: {error}"
        );
    }
    let https = Client::new(Rules::STRANGERS);
    for url in [
        "http://example.com/",
        "ftp://example.com/",
        "https://user@example.com/",
        "file:///etc/passwd",
    ] {
        let error = https.check(&url.parse().unwrap()).unwrap_err();
        assert!(matches!(error, CallError::Url(_)), "{url}: {error}");
    }
    https
        .check(&"https://example.com/hook".parse().unwrap())
        .unwrap();
    assert!(world.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_changes_its_address_gains_nothing() {
    let (first, second) = (StandIn::start([]).await, StandIn::start([]).await);
    let asks = |one: Vec<SocketAddr>, later: Vec<SocketAddr>| {
        Arc::new(Rebinding(one, later, AtomicUsize::new(0)))
    };
    // What was looked at is what is connected to: the name is asked for once.
    let resolver = asks(vec![first.address()], vec![second.address()]);
    let asked: Arc<dyn Resolve> = resolver.clone();
    let client = Client::with(ours(), asked, RootCertStore::empty());
    let answer = call(&client, "http://rebind.example/").await.unwrap();
    assert_eq!(answer.address, first.address());
    assert_eq!(resolver.2.load(Ordering::SeqCst), 1);
    assert!(second.seen().is_empty());
    // A name that leads where nobody may go is refused, and so is one that leads there, too.
    let public: SocketAddr = "1.1.1.1:80".parse().unwrap();
    let strict = Rules {
        plain_http: true,
        ..Rules::STRANGERS
    };
    for found in [
        vec![second.address()],
        vec![public, second.address()],
        vec!["[::ffff:10.0.0.1]:80".parse().unwrap(), public],
    ] {
        let client = Client::with(
            strict.clone(),
            asks(found.clone(), vec![]),
            RootCertStore::empty(),
        );
        let error = call(&client, "http://mixed.example/").await.unwrap_err();
        assert!(
            matches!(error, CallError::Forbidden { .. }),
            "{found:?}: {error}"
        );
    }
    assert!(second.seen().is_empty());
}

#[tokio::test]
async fn the_certificate_must_be_the_name_s() {
    let made = rcgen::generate_simple_self_signed(["hooks.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut some = [0; 4096];
                let _ = stream.read(&mut some).await;
                let answer = b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n";
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
            }
        }
    });
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let resolver = || Arc::new(Rebinding(vec![address], vec![address], AtomicUsize::new(0)));
    let client = Client::with(ours(), resolver(), roots);
    assert_eq!(
        call(&client, "https://hooks.example/")
            .await
            .unwrap()
            .status,
        204
    );
    let error = call(&client, "https://other.example/").await.unwrap_err();
    assert!(!error.may_have_happened(), "{error}");
    let stranger = Client::with(ours(), resolver(), RootCertStore::empty());
    assert!(call(&stranger, "https://hooks.example/").await.is_err());
}
