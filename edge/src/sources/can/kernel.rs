//! The kernel's SocketCAN, classic and FD (Documentation/networking/can.rst).
//!
//! Frames are read with `recvmsg`, because only its control messages tell how many frames the kernel has dropped for
//! want of room in the socket's queue (`SO_RXQ_OVFL`).

use std::{
    io::{self, IoSliceMut},
    os::fd::AsRawFd as _,
    sync::Arc,
};

use isotp::Frame;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::RxqOvfl};
use socketcan::{
    CanFdFrame, CanFdSocket, CanFilter, CanFrame, EmbeddedFrame as _, Id, Socket as _,
    SocketOptions as _, id::ERR_MASK_ALL,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::{
    BusError, Received,
    wire::{self, Read},
};
use crate::clock::Clock;

/// `CAN_RAW_FILTER_MAX` of linux/can/raw.h.
const MOST_FILTERS: usize = 512;

/// A raw socket on one interface.
#[derive(Debug)]
pub struct Kernel {
    socket: AsyncFd<CanFdSocket>,
    name: String,
    clock: Arc<Clock>,
    /// The kernel's count when it was last told; it wraps.
    drops: u32,
    dropped: u64,
    /// Why the interface can be read no more.
    failed: Option<io::Error>,
}

impl Kernel {
    pub(super) fn open(name: &str, clock: Arc<Clock>) -> Result<Self, BusError> {
        let opened = || -> io::Result<_> {
            let socket = CanFdSocket::open(name)?;
            socket.set_error_mask(ERR_MASK_ALL)?;
            setsockopt(&socket, RxqOvfl, &1)?;
            socket.set_nonblocking(true)?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe because of types whose descriptor may change; a socket owns one for life"
            )]
            AsyncFd::new(socket)
        };
        Ok(Self {
            socket: opened().map_err(BusError::io(format!(
                "CAN interface {name} (does `ip link show {name}` show it up, with a bitrate?)"
            )))?,
            name: name.to_owned(),
            clock,
            drops: 0,
            dropped: 0,
            failed: None,
        })
    }

    /// Lets the kernel pass only frames with these identifiers; error frames always pass. More identifiers than the kernel
    /// takes leave everything passing.
    pub(super) fn listen_to(&self, ids: &[isotp::CanId]) -> Result<(), BusError> {
        if ids.len() > MOST_FILTERS {
            return Ok(());
        }
        // The mask has the flags for 29 bits and for remote frames in it: 0x7e0 is not 0x000007e0, and no remote frame.
        let filters: Vec<_> = ids
            .iter()
            .map(|id| CanFilter::new(wire::id_word(*id), wire::ID_AND_FLAGS))
            .collect();
        self.socket
            .get_ref()
            .set_filters(&filters)
            .map_err(BusError::io(format!("filters of {}", self.name)))
    }

    /// Frames that the kernel has dropped because we were too slow, as far as it has told: it tells with the next frame.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Of an interface that goes down the kernel tells first, and of the frames that came before it afterwards: they are
    /// read before the error is told.
    async fn next(&mut self, bytes: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
        if self.failed.is_none() {
            let read = self
                .socket
                .async_io(Interest::READABLE, |socket| receive(socket, bytes))
                .await;
            match read {
                Ok(read) => return Ok(read),
                Err(error) => self.failed = Some(error),
            }
        }
        match receive(self.socket.get_ref(), bytes) {
            Ok(read) => Ok(read),
            Err(empty) => Err(self.failed.take().unwrap_or(empty)),
        }
    }

    pub(super) async fn receive(&mut self) -> Result<Received, BusError> {
        loop {
            let mut bytes = [0; wire::LONGEST];
            let (length, drops) = match self.next(&mut bytes).await {
                Ok(read) => read,
                Err(error) => {
                    let what = format!("CAN interface {}", self.name);
                    return Err(BusError::io(what)(error));
                }
            };
            let time_us = self.clock.now_us();
            if let Some(drops) = drops.filter(|drops| *drops != self.drops) {
                let new = drops.wrapping_sub(self.drops);
                self.drops = drops;
                self.dropped += u64::from(new);
                tracing::warn!(
                    interface = self.name,
                    new,
                    all = self.dropped,
                    "the kernel dropped CAN frames: this machine is too slow"
                );
            }
            match wire::read(&bytes[..length]) {
                Ok(Read::Frame(frame)) => return Ok(Received { time_us, frame }),
                Ok(Read::Remote) => {}
                Ok(Read::Error(error)) if error.is_bus_off() => {
                    tracing::error!(interface = self.name, %error, "bus off: `ip link set {} type can restart-ms 100` lets the controller come back by itself", self.name);
                }
                Ok(Read::Error(error)) => {
                    tracing::warn!(interface = self.name, %error, "CAN error frame");
                }
                Err(error) => {
                    tracing::warn!(interface = self.name, %error, "what the kernel gave is no frame");
                }
            }
        }
    }

    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), BusError> {
        let refused = || BusError::Peer(format!("{frame} is no frame that the kernel takes"));
        let id = if frame.id().is_extended() {
            Id::Extended(socketcan::ExtendedId::new(frame.id().raw()).ok_or_else(refused)?)
        } else {
            let raw = u16::try_from(frame.id().raw()).ok();
            Id::Standard(
                raw.and_then(socketcan::StandardId::new)
                    .ok_or_else(refused)?,
            )
        };
        let sent = if frame.is_fd() {
            let frame = CanFdFrame::new(id, frame.data()).ok_or_else(refused)?;
            self.socket
                .async_io(Interest::WRITABLE, |socket| socket.write_frame(&frame))
                .await
        } else {
            let frame = CanFrame::new(id, frame.data()).ok_or_else(refused)?;
            self.socket
                .async_io(Interest::WRITABLE, |socket| socket.write_frame(&frame))
                .await
        };
        sent.map_err(BusError::io(format!(
            "sending on CAN interface {}",
            self.name
        )))
    }
}

/// One frame's bytes, and the kernel's count of dropped frames when it has dropped any.
fn receive(socket: &CanFdSocket, bytes: &mut [u8]) -> io::Result<(usize, Option<u32>)> {
    let mut control = nix::cmsg_space!(u32);
    let mut parts = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let drops = message.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::RxqOvfl(drops) => Some(drops),
        _ => None,
    });
    Ok((message.bytes, drops))
}
