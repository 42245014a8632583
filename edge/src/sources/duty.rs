//! What every vehicle is asked besides its profile: who it is, and what is wrong with it. Only reads.
//!
//! The VIN is asked of all ECUs by service 09 and, where none answers, of each by 22 F190; trouble codes by 03, 07 and 0A of
//! all, and by 19 02 of each ECU that the profile knows. A code that was not there in the last round is news, and what its ECU
//! kept of that moment is read: snapshot and extended data (19 04, 19 06), and of J1979 the freeze frame (`freeze.rs`).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use isotp::{
    CanId,
    uds::{Answer, Dtc, DtcStatus, ReadDtc, Request, VIN_DID, VIN_INFO_TYPE, Vin},
};
use vehicles::profile::VehicleState;

use super::freeze::FreezeFrames;

/// Between two rounds of trouble codes, while the vehicle is in use.
const ROUND: Duration = Duration::from_secs(900);
/// Status bits of codes that somebody should know of: failed now, pending, confirmed (ISO 14229-1:2020 §D.2).
const STATUS_MASK: u8 = 0x0D;
/// Requests for what was kept of codes that wait at once.
const KEPT: usize = 64;

/// A request besides the profile's.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Duty {
    /// Whom to ask.
    pub(super) asker: usize,
    /// What.
    pub(super) request: Request,
}

/// What was found out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum News {
    /// Who it is.
    Vin(Vin),
    /// Trouble codes that were not there before.
    Codes(Vec<Code>),
    /// What an ECU kept when a code was stored.
    Kept {
        /// Identifier of its answers.
        ecu: Option<CanId>,
        /// The code.
        dtc: Dtc,
        /// What it kept.
        what: Kept,
    },
}

/// What an ECU keeps of a code.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kept {
    /// Snapshot records (19 04), as the maker defines them.
    Snapshot(Vec<u8>),
    /// Extended data records (19 06), as the maker defines them: how often, how long ago.
    Extended(Vec<u8>),
    /// The freeze frame of J1979 (02): what PIDs were.
    Frame(BTreeMap<u8, Vec<u8>>),
}

/// A trouble code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Code {
    /// Identifier of the ECU's answers.
    pub(super) ecu: Option<CanId>,
    /// The code.
    pub(super) dtc: Dtc,
    /// `stored`, `pending`, `permanent` (J1979), or `uds`.
    pub(super) list: &'static str,
    /// Its status, in UDS.
    pub(super) status: Option<DtcStatus>,
}

/// What is still to be asked.
#[derive(Debug)]
pub(super) struct Duties {
    all: usize,
    ecus: Vec<(usize, CanId)>,
    vin: VecDeque<Duty>,
    known: bool,
    first: bool,
    round: VecDeque<Duty>,
    next_round: Duration,
    codes: BTreeMap<(Option<CanId>, &'static str), Vec<Dtc>>,
    frames: FreezeFrames,
}

impl Duties {
    /// `all` asks every ECU at once; `ecus` are those that are asked one by one.
    pub(super) fn new(all: usize, ecus: Vec<(usize, CanId)>) -> Self {
        let mut duties = Self {
            all,
            ecus,
            vin: VecDeque::new(),
            known: false,
            first: false,
            round: VecDeque::new(),
            next_round: Duration::ZERO,
            codes: BTreeMap::new(),
            frames: FreezeFrames::new(all),
        };
        duties.woke();
        duties
    }

    /// Whoever asks every ECU at once.
    pub(super) fn all(&self) -> usize {
        self.all
    }

    /// Whoever asks one ECU.
    pub(super) fn ecus(&self) -> Vec<usize> {
        self.ecus.iter().map(|(asker, _)| *asker).collect()
    }

    /// It may be another vehicle: it is asked who it is, and then what is wrong.
    pub(super) fn woke(&mut self) {
        self.known = false;
        self.ask_vin();
        self.round.clear();
        self.frames.clear();
        self.next_round = Duration::ZERO;
    }

    pub(super) fn identify_first(&mut self) {
        self.first = true;
    }

    fn ask_vin(&mut self) {
        let request = Request::VehicleInformation {
            info_type: VIN_INFO_TYPE,
        };
        let each = self.ecus.iter().map(|(asker, _)| Duty {
            asker: *asker,
            request: Request::did(VIN_DID),
        });
        let all = Duty {
            asker: self.all,
            request,
        };
        self.vin = std::iter::once(all).chain(each).collect();
    }

