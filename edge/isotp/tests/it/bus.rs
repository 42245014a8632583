//! A bus with two ends and, if wanted, faults.

use std::time::Duration;

use isotp::{Frame, Link, Output};

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Arrives,
    Lost,
    Doubled,
    /// Arrives after so many later frames.
    Late(u8),
}

/// A frame as it was sent: by the first or the second end, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) by: usize,
    pub(crate) at: Duration,
    pub(crate) frame: Frame,
}

/// Two links, what they sent and what they told.
pub(crate) struct Bus {
    pub(crate) ends: [Link; 2],
    pub(crate) now: Duration,
    pub(crate) sent: Vec<Sent>,
    pub(crate) told: [Vec<Output>; 2],
    fates: Vec<Fate>,
    late: Vec<(u8, usize, Frame)>,
}

impl Bus {
    pub(crate) fn new(first: Link, second: Link) -> Self {
        let told = [Vec::new(), Vec::new()];
        Self {
            ends: [first, second],
            now: Duration::ZERO,
            sent: Vec::new(),
            told,
            fates: Vec::new(),
            late: Vec::new(),
        }
    }

    /// The nth frame on the bus meets the nth fate; all others arrive.
    pub(crate) fn with_fates(mut self, fates: Vec<Fate>) -> Self {
        self.fates = fates;
        self
    }

    /// The payloads an end received.
    pub(crate) fn received(&self, end: usize) -> Vec<&[u8]> {
        let payloads = self.told[end].iter().filter_map(|output| match output {
            Output::Received { payload, .. } => Some(&payload[..]),
            _ => None,
        });
        payloads.collect()
    }

    /// Whether an end reported that something failed.
    pub(crate) fn failed(&self, end: usize) -> bool {
        let failed = |o: &Output| matches!(o, Output::SendFailed(_) | Output::ReceiveFailed { .. });
        self.told[end].iter().any(failed)
    }

    /// Lets both ends work until neither has anything to do, however long that takes.
    pub(crate) fn run(&mut self) {
        loop {
            while self.step() {}
            if let Some(end) = (!self.late.is_empty()).then(|| self.late.remove(0)) {
                self.deliver(end.1, end.2);
                continue;
            }
            let next = self.ends.iter().filter_map(Link::next_deadline).min();
            match next {
                Some(at) => {
                    assert!(
                        at > self.now,
                        "an end asks to be polled and then does nothing"
                    );
                    self.now = at;
                }
                None => return,
            }
        }
    }

    /// One output of one end, the second end first, so that flow control overtakes. Returns whether there was one.
    fn step(&mut self) -> bool {
        for by in [1, 0] {
            if let Some(output) = self.ends[by].poll(self.now) {
                match output {
                    Output::Transmit(frame) => self.transmit(by, frame),
                    other => self.told[by].push(other),
                }
                return true;
            }
        }
        false
    }

    fn transmit(&mut self, by: usize, frame: Frame) {
        let fate = self
            .fates
            .get(self.sent.len())
            .copied()
            .unwrap_or(Fate::Arrives);
        self.sent.push(Sent {
            by,
            at: self.now,
            frame,
        });
        if self.ends[by].config().confirm {
            self.ends[by].transmitted(self.now);
        }
        let to = 1 - by;
        match fate {
            Fate::Arrives => self.deliver(to, frame),
            Fate::Lost => {}
            Fate::Doubled => {
                self.deliver(to, frame);
                self.deliver(to, frame);
            }
            Fate::Late(frames) => self.late.push((frames.saturating_add(1), to, frame)),
        }
        for waiting in &mut self.late {
            waiting.0 -= 1;
        }
        while let Some(due) = self.late.iter().position(|(frames, ..)| *frames == 0) {
            let (_, to, frame) = self.late.remove(due);
            self.deliver(to, frame);
        }
    }

    fn deliver(&mut self, to: usize, frame: Frame) {
        assert!(
            self.ends[to].on_frame(self.now, &frame),
            "not addressed to the other end: {frame}"
        );
    }
}
