//! The page for whoever looks after the depot at night, served by the gateway itself: what is charged, what limits it, and
//! start, stop, this car first. It needs no Internet, nothing from elsewhere, and no script to be usable.
//!
//! | file | what it is |
//! |---|---|
//! | `guard` | who may come in: a PIN, lock-out, sessions; pure |
//! | `routes` | what is asked and answered |
//! | `view` | the page as people see it |
//! | `words` | states, reasons and refusals in Spanish |
//!
//! People come in with a PIN, of which the configuration has the argon2id hash. A session is a cookie that no script sees and
//! no other site sends, and whatever changes something shows a key of the session's besides. What is told to stations goes over the
//! desk of commands ([`crate::commands`]) and is kept with who, what and what became of it.

mod guard;
mod routes;
mod view;
mod words;

use std::{sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{clock::Clock, commands::Local, control::Control, stopped, supervise::Beat};
pub use guard::{BadPin, hash};

/// Connections at a time; each lives no longer than this.
const CONNECTIONS: usize = 32;
const LIFE: Duration = Duration::from_secs(60);
/// How long a handshake and the head of a request may take.
const PROMPT: Duration = Duration::from_secs(10);

/// What the page is made of.
#[derive(Debug)]
pub struct Settings {
    /// The hash of the PIN.
    pub pin: String,
    /// The token with which transactions are begun.
    pub token: Option<String>,
}

/// The page of one gateway.
#[derive(Debug)]
pub struct Page {
    guard: guard::Guard,
    token: Option<String>,
    /// What is shown of the depot, by name.
    depot: String,
    control: Arc<Control>,
    clock: Arc<Clock>,
    desk: mpsc::Sender<Local>,
    /// It is served over TLS.
    secure: bool,
}

impl Page {
    /// The page of this depot.
    pub fn new(
        settings: Settings,
        control: Arc<Control>,
        clock: Arc<Clock>,
        desk: mpsc::Sender<Local>,
        secure: bool,
    ) -> Self {
        Self {
            guard: guard::Guard::new(settings.pin),
            token: settings.token,
            depot: control.name().to_owned(),
            control,
            clock,
            desk,
            secure,
        }
    }
}

/// Serves it until the gateway stops.
pub async fn serve(
    page: Arc<Page>,
    listener: Arc<TcpListener>,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
    beat: Beat,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let router = routes::router(page);
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await;
            let stream = listener.accept().await;
            (place, stream)
        };
        let (place, accepted) = tokio::select! {
            accepted = beat.during(accepted) => accepted,
            () = stopped(&mut stop) => return,
        };
        let Ok((stream, _)) = accepted else {
            // No more file descriptors, say: that passes.
            beat.during(tokio::time::sleep(Duration::from_secs(1)))
                .await;
            continue;
        };
        let (router, tls) = (router.clone(), tls.clone());
        tokio::spawn(async move {
            let _ = timeout(LIFE, connection(stream, tls, router)).await;
            drop(place);
        });
    }
}

async fn connection(stream: TcpStream, tls: Option<TlsAcceptor>, router: axum::Router) {
    match tls {
        None => answer(stream, router).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = timeout(PROMPT, tls.accept(stream)).await {
                answer(stream, router).await;
            }
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: axum::Router,
) {
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PROMPT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A browser that goes away has no more to say.
    let _ = served.await;
}