    /// What goes before the profile's commands.
    pub(super) fn urgent(&mut self, now: Duration, state: VehicleState) -> Option<Duty> {
        if state == VehicleState::Asleep || self.known {
            return None;
        }
        if self.vin.is_empty() && self.first && now >= self.next_round {
            self.next_round = now + Duration::from_secs(10);
            self.ask_vin();
        }
        self.vin.pop_front()
    }

    /// Whether the profile's commands have to wait for the VIN.
    pub(super) fn holds_back(&self) -> bool {
        self.first && !self.known
    }

    /// What can wait until no command of the profile is due.
    pub(super) fn due(&mut self, now: Duration, state: VehicleState) -> Option<Duty> {
        if state == VehicleState::Asleep || self.holds_back() {
            return None;
        }
        if self.round.is_empty() && now >= self.next_round {
            self.next_round = now + ROUND;
            let all = [
                Request::StoredDtcs,
                Request::PendingDtcs,
                Request::PermanentDtcs,
            ];
            let all = all.map(|request| Duty {
                asker: self.all,
                request,
            });
            let each = self.ecus.iter().map(|(asker, _)| Duty {
                asker: *asker,
                request: Request::ReadDtcInformation(ReadDtc::ByStatusMask(STATUS_MASK)),
            });
            self.round = all.into_iter().chain(each).collect();
        }
        self.round.pop_front().or_else(|| self.frames.ask())
    }

    /// When something is to be asked.
    pub(super) fn when(&self, state: VehicleState) -> Option<Duration> {
        if state == VehicleState::Asleep {
            return None;
        }
        let round = !self.round.is_empty() || self.frames.is_waiting();
        let now = round || !self.known && !self.vin.is_empty();
        Some(if now { Duration::ZERO } else { self.next_round })
    }

    /// What an answer says that was not known.
    pub(super) fn answered(
        &mut self,
        duty: &Duty,
        answer: &Answer,
        from: Option<CanId>,
    ) -> Option<News> {
        let one = self.ecus.iter().find(|(asker, _)| *asker == duty.asker);
        let ecu = from.or(one.map(|(_, id)| *id));
        match &duty.request {
            Request::VehicleInformation { .. } | Request::ReadDataByIdentifier { .. } => {
                let vin = answer.vin().ok()?;
                self.vin.clear();
                if std::mem::replace(&mut self.known, true) {
                    // A second ECU, which says the same.
                    return None;
                }
                self.next_round = Duration::ZERO;
                Some(News::Vin(vin))
            }
            Request::StoredDtcs => self.codes(duty, ecu, "stored", obd(answer)?),
            Request::PendingDtcs => self.codes(duty, ecu, "pending", obd(answer)?),
            Request::PermanentDtcs => self.codes(duty, ecu, "permanent", obd(answer)?),
            Request::ReadDtcInformation(ReadDtc::ByStatusMask(_)) => {
                let report = answer.dtc_report().ok()?;
                let codes = report.records.iter();
                let codes = codes.map(|record| (record.dtc, Some(record.status)));
                self.codes(duty, ecu, "uds", codes.collect())
            }
            Request::ReadDtcInformation(read) => {
                let (record, kept) = answer.dtc_detail().ok()?;
                let kind = match read {
                    ReadDtc::Snapshot { .. } => Kept::Snapshot,
                    _ => Kept::Extended,
                };
                (!kept.is_empty()).then(|| News::Kept {
                    ecu,
                    dtc: record.dtc,
                    what: kind(kept.to_vec()),
                })
            }
            Request::FreezeFrame { pid, .. } => {
                self.frames.answered(*pid, answer.record(), ecu);
                None
            }
            _ => None,
        }
    }

    /// A request has been answered by all who do, or by nobody: what is whole now.
    pub(super) fn over(&mut self, duty: &Duty) -> Option<News> {
        match &duty.request {
            Request::FreezeFrame { pid, .. } => self.frames.over(*pid),
            _ => None,
        }
    }

