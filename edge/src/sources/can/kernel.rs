//! The kernel's SocketCAN, classic and FD.

use std::sync::Arc;

use isotp::{CanId, Frame};
use socketcan::{
    CanAnyFrame, CanFdFrame, CanFrame, EmbeddedFrame as _, Frame as _, Id, SocketOptions as _,
    id::ERR_MASK_ALL, tokio::CanFdSocket,
};

use super::{BusError, Received};
use crate::clock::Clock;

/// A raw socket on one interface.
#[derive(Debug)]
pub struct Kernel {
    socket: CanFdSocket,
    name: String,
    clock: Arc<Clock>,
}

impl Kernel {
    pub(super) fn open(name: &str, clock: Arc<Clock>) -> Result<Self, BusError> {
        let failed = || {
            format!("CAN interface {name} (does `ip link show {name}` show it up, with a bitrate?)")
        };
        let socket = CanFdSocket::open(name).map_err(BusError::io(failed()))?;
        socket
            .set_error_mask(ERR_MASK_ALL)
            .map_err(BusError::io(failed()))?;
        Ok(Self {
            socket,
            name: name.to_owned(),
            clock,
        })
    }

    pub(super) async fn receive(&mut self) -> Result<Received, BusError> {
        loop {
            let frame = self
                .socket
                .read_frame()
                .await
                .map_err(BusError::io(format!("CAN interface {}", self.name)))?;
            let time_us = self.clock.now_us();
            let received = match &frame {
                CanAnyFrame::Normal(frame) => {
                    Frame::classic(id(frame.raw_id(), frame.is_extended())?, frame.data())
                }
                CanAnyFrame::Fd(frame) => {
                    Frame::fd(id(frame.raw_id(), frame.is_extended())?, frame.data())
                }
                CanAnyFrame::Remote(_) => continue,
                CanAnyFrame::Error(error) => {
                    tracing::warn!(interface = self.name, error = %error.into_error().first(), "CAN error frame");
                    continue;
                }
            };
            match received {
                Ok(frame) => return Ok(Received { time_us, frame }),
                Err(error) => {
                    tracing::warn!(interface = self.name, %error, "a frame of an impossible length is ignored");
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
            self.socket
                .write_frame(&CanFdFrame::new(id, frame.data()).ok_or_else(refused)?)
                .await
        } else {
            self.socket
                .write_frame(&CanFrame::new(id, frame.data()).ok_or_else(refused)?)
                .await
        };
        sent.map_err(BusError::io(format!(
            "sending on CAN interface {}",
            self.name
        )))
    }
}

fn id(raw: u32, extended: bool) -> Result<CanId, BusError> {
    let id = if extended {
        CanId::extended(raw)
    } else {
        CanId::standard(raw)
    };
    id.map_err(|error| BusError::Peer(error.to_string()))
}
