//! What every vehicle is asked besides its profile: who it is, and what is wrong with it. Only reads.
//!
//! The VIN is asked of all ECUs by service 09 and, where none answers, of each by 22 F190; trouble codes by 03, 07 and 0A of
//! all, and by 19 02 of each ECU that the profile knows. A code that was not there in the last round is news, and its
//! snapshot is read (19 04; 02 02 for the codes of J1979).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use isotp::{
    CanId,
    uds::{Answer, Dtc, DtcStatus, ReadDtc, Request, VIN_DID, VIN_INFO_TYPE, Vin},
};
use vehicles::profile::VehicleState;

/// Between two rounds of trouble codes, while the vehicle is in use.
const ROUND: Duration = Duration::from_secs(900);
/// Status bits of codes that somebody should know of: failed now, pending, confirmed (ISO 14229-1:2020 §D.2).
const STATUS_MASK: u8 = 0x0D;
/// Snapshots that wait to be read.
const SNAPSHOTS: usize = 32;

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
    /// What an ECU kept when a code was stored, as its maker defines it.
    Snapshot {
        /// Identifier of its answers.
        ecu: Option<CanId>,
        /// The code.
        dtc: Dtc,
        /// The record.
        record: Vec<u8>,
    },
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
        self.round.pop_front()
    }

    /// When something is to be asked.
    pub(super) fn when(&self, state: VehicleState) -> Option<Duration> {
        if state == VehicleState::Asleep {
            return None;
        }
        let now = !self.round.is_empty() || !self.known && !self.vin.is_empty();
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
            Request::ReadDtcInformation(_) => {
                let (record, snapshot) = answer.dtc_detail().ok()?;
                (!snapshot.is_empty()).then(|| News::Snapshot {
                    ecu,
                    dtc: record.dtc,
                    record: snapshot.to_vec(),
                })
            }
            Request::FreezeFrame { .. } => match *answer.record() {
                [high, low] if (high, low) != (0, 0) => Some(News::Snapshot {
                    ecu,
                    dtc: Dtc::obd([high, low]),
                    record: vec![high, low],
                }),
                _ => None,
            },
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
        for code in &new {
            let request = match list {
                "uds" => Request::ReadDtcInformation(ReadDtc::Snapshot {
                    dtc: code.dtc,
                    record: 0xFF,
                }),
                "stored" => Request::FreezeFrame { pid: 2, frame: 0 },
                _ => continue,
            };
            let snapshot = Duty {
                asker: duty.asker,
                request,
            };
            if self.round.len() < SNAPSHOTS && !self.round.contains(&snapshot) {
                self.round.push_back(snapshot);
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
        assert!(matches!(
            snapshot.request,
            Request::ReadDtcInformation(ReadDtc::Snapshot { .. })
        ));
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
