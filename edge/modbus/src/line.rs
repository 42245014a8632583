//! One line and one exchange at a time on it. Every byte is accounted for: none may come before the request,
//! none may be missing from the answer, none may follow it.

use std::{future::poll_fn, pin::Pin, task::Poll, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{Instant, timeout, timeout_at},
};
use tokio_modbus::{ExceptionCode, Request, Response};

use crate::{
    codec::{Exchange, Framing, RequestError},
    fault::Fault,
};

/// Deadlines and silences of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// How long a unit may take before its answer is complete, transmission not counted.
    pub response: Duration,
    /// Transmission time of one byte; zero where it does not matter.
    pub per_byte: Duration,
    /// Silence that has to follow an answer (RTU; ≥ 3.5 characters, MODBUS over Serial Line §2.5.1.1).
    pub quiet: Duration,
    /// Silence that ends the draining of a line after a fault (RTU).
    pub drain: Duration,
    /// How long a line may go on sending before draining is given up and the line is opened again.
    pub drain_limit: Duration,
}

impl Timing {
    /// A serial line at this speed with 11 bits to a character.
    ///
    /// Silence is at least 5 ms whatever the speed, because USB adapters and gateways hand bytes over in lumps.
    pub fn serial(baud: u32) -> Self {
        let per_byte = Duration::from_nanos(11_000_000_000 / u64::from(baud.max(1)));
        Self {
            response: Duration::from_millis(500),
            per_byte,
            quiet: (per_byte * 7 / 2).max(Duration::from_millis(5)),
            drain: (per_byte * 7 / 2).max(Duration::from_millis(50)),
            drain_limit: Duration::from_secs(2),
        }
    }

    /// A TCP connection.
    pub const fn tcp() -> Self {
        Self {
            response: Duration::from_secs(1),
            per_byte: Duration::ZERO,
            quiet: Duration::from_millis(5),
            drain: Duration::from_millis(50),
            drain_limit: Duration::from_secs(2),
        }
    }
}

/// Why a call gave nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The request was not sent: it is impossible.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The line or the unit failed.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A transport with Modbus frames on it. See the crate's documentation for what an answer proves and what not.
#[derive(Debug)]
pub struct Line<S> {
    io: S,
    framing: Framing,
    timing: Timing,
    transaction: u16,
    /// True from the moment a request is sent until its answer is accepted: a fault and a dropped future leave it true.
    dirty: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    /// A line over an open transport. It counts as dirty: whatever a former user left on it is drained first.
    ///
    /// `transaction` is the number of the first request; take a random one, so that a peer that survived a former
    /// connection cannot meet it by counting from the same start.
    pub fn new(io: S, framing: Framing, timing: Timing, transaction: u16) -> Self {
        Self {
            io,
            framing,
            timing,
            transaction,
            dirty: framing == Framing::Rtu,
        }
    }

    /// Whether something may still be under way on the line.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// One request and its answer, the layers of the result as in `tokio_modbus`: the device's exception is inside.
    ///
    /// A dirty line is drained first (RTU) or refused (TCP). Dropping the future is safe: the line stays dirty.
    /// Takes at most [`Timing::drain_limit`] + [`Timing::response`] + transmission + [`Timing::quiet`].
    pub async fn call(
        &mut self,
        unit: u8,
        request: &Request<'_>,
    ) -> Result<Result<Response, ExceptionCode>, CallError> {
        let exchange = Exchange::new(self.framing, self.transaction, unit, request)?;
        if self.dirty {
            self.drain().await?;
        }
        self.transaction = self.transaction.wrapping_add(1);
        self.dirty = true;
        let answer = self.exchange(&exchange, request).await?;
        self.dirty = false;
        Ok(answer)
    }

    async fn exchange(
        &mut self,
        exchange: &Exchange,
        request: &Request<'_>,
    ) -> Result<Result<Response, ExceptionCode>, Fault> {
        if self.something_waits().await? {
            return Err(Fault::Stray);
        }
        let patience = self.timing.response + self.timing.per_byte * exchange.length() as u32;
        let deadline = Instant::now() + patience;
        let mut received = Vec::with_capacity(256);
        match timeout_at(deadline, self.send_and_receive(exchange, &mut received)).await {
            Ok(result) => result?,
            Err(_) => {
                return Err(Fault::Timeout {
                    after: patience,
                    received: received.len(),
                });
            }
        }
        let answer = exchange.answer(request, &received)?;
        // On TCP nothing can be said about the time after an answer, but what has come already must not be there.
        let follows = if self.framing == Framing::Rtu {
            matches!(
                timeout(self.timing.quiet, self.io.read(&mut [0])).await,
                Ok(Ok(1))
            )
        } else {
            matches!(self.something_waits().await, Ok(true))
        };
        if follows {
            Err(Fault::Trailing)
        } else {
            Ok(answer)
        }
    }

    async fn send_and_receive(
        &mut self,
        exchange: &Exchange,
        received: &mut Vec<u8>,
    ) -> Result<(), Fault> {
        self.io.write_all(exchange.frame()).await?;
        self.io.flush().await?;
        loop {
            // Never more than the answer is taken from the line: what follows must be seen as following.
            let missing = exchange.answer_length(received)? - received.len();
            if missing == 0 {
                return Ok(());
            }
            let mut part = [0; 260];
            match self.io.read(&mut part[..missing]).await? {
                0 => return Err(Fault::Closed),
                n => received.extend_from_slice(&part[..n]),
            }
        }
    }

    /// Whether bytes wait on the line now.
    async fn something_waits(&mut self) -> Result<bool, Fault> {
        let mut byte = [0];
        let polled = poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut byte);
            Poll::Ready(
                match Pin::new(&mut self.io).poll_read(context, &mut buffer) {
                    Poll::Ready(result) => Some(result.map(|()| buffer.filled().len())),
                    Poll::Pending => None,
                },
            )
        });
        match polled.await {
            None => Ok(false),
            Some(Ok(0)) => Err(Fault::Closed),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Throws away what comes until the line has been silent for [`Timing::drain`].
    ///
    /// A TCP connection cannot be drained, only opened again: [`Fault::Spoilt`].
    pub async fn drain(&mut self) -> Result<(), Fault> {
        if self.framing != Framing::Rtu {
            return if self.dirty {
                Err(Fault::Spoilt)
            } else {
                Ok(())
            };
        }
        let deadline = Instant::now() + self.timing.drain_limit;
        let mut scrap = [0; 256];
        loop {
            match timeout(self.timing.drain, self.io.read(&mut scrap)).await {
                Err(_) => {
                    self.dirty = false;
                    return Ok(());
                }
                Ok(Ok(0)) => return Err(Fault::Closed),
                Ok(Ok(_)) if Instant::now() < deadline => {}
                Ok(Ok(_)) => {
                    return Err(Fault::Babble {
                        within: self.timing.drain_limit,
                    });
                }
                Ok(Err(error)) => return Err(error.into()),
            }
        }
    }
}
