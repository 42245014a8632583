//! Has ECUs forget their trouble codes (14), one after the other.

use std::collections::VecDeque;

use isotp::uds::Request;

use super::{Output, Poller};
use crate::sources::duty::Duty;

/// `groupOfDTC` that is all of them (ISO 14229-1:2020 §D.1).
const ALL_CODES: u32 = 0xFF_FFFF;

/// Trouble codes that are being cleared.
#[derive(Debug)]
pub(super) struct Clearing {
    pub(super) left: VecDeque<Duty>,
    pub(super) cleared: usize,
    pub(super) refused: Vec<String>,
}

impl Poller {
    /// Every ECU that the profile knows, or all at once if it knows none, is told to forget its trouble codes (14).
    /// Whoever calls this has the authority to, and knows that the vehicle stands still; [`Output::Cleared`] ends it.
    pub(in crate::sources) fn clear_codes(&mut self) {
        let ecus = self.duties.ecus();
        let askers = if ecus.is_empty() {
            vec![self.duties.all()]
        } else {
            ecus
        };
        let request = Request::ClearDiagnosticInformation { group: ALL_CODES };
        let left = askers.into_iter().map(|asker| Duty {
            asker,
            request: request.clone(),
        });
        self.clearing = Some(Clearing {
            left: left.collect(),
            cleared: 0,
            refused: Vec::new(),
        });
    }

    /// What is not asked yet of that is not asked any more.
    pub(in crate::sources) fn stop_clearing(&mut self) {
        self.clearing = None;
    }

    /// Whether codes are being cleared.
    pub(in crate::sources) fn is_clearing(&self) -> bool {
        self.clearing.is_some()
    }

    /// What has become of clearing codes.
    pub(super) fn cleared(&mut self) -> Option<Output> {
        let clearing = self.clearing.take()?;
        // What is there now is asked for.
        self.duties.woke();
        Some(Output::Cleared(match clearing.refused.as_slice() {
            [] if clearing.cleared > 0 => Ok(clearing.cleared),
            [] => Err("no ECU answers".to_owned()),
            refused => Err(format!(
                "{} cleared; {}",
                clearing.cleared,
                refused.join("; ")
            )),
        }))
    }
}
