//! Hearing of what others have committed: LISTEN on a connection of its own. What is missed while it is away is found
//! by looking, so a bell only makes things faster.

use std::{future::poll_fn, sync::Arc, time::Duration};

use platform::Backoff;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, NoTls};
use tokio_util::task::AbortOnDropHandle;

/// Rings when somebody notifies one of its channels. Clones hear the same.
#[derive(Clone, Debug)]
pub struct Bell {
    rings: Arc<Notify>,
    _listening: Option<Arc<AbortOnDropHandle<()>>>,
}

impl Bell {
    /// Listens on a channel (a plain SQL identifier) of the database at `url`, again and again when the connection
    /// breaks, as long as a clone lives.
    pub fn listen(url: &str, channel: &'static str) -> Self {
        let rings = Arc::new(Notify::new());
        let task = tokio::spawn(forever(url.to_owned(), channel, Arc::clone(&rings)));
        Self {
            rings,
            _listening: Some(Arc::new(AbortOnDropHandle::new(task))),
        }
    }

    /// A bell that never rings: all is found by looking.
    pub fn silent() -> Self {
        Self {
            rings: Arc::new(Notify::new()),
            _listening: None,
        }
    }

    /// Waits until it rings, or until `longest` has passed.
    pub async fn wait(&self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.rings.notified()).await;
    }
}

async fn forever(url: String, channel: &'static str, rings: Arc<Notify>) {
    let fresh = || {
        Backoff::new(
            Duration::from_millis(200),
            Duration::from_secs(30),
            u32::MAX,
        )
    };
    let mut backoff = fresh();
    loop {
        match once(&url, channel, &rings, || backoff = fresh()).await {
            Ok(()) => tracing::info!(channel, "the connection that listens was closed"),
            Err(error) => {
                tracing::warn!(
                    channel,
                    error = platform::failure::in_words(&error),
                    "not listening"
                );
            }
        }
        let wait = backoff.wait().unwrap_or(Duration::from_secs(30));
        tokio::time::sleep(wait).await;
    }
}

async fn once(
    url: &str,
    channel: &str,
    rings: &Notify,
    listening: impl FnOnce(),
) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = tokio_postgres::connect(url, NoTls).await?;
    let listen = format!("LISTEN {channel}");
    let mut listen = Box::pin(client.batch_execute(&listen));
    let mut listens = false;
    // What was said before we listened is not said again.
    let mut on_listen = Some(listening);
    loop {
        tokio::select! {
            done = &mut listen, if !listens => {
                done?;
                listens = true;
                if let Some(tell) = on_listen.take() {
                    tell();
                }
                rings.notify_waiters();
                rings.notify_one();
            }
            message = poll_fn(|context| connection.poll_message(context)) => match message {
                // Waiters that wait wake; one that is about to wait does not wait.
                Some(Ok(AsyncMessage::Notification(_))) => {
                    rings.notify_waiters();
                    rings.notify_one();
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            },
        }
    }
}
