//! The hook for virus scanners: a port to clamd, and none.

use std::{io, net::SocketAddr, path::PathBuf, pin::Pin, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, UnixStream},
};

/// How much is sent at a time; clamd takes chunks up to its `StreamMaxLength`.
const CHUNK: usize = 64 * 1024;
const LONGEST_REPLY: u64 = 4096;

/// What a scanner has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Clean,
    /// Nobody has looked.
    Unscanned,
    /// This.
    Infected(String),
}

/// Why a scanner could not look.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It cannot be reached, or hung up.
    #[error("the scanner at {place} cannot be used: {reason}")]
    Unreachable {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// It took too long.
    #[error("the scanner did not answer within {0:?}")]
    Late(Duration),
    /// It says that it cannot.
    #[error("the scanner says: {0}")]
    Refused(String),
}

/// What a scan returns.
pub type Scanned<'a> = Pin<Box<dyn Future<Output = Result<Verdict, ScanError>> + Send + 'a>>;

/// Looks at content before it is kept.
pub trait Scan: Send + Sync {
    /// Looks at all of it.
    fn scan<'a>(&'a self, content: &'a [u8]) -> Scanned<'a>;
}

/// No scanner: everything is kept, and is said to be unscanned.
#[derive(Clone, Copy, Debug)]
pub struct Unscanned;

impl Scan for Unscanned {
    fn scan<'a>(&'a self, _: &'a [u8]) -> Scanned<'a> {
        Box::pin(async { Ok(Verdict::Unscanned) })
    }
}

/// Where a clamd listens.
#[derive(Clone, Debug)]
pub enum Place {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket, such as `/run/clamav/clamd.ctl`.
    Unix(PathBuf),
}

/// clamd of ClamAV, by its command INSTREAM (clamd(8)).
#[derive(Clone, Debug)]
pub struct Clamd {
    place: Place,
    deadline: Duration,
}

impl Clamd {
    /// One that is given so long for a file.
    pub const fn new(place: Place, deadline: Duration) -> Self {
        Self { place, deadline }
    }

    async fn ask(&self, content: &[u8]) -> io::Result<String> {
        match &self.place {
            Place::Tcp(address) => stream(TcpStream::connect(address).await?, content).await,
            Place::Unix(path) => stream(UnixStream::connect(path).await?, content).await,
        }
    }
}

impl Scan for Clamd {
    fn scan<'a>(&'a self, content: &'a [u8]) -> Scanned<'a> {
        Box::pin(async move {
            let reply = tokio::time::timeout(self.deadline, self.ask(content))
                .await
                .map_err(|_| ScanError::Late(self.deadline))?
                .map_err(|error| ScanError::Unreachable {
                    place: format!("{:?}", self.place),
                    reason: error.to_string(),
                })?;
            read(&reply)
        })
    }
}

async fn stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    content: &[u8],
) -> io::Result<String> {
    stream.write_all(b"zINSTREAM\0").await?;
    for chunk in content.chunks(CHUNK) {
        stream
            .write_all(&(chunk.len() as u32).to_be_bytes())
            .await?;
        stream.write_all(chunk).await?;
    }
    stream.write_all(&[0; 4]).await?;
    stream.flush().await?;
    let mut reply = Vec::new();
    stream.take(LONGEST_REPLY).read_to_end(&mut reply).await?;
    Ok(String::from_utf8_lossy(&reply)
        .trim_end_matches(['\0', '\n'])
        .to_owned())
}

/// `stream: OK`, `stream: <name> FOUND`, or something else, which is never taken for clean.
fn read(reply: &str) -> Result<Verdict, ScanError> {
    let said = reply.strip_prefix("stream: ").unwrap_or(reply);
    if said == "OK" {
        return Ok(Verdict::Clean);
    }
    match said.strip_suffix(" FOUND") {
        Some(name) => Ok(Verdict::Infected(name.to_owned())),
        None if said.is_empty() => Err(ScanError::Refused("nothing".to_owned())),
        None => Err(ScanError::Refused(said.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_clean() {
        assert_eq!(read("stream: OK").unwrap(), Verdict::Clean);
        let found = Verdict::Infected("Win.Test.EICAR_HDB-1".to_owned());
        assert_eq!(read("stream: Win.Test.EICAR_HDB-1 FOUND").unwrap(), found);
        for reply in [
            "",
            "stream: ",
            "INSTREAM size limit exceeded. ERROR",
            "OK?",
            "stream: NOT OK",
        ] {
            assert!(read(reply).is_err(), "{reply}");
        }
    }
}
