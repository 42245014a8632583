//! An ELM327 or STN adapter as a bus. It hears nothing but answers; whether the vehicle is awake by itself shows in the
//! voltage at its connector.

use std::{sync::Arc, time::Duration};

use ::elm327::{Adapter, Config, Event, Output, Route};
use firmware_config::gateway::Port;
use isotp::Frame;

use super::{BusError, Heard, Received, port::TextLine};
use crate::clock::Clock;

/// An adapter under way.
#[derive(Debug)]
pub struct Elm327 {
    line: TextLine,
    adapter: Adapter,
    clock: Arc<Clock>,
    /// Written in part when the wait was dropped.
    unwritten: Vec<u8>,
}

impl Elm327 {
    pub(super) async fn open(
        port: &Port,
        bitrate: u32,
        clock: Arc<Clock>,
    ) -> Result<Self, BusError> {
        Ok(Self {
            line: TextLine::open(port).await?,
            adapter: Adapter::new(Config {
                bitrate,
                ..Config::default()
            }),
            clock,
            unwritten: Vec::new(),
        })
    }

    pub(super) fn know(&mut self, routes: &[Route]) {
        self.adapter.know(routes.iter().copied());
    }

    pub(super) fn send(&mut self, frame: &Frame) -> Result<(), BusError> {
        self.adapter
            .send(*frame)
            .map_err(|error| BusError::Refused(error.to_string()))
    }

    pub(super) async fn receive(&mut self) -> Result<Heard, BusError> {
        loop {
            if !self.unwritten.is_empty() {
                // A line is short and goes into the system's buffer at once; dropped half way it would be written again,
                // which an adapter takes for one long command that it does not know.
                let bytes = self.unwritten.clone();
                self.line.write(&bytes).await?;
                self.unwritten.clear();
            }
            let time_us = self.clock.now_us();
            let now = Duration::from_micros(u64::try_from(time_us).unwrap_or(0));
            match self.adapter.poll(now) {
                Some(Output::Write(bytes)) => self.unwritten = bytes,
                Some(Output::Frame(frame)) => return Ok(Heard::Frame(Received { time_us, frame })),
                Some(Output::Voltage(millivolts)) => {
                    return Ok(Heard::Voltage {
                        time_us,
                        millivolts,
                    });
                }
                Some(Output::Event(event)) => tell(&self.line, &event),
                Some(Output::Dead) => {
                    return Err(BusError::Peer(format!("{:?} does not answer", self.line)));
                }
                None => {
                    let deadline = self.adapter.next_deadline().unwrap_or(Duration::MAX);
                    let wait = deadline.saturating_sub(now).min(Duration::from_secs(60));
                    let mut some = [0; 1024];
                    tokio::select! {
                        read = self.line.read(&mut some) => {
                            let count = read?;
                            let now = Duration::from_micros(u64::try_from(self.clock.now_us()).unwrap_or(0));
                            self.adapter.on_bytes(now, &some[..count]);
                        }
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }
}

fn tell(line: &TextLine, event: &Event) {
    match event {
        Event::Ready(name) => tracing::info!(adapter = ?line, name, "the adapter is ready"),
        Event::Lacks(command) => {
            tracing::warn!(adapter = ?line, command, "the adapter does not know this command");
        }
        Event::Reset(why) => tracing::warn!(adapter = ?line, why, "the adapter is set up anew"),
        Event::Said(message) => tracing::debug!(adapter = ?line, ?message, "the adapter says"),
        Event::Damaged(damage) => {
            tracing::warn!(adapter = ?line, ?damage, "a line of the adapter is left out");
        }
    }
}
