//! The guard between the socket and our client: lets through what [`Incoming`] passes on, answers what it answers, and
//! tells the broker why when it ends the connection.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    fields::Fault,
    incoming::{Action, Incoming},
    outgoing::Outgoing,
};

/// A broker that has so many of its packets answered and takes none of the answers is up to no good.
const MOST_ANSWERS: usize = 4096;

/// A stream of MQTT 5 on which only sound packets come in.
#[derive(Debug)]
pub(super) struct Guard<S> {
    inner: S,
    incoming: Incoming,
    outgoing: Outgoing,
    /// What came in and is not checked yet.
    raw: BytesMut,
    /// What is checked and not read yet.
    passed: Bytes,
    /// What goes out before the client's next packet.
    answers: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guard<S> {
    pub(super) fn new(inner: S, incoming: Incoming) -> Self {
        Self {
            inner,
            incoming,
            outgoing: Outgoing::default(),
            raw: BytesMut::new(),
            passed: Bytes::new(),
            answers: BytesMut::new(),
        }
    }

    /// Sends answers as far as the socket takes them now; they never go into the middle of a packet.
    fn poll_answers(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.between_packets() {
            return Poll::Ready(Ok(()));
        }
        while self.answers.has_remaining() {
            let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.answers))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.answers.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Says why, if that can be said at once, and gives the error.
    fn refuse(&mut self, cx: &mut Context<'_>, fault: Fault) -> io::Error {
        if self.outgoing.connect && self.outgoing.between_packets() && self.answers.is_empty() {
            let disconnect = [0xe0, 1, fault.reason as u8];
            // The connection ends either way: whether it was written makes no difference.
            if let Poll::Ready(Ok(_)) = Pin::new(&mut self.inner).poll_write(cx, &disconnect) {
                let _ = Pin::new(&mut self.inner).poll_flush(cx);
            }
        }
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if this.passed.has_remaining() {
                let length = this.passed.len().min(out.remaining());
                out.put_slice(&this.passed.split_to(length));
                return Poll::Ready(Ok(()));
            }
            match this.incoming.next(&mut this.raw, &mut this.outgoing) {
                Ok(Some(Action::Pass(bytes))) => this.passed = bytes,
                Ok(Some(Action::Drop)) => {}
                Ok(Some(Action::Answer(bytes))) => {
                    if this.answers.len() > MOST_ANSWERS {
                        let fault = Fault::protocol("it has answers piled up");
                        return Poll::Ready(Err(this.refuse(cx, fault)));
                    }
                    this.answers.extend_from_slice(&bytes);
                }
                Err(fault) => return Poll::Ready(Err(this.refuse(cx, fault))),
                Ok(None) => {
                    if this.answers.has_remaining() && this.poll_answers(cx)?.is_ready() {
                        // A flush that has to wait is finished by the client's next one.
                        let _ = Pin::new(&mut this.inner).poll_flush(cx)?;
                    }
                    let mut chunk = [0; 8192];
                    let mut read = ReadBuf::new(&mut chunk);
                    ready!(Pin::new(&mut this.inner).poll_read(cx, &mut read))?;
                    if read.filled().is_empty() {
                        return Poll::Ready(Ok(()));
                    }
                    this.raw.extend_from_slice(read.filled());
                }
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_answers(cx))?;
        let bytes = if this.answers.is_empty() {
            bytes
        } else {
            &bytes[..this.outgoing.rest_of_packet(bytes)]
        };
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
        this.outgoing.wrote(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_answers(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    const CONNECT: [u8; 4] = [0x10, 2, 0, 0];
    const CONNACK: [u8; 5] = [0x20, 3, 0, 0, 0];

    /// A guard behind which the broker has accepted us, and the broker's end.
    async fn connected(room: usize) -> (Guard<DuplexStream>, DuplexStream) {
        let (ours, mut broker) = duplex(room);
        let mut guard = Guard::new(ours, Incoming::new(1000, 5));
        guard.write_all(&CONNECT).await.unwrap();
        broker.write_all(&CONNACK).await.unwrap();
        let (mut sent, mut got) = ([0; 4], [0; 5]);
        broker.read_exact(&mut sent).await.unwrap();
        guard.read_exact(&mut got).await.unwrap();
        assert_eq!((sent, got), (CONNECT, CONNACK));
        (guard, broker)
    }

    #[tokio::test]
    async fn sound_packets_pass_and_stray_ones_are_answered_or_dropped() {
        let (mut guard, mut broker) = connected(64).await;
        broker
            .write_all(&[0x40, 2, 0, 9, 0x50, 2, 1, 2, 0xd0, 0])
            .await
            .unwrap();
        let mut got = [0; 2];
        guard.read_exact(&mut got).await.unwrap();
        assert_eq!(got, [0xd0, 0]);
        guard.write_all(&[0xc0, 0]).await.unwrap();
        let mut sent = [0; 6];
        broker.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, [0x62, 2, 1, 2, 0xc0, 0]);
    }

    #[tokio::test]
    async fn an_answer_waits_for_the_end_of_the_packet_that_is_half_written() {
        let (mut guard, mut broker) = connected(64).await;
        guard.write_all(&[0x30, 6, 0, 1]).await.unwrap();
        broker.write_all(&[0x50, 2, 1, 2, 0xd0, 0]).await.unwrap();
        guard.read_exact(&mut [0; 2]).await.unwrap();
        guard.write_all(&[b't', 0, 8, 9, 0xc0, 0]).await.unwrap();
        let mut sent = [0; 14];
        broker.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, [0x30, 6, 0, 1, b't', 0, 8, 9, 0x62, 2, 1, 2, 0xc0, 0]);
    }

    #[tokio::test]
    async fn a_broker_at_fault_is_told_and_left() {
        let (mut guard, mut broker) = connected(64).await;
        broker.write_all(&[0x30, 4, 0, 1, b'#', 0]).await.unwrap();
        let error = guard.read(&mut [0; 8]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("wildcard"), "{error}");
        let mut sent = [0; 3];
        broker.read_exact(&mut sent).await.unwrap();
        assert_eq!(sent, [0xe0, 1, 0x81]);
    }

    #[tokio::test]
    async fn nothing_is_said_into_the_middle_of_a_packet_or_before_connect() {
        let (mut guard, mut broker) = connected(64).await;
        guard.write_all(&[0x30, 6, 0, 1]).await.unwrap();
        broker.write_all(&[0xf0]).await.unwrap();
        guard.read(&mut [0; 8]).await.unwrap_err();
        drop(guard);
        let mut sent = Vec::new();
        broker.read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, [0x30, 6, 0, 1]);

        let (ours, mut broker) = duplex(64);
        let mut guard = Guard::new(ours, Incoming::new(1000, 5));
        broker.write_all(&[0xd0, 0]).await.unwrap();
        guard.read(&mut [0; 8]).await.unwrap_err();
        drop(guard);
        assert_eq!(broker.read_to_end(&mut Vec::new()).await.unwrap(), 0);
    }

    /// A broker that sends PUBRECs for ever and reads nothing.
    #[tokio::test]
    async fn answers_do_not_pile_up_without_bound() {
        let (mut guard, mut broker) = connected(16).await;
        let flood =
            tokio::spawn(async move { while broker.write_all(&[0x50, 2, 1, 2]).await.is_ok() {} });
        let error = guard.read(&mut [0; 8]).await.unwrap_err();
        assert!(error.to_string().contains("piled up"), "{error}");
        drop(guard);
        flood.await.unwrap();
    }
}