    fn codes(
        &mut self,
        duty: &Duty,
        ecu: Option<CanId>,
        list: &'static str,
        codes: Vec<(Dtc, Option<DtcStatus>)>,
    ) -> Option<News> {
        let now = codes.iter().map(|(dtc, _)| *dtc).collect();
        let before = self.codes.insert((ecu, list), now).unwrap_or_default();
        let new: Vec<_> = codes
            .into_iter()
            .filter(|(dtc, _)| !before.contains(dtc))
            .map(|(dtc, status)| Code {
                ecu,
                dtc,
                list,
                status,
            })
            .collect();
        if list == "stored" && !new.is_empty() {
            self.frames.look();
        }
        let uds = new.iter().filter(|_| list == "uds");
        let all = 0xFF;
        let kept = uds.flat_map(|&Code { dtc, .. }| {
            [
                ReadDtc::Snapshot { dtc, record: all },
                ReadDtc::ExtendedData { dtc, record: all },
            ]
        });
        for read in kept {
            let kept = Duty {
                asker: duty.asker,
                request: Request::ReadDtcInformation(read),
            };
            if self.round.len() < KEPT && !self.round.contains(&kept) {
                self.round.push_back(kept);
            }
        }
        (!new.is_empty()).then_some(News::Codes(new))
    }
}

fn obd(answer: &Answer) -> Option<Vec<(Dtc, Option<DtcStatus>)>> {
    let codes = answer.obd_dtcs().ok()?;
    Some(codes.into_iter().map(|dtc| (dtc, None)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(duty: &Duty, payload: &[u8]) -> Answer {
        Answer::new(duty.request.clone(), payload.to_vec()).unwrap()
    }

    #[test]
    fn who_it_is_and_then_what_is_wrong() {
        let id: CanId = "7EC".parse().unwrap();
        let mut duties = Duties::new(1, vec![(0, id)]);
        duties.identify_first();
        let (s, awake) = (Duration::from_secs, VehicleState::Awake);
        assert_eq!(duties.urgent(s(1), VehicleState::Asleep), None);
        let ask = duties.urgent(s(1), awake).unwrap();
        assert_eq!((ask.asker, duties.due(s(1), awake)), (1, None));
        assert!(duties.holds_back());
        // Nobody answered: each is asked.
        let ask = duties.urgent(s(2), awake).unwrap();
        let vin = answer(&ask, b"\x62\xF1\x901M8GDM9AXKP042788");
        assert!(matches!(
            duties.answered(&ask, &vin, None),
            Some(News::Vin(_))
        ));
        assert_eq!(duties.urgent(s(3), awake), None);
        let mut asked = Vec::new();
        while let Some(duty) = duties.due(s(3), awake) {
            asked.push(duty);
        }
        assert_eq!(asked.len(), 4);
        let report = answer(&asked[3], &[0x59, 0x02, 0xFF, 0x0A, 0x1B, 0x00, 0x09]);
        let Some(News::Codes(codes)) = duties.answered(&asked[3], &report, None) else {
            panic!()
        };
        assert_eq!(
            (codes[0].dtc.to_string().as_str(), codes[0].ecu),
            ("P0A1B-00", Some(id))
        );
        let snapshot = duties.due(s(3), awake).unwrap();
        let kept = answer(&snapshot, &[0x59, 0x04, 0x0A, 0x1B, 0x00, 0x09, 0x01, 0x01]);
        assert_eq!(
            duties.answered(&snapshot, &kept, None),
            Some(News::Kept {
                ecu: Some(id),
                dtc: Dtc::uds([0x0A, 0x1B, 0x00]),
                what: Kept::Snapshot(vec![1, 1]),
            })
        );
        let extended = duties.due(s(3), awake).unwrap();
        let kept = answer(&extended, &[0x59, 0x06, 0x0A, 0x1B, 0x00, 0x09, 0x01, 0x05]);
        let Some(News::Kept { what, .. }) = duties.answered(&extended, &kept, None) else {
            panic!()
        };
        assert_eq!(what, Kept::Extended(vec![1, 5]));
        // The next round: the code is not news any more.
        assert_eq!(duties.due(s(900), awake), None);
        assert!(duties.due(s(904), awake).is_some());
        assert_eq!(duties.answered(&asked[3], &report, None), None);
        // Gone and there again, it is.
        let none = answer(&asked[3], &[0x59, 0x02, 0xFF]);
        assert_eq!(duties.answered(&asked[3], &none, None), None);
        assert!(duties.answered(&asked[3], &report, None).is_some());
    }
}
