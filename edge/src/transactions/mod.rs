//! Charging transactions until the cloud has them: the **book**, in which they are durable before a station has its answer, and
//! the **courier**, which carries them to the buffer, oldest first.
//!
//! | file | what it is |
//! |---|---|
//! | `book` | what stations' transactions are remembered by, and what is still to go to the buffer |
//! | `courier` | from the book to the buffer |

mod book;
mod courier;

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

pub use book::{Book, BookError};
pub(crate) use book::{Relayed, received};

use crate::{sources::Context, supervise::Beat};

/// Whoever has the book, for all that write into it.
#[derive(Debug)]
pub struct Bookkeeper {
    book: Arc<Mutex<Book>>,
    /// Grows with everything that the courier may carry, or another back-office is to be told.
    written: watch::Sender<u64>,
}

impl Bookkeeper {
    /// Opens the book in a folder, or begins one.
    ///
    /// # Errors
    /// Why the book cannot be used.
    pub fn new(folder: &Path) -> Result<Self, BookError> {
        let book = Book::open(&folder.join("stations.db"))?;
        Ok(Self {
            book: Arc::new(Mutex::new(book)),
            written: watch::channel(0).0,
        })
    }

    /// Works on the book on a thread that may wait for the disk.
    pub(crate) async fn book<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book) -> Result<T, BookError> + Send + 'static,
    ) -> Result<T, BookError> {
        let book = self.book.clone();
        let work = move || work(&mut book.lock().unwrap_or_else(PoisonError::into_inner));
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or(Err(BookError::Gone))
    }

    /// There is something new in it.
    pub(crate) fn wrote(&self) {
        self.written.send_modify(|count| *count += 1);
    }

    /// Changes when there is.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Carries what is in the book to the buffer until the gateway stops.
    pub async fn carry(self: Arc<Self>, context: Context, beat: Beat) {
        courier::run(&self, context, beat).await;
    }
}
