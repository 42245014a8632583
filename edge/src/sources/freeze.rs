//! The freeze frame of J1979: what the PIDs were when an ECU stored a code (service 02). Pure.
//!
//! 1. Every ECU is asked which code its frame belongs to (PID 02); 0 is none.
//! 2. Of an ECU that has one, the bitmaps say which PIDs are in it (00, 20, …).
//! 3. Each of them is asked, one at a time; what is not answered is left out.

use std::collections::{BTreeMap, VecDeque};

use isotp::{
    CanId,
    uds::{Dtc, Request, SupportedIds},
};

use super::duty::{Duty, Kept, News};

/// The PID of the code that caused the frame.
const CAUSE: u8 = 0x02;
/// The number of the frame that the law wants.
const FRAME: u8 = 0;

/// Freeze frames that are being read, one after the other.
#[derive(Debug)]
pub(super) struct FreezeFrames {
    /// Whoever asks every ECU at once.
    all: usize,
    /// Frames that were found, the first is being read.
    found: VecDeque<Found>,
    /// What is still to be asked of it; PID 02 is of all.
    left: VecDeque<u8>,
}

#[derive(Debug)]
struct Found {
    ecu: Option<CanId>,
    dtc: Dtc,
    values: BTreeMap<u8, Vec<u8>>,
}

impl FreezeFrames {
    pub(super) fn new(all: usize) -> Self {
        Self {
            all,
            found: VecDeque::new(),
            left: VecDeque::new(),
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.all);
    }

    /// A code was stored: there may be a frame.
    pub(super) fn look(&mut self) {
        if self.found.is_empty() && !self.is_waiting() {
            self.left.push_back(CAUSE);
        }
    }

    /// Whether something is still to be asked.
    pub(super) fn is_waiting(&self) -> bool {
        !self.left.is_empty()
    }

    /// What to ask next.
    pub(super) fn ask(&mut self) -> Option<Duty> {
        let pid = self.left.pop_front()?;
        Some(Duty {
            asker: self.all,
            request: Request::FreezeFrame { pid, frame: FRAME },
        })
    }

    /// What an ECU says of a PID.
    pub(super) fn answered(&mut self, pid: u8, value: &[u8], ecu: Option<CanId>) {
        if pid == CAUSE {
            if let &[high, low] = value
                && (high, low) != (0, 0)
            {
                self.found.push_back(Found {
                    ecu,
                    dtc: Dtc::obd([high, low]),
                    values: BTreeMap::new(),
                });
            }
            return;
        }
        let Some(first) = self.found.front_mut().filter(|found| found.ecu == ecu) else {
            return;
        };
        if !pid.is_multiple_of(0x20) {
            first.values.insert(pid, value.to_vec());
            return;
        }
        let bytes = value.try_into().ok();
        let Some(map) = bytes.and_then(|bytes| SupportedIds::new(pid, bytes)) else {
            return;
        };
        let wanted = map.iter().filter(|pid| *pid != CAUSE);
        self.left
            .extend(wanted.filter(|pid| !pid.is_multiple_of(0x20)));
        self.left.extend(map.next());
    }

    /// Everybody has answered who does, of one request at a time: the frame that is whole now.
    pub(super) fn over(&mut self, pid: u8) -> Option<News> {
        if !self.left.is_empty() {
            return None;
        }
        let whole = (pid != CAUSE).then(|| self.found.pop_front()).flatten();
        if !self.found.is_empty() {
            self.left.push_back(0);
        }
        whole.map(|Found { ecu, dtc, values }| News::Kept {
            ecu,
            dtc,
            what: Kept::Frame(values),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out when two ECUs answer from these tables.
    fn read(ecus: &[(CanId, BTreeMap<u8, Vec<u8>>)]) -> (Vec<u8>, Vec<News>) {
        let mut frames = FreezeFrames::new(7);
        frames.look();
        frames.look();
        let (mut asked, mut news) = (Vec::new(), Vec::new());
        while let Some(duty) = frames.ask() {
            let Request::FreezeFrame { pid, frame: 0 } = duty.request else {
                panic!("{duty:?}")
            };
            asked.push(pid);
            for (id, values) in ecus {
                if let Some(value) = values.get(&pid) {
                    frames.answered(pid, value, Some(*id));
                }
            }
            news.extend(frames.over(pid));
        }
        (asked, news)
    }

    #[test]
    fn what_the_pids_were_is_read_of_each_ecu_that_kept_it() {
        let map = |base, pids: &[u8]| {
            let map = SupportedIds::of(base, pids.iter().copied()).unwrap();
            (base, map.to_bytes().to_vec())
        };
        let ids: [CanId; 3] = ["7E8", "7EA", "7EC"].map(|id| id.parse().unwrap());
        let first = BTreeMap::from([
            (2, vec![0x0A, 0x1B]),
            map(0, &[2, 4, 0x0D, 0x20]),
            map(0x20, &[0x42]),
            map(0x40, &[]),
            (4, vec![0x80]),
            (0x0D, vec![50]),
        ]);
        // It has no code, and answers the same PIDs with other values.
        let none = BTreeMap::from([(2, vec![0, 0]), map(0, &[4]), (4, vec![1])]);
        let third = BTreeMap::from([(2, vec![0xC1, 0x00]), map(0, &[2, 0x0D]), (0x0D, vec![7])]);
        let (asked, news) = read(&[(ids[0], first), (ids[1], none.clone()), (ids[2], third)]);
        let kept = |ecu, code, values| News::Kept {
            ecu: Some(ecu),
            dtc: Dtc::obd(code),
            what: Kept::Frame(values),
        };
        assert_eq!(
            news,
            [
                kept(
                    ids[0],
                    [0x0A, 0x1B],
                    BTreeMap::from([(4, vec![0x80]), (0x0D, vec![50])])
                ),
                kept(ids[2], [0xC1, 0x00], BTreeMap::from([(0x0D, vec![7])])),
            ]
        );
        assert_eq!(asked, [2, 0, 4, 0x0D, 0x20, 0, 0x0D]);
        assert_eq!(read(&[(ids[1], none)]), (vec![2], vec![]));
        assert_eq!(read(&[]), (vec![2], vec![]));
    }
}
