//! Where the bytes of files are.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
};

use bytes::Bytes;

/// What a store answers with.
pub type Stored<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why a store failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is nothing under the key.
    #[error("the store has nothing under {0}: restore it from a backup")]
    Missing(String),
    /// The disk or the service failed.
    #[error("the store failed at {key}: {reason}")]
    Failed {
        /// The key.
        key: String,
        /// Why.
        reason: String,
    },
}

/// A place for bytes under keys of the form `organisation/ab/sha256`. What `put` has returned for is kept; doing any of it
/// twice is the same as doing it once.
pub trait Store: Send + Sync {
    /// Keeps bytes.
    fn put<'a>(&'a self, key: &'a str, content: Bytes) -> Stored<'a, ()>;
    /// Gives them back.
    fn get<'a>(&'a self, key: &'a str) -> Stored<'a, Bytes>;
    /// Removes them, if they are there.
    fn delete<'a>(&'a self, key: &'a str) -> Stored<'a, ()>;
}

/// A directory of this machine. A file is complete or not there, and on disk when `put` returns.
#[derive(Clone, Debug)]
pub struct Directory(PathBuf);

impl Directory {
    /// Below this folder, which is made when it is missing.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    fn path(&self, key: &str) -> PathBuf {
        self.0.join(key)
    }
}

impl Store for Directory {
    fn put<'a>(&'a self, key: &'a str, content: Bytes) -> Stored<'a, ()> {
        let path = self.path(key);
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || write(&path, &content)).await;
            written
                .unwrap_or_else(|error| Err(io::Error::other(error)))
                .map_err(|error| failed(key, &error))
        })
    }

    fn get<'a>(&'a self, key: &'a str) -> Stored<'a, Bytes> {
        Box::pin(async move {
            match tokio::fs::read(self.path(key)).await {
                Ok(content) => Ok(content.into()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(StoreError::Missing(key.to_owned()))
                }
                Err(error) => Err(failed(key, &error)),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> Stored<'a, ()> {
        Box::pin(async move {
            match tokio::fs::remove_file(self.path(key)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(key, &error)),
                _ => Ok(()),
            }
        })
    }
}

fn failed(key: &str, error: &io::Error) -> StoreError {
    StoreError::Failed {
        key: key.to_owned(),
        reason: error.to_string(),
    }
}

/// Beside its place first, then moved there; the folder is synced so that the name is on disk, too.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut noise = [0; 8];
    getrandom::fill(&mut noise).map_err(io::Error::other)?;
    let beside = folder.join(format!(".{}", hex::encode(noise)));
    let result = std::fs::File::create_new(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path))
        .and_then(|()| std::fs::File::open(folder)?.sync_all());
    if result.is_err() {
        // What is left is not under any key.
        let _ = std::fs::remove_file(&beside);
    }
    result
}
