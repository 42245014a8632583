//! What became of deliveries, and the acknowledgements that say so.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use shared_protocol::{Ack, Answer, BlockNumber, Digest, Epoch, GatewayId, Stream, Verdict};

/// Most verdicts, and most answers, of one acknowledgement: with the longest texts and the most ranges it is still
/// shorter than an envelope may be.
const MOST_VERDICTS: usize = 1000;
const MOST_ANSWERS: usize = 32;
/// Longest text in a verdict, in bytes.
const LONGEST_TEXT: usize = 200;

/// Why something was not stored. The word is what tables and metrics say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Not a message of this protocol, or of another version or kind.
    Foreign,
    /// Cut off or altered on the way: length, checksum or header do not agree.
    Damaged,
    /// Nobody registered a gateway of this name.
    UnknownGateway,
    /// Signed by none of the gateway's keys.
    WrongSignature,
    /// Signed by another key of the gateway than its epoch's first block.
    WrongKey,
    /// Signed by a key, or sent by a gateway, that was revoked.
    Revoked,
    /// The gateway signed it, but its content contradicts the format.
    Unreadable,
    /// A value or a time that cannot be true, a text that cannot be kept, a content that does not belong to its stream.
    Impossible,
    /// It defines a column anew that was defined otherwise.
    ColumnChanged,
    /// Its number was given to another content before.
    NumberReused,
    /// It names more assets than a depot has.
    TooManyAssets,
    /// It names more signals outside the catalogue than a depot has.
    TooManySignals,
    /// The database refused its rows.
    DatabaseRefused,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Foreign,
        Self::Damaged,
        Self::UnknownGateway,
        Self::WrongSignature,
        Self::WrongKey,
        Self::Revoked,
        Self::Unreadable,
        Self::Impossible,
        Self::ColumnChanged,
        Self::NumberReused,
        Self::TooManyAssets,
        Self::TooManySignals,
        Self::DatabaseRefused,
    ];

    /// The word in tables and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Foreign => "foreign",
            Self::Damaged => "damaged",
            Self::UnknownGateway => "unknown_gateway",
            Self::WrongSignature => "wrong_signature",
            Self::WrongKey => "wrong_key",
            Self::Revoked => "revoked",
            Self::Unreadable => "unreadable",
            Self::Impossible => "impossible",
            Self::ColumnChanged => "column_changed",
            Self::NumberReused => "number_reused",
            Self::TooManyAssets => "too_many_assets",
            Self::TooManySignals => "too_many_signals",
            Self::DatabaseRefused => "database_refused",
        }
    }

    /// The reason with this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// What became of one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// Its rows are committed: now (`new`), or by an earlier delivery.
    Stored {
        /// Whether this delivery did it.
        new: bool,
        /// How many samples, records or definitions it carries.
        samples: u32,
    },
    /// It says that a block was dropped which the cloud has, under this digest: the block's rows stay.
    Superseded {
        /// The digest of the block.
        kept: Digest,
    },
    /// It cannot be used; it is kept, and its number is closed.
    Quarantined {
        /// Why, in a word.
        reason: Reason,
        /// Why, for people.
        detail: String,
    },
    /// Nobody can say that the gateway sent it: no verdict. It is kept as long as not too many like it come.
    Rejected {
        /// Why, in a word.
        reason: Reason,
        /// Why, for people.
        detail: String,
    },
    /// The gateway's, but it or its key was revoked.
    Refused {
        /// Which of them.
        detail: String,
    },
    /// The definitions of its epoch's columns from this number on have to come first.
    ColumnsNeeded(u32),
    /// Nothing happened, and no verdict is given; deliver it again later.
    NotStored {
        /// Why.
        detail: String,
    },
}

/// One delivery's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Who sent it, when its signature says so.
    pub gateway: Option<GatewayId>,
    /// Its number, when its signature says so.
    pub number: Option<BlockNumber>,
    /// The digest of its bytes.
    pub digest: Digest,
    /// What became of it.
    pub result: OutcomeKind,
    /// The closed numbers of its stream afterwards, as far as they were looked at.
    pub done: Arc<[(u64, u64)]>,
}

impl Outcome {
    /// Whether the broker may forget it. What is not settled has to be delivered again.
    pub fn settled(&self) -> bool {
        !matches!(self.result, OutcomeKind::NotStored { .. })
    }

    /// The verdicts that its gateway is told, by digest.
    fn verdicts(&self) -> impl Iterator<Item = (Digest, Verdict)> {
        let (own, other) = match &self.result {
            OutcomeKind::Stored { .. } => (Some(Verdict::Stored), None),
            OutcomeKind::Superseded { kept } => (Some(Verdict::Stored), Some(*kept)),
            OutcomeKind::Quarantined { reason, detail } => {
                let text = short(&format!("{}: {detail}", reason.name()), LONGEST_TEXT);
                (Some(Verdict::Quarantined(text)), None)
            }
            OutcomeKind::Refused { detail } => {
                (Some(Verdict::Refused(short(detail, LONGEST_TEXT))), None)
            }
            OutcomeKind::ColumnsNeeded(first) => (Some(Verdict::ColumnsNeeded(*first)), None),
            OutcomeKind::Rejected { .. } | OutcomeKind::NotStored { .. } => (None, None),
        };
        let own = own.map(|verdict| (self.digest, verdict));
        own.into_iter()
            .chain(other.map(|kept| (kept, Verdict::Stored)))
    }
}

/// The text, cut after so many bytes, without control characters.
pub(crate) fn short(text: &str, longest: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if out.len() + c.len_utf8() > longest {
            break;
        }
        out.push(c);
    }
    out
}

/// The acknowledgements for what these outcomes say, gateway by gateway. What was rejected or not stored is not
/// mentioned.
pub fn acks(outcomes: &[Outcome], now: Timestamp) -> Vec<Ack> {
    type Said = (Arc<[(u64, u64)]>, BTreeMap<(u64, Digest), Verdict>);
    let mut by_gateway: BTreeMap<&GatewayId, BTreeMap<(Epoch, Stream), Said>> = BTreeMap::new();
    for outcome in outcomes {
        let (Some(gateway), Some(number)) = (&outcome.gateway, outcome.number) else {
            continue;
        };
        let mut verdicts = outcome.verdicts().peekable();
        if verdicts.peek().is_none() {
            continue;
        }
        let (done, blocks) = by_gateway
            .entry(gateway)
            .or_default()
            .entry((number.epoch, number.stream))
            .or_default();
        // A ledger only grows: of several looks at it, the one that saw most is the newest.
        if count(&outcome.done) > count(done) {
            *done = Arc::clone(&outcome.done);
        }
        // What was said last is what holds.
        blocks.extend(verdicts.map(|(digest, verdict)| ((number.seq, digest), verdict)));
    }
    let mut acks = Vec::new();
    for (gateway, streams) in by_gateway {
        let mut answers = Vec::new();
        let mut verdicts = 0;
        for ((epoch, stream), (done, blocks)) in streams {
            let blocks: Vec<_> = blocks
                .into_iter()
                .map(|((seq, digest), verdict)| (seq, digest, verdict))
                .collect();
            for blocks in blocks.chunks(MOST_VERDICTS) {
                if answers.len() >= MOST_ANSWERS || verdicts + blocks.len() > MOST_VERDICTS {
                    acks.push(ack(gateway, now, std::mem::take(&mut answers)));
                    verdicts = 0;
                }
                verdicts += blocks.len();
                answers.push(Answer {
                    epoch,
                    stream,
                    done: done.to_vec(),
                    blocks: blocks.to_vec(),
                });
            }
        }
        acks.push(ack(gateway, now, answers));
    }
    acks
}

/// The acknowledgement of these answers.
pub(crate) fn ack(gateway: &GatewayId, now: Timestamp, answers: Vec<Answer>) -> Ack {
    Ack {
        gateway: gateway.clone(),
        time_us: now.as_microsecond(),
        answers,
    }
}

fn count(done: &[(u64, u64)]) -> u64 {
    done.iter()
        .fold(0, |sum, (first, last)| sum.saturating_add(last - first + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::SigningKey;

    fn outcome(gateway: &str, seq: u64, result: OutcomeKind, done: Vec<(u64, u64)>) -> Outcome {
        let mut digest = [0; 16];
        digest[..8].copy_from_slice(&seq.to_le_bytes());
        Outcome {
            gateway: Some(gateway.parse().unwrap()),
            number: Some(BlockNumber {
                epoch: Epoch {
                    counter: u32::MAX,
                    nonce: u64::MAX,
                },
                stream: Stream::Live,
                seq,
            }),
            digest: Digest(digest),
            result,
            done: done.into(),
        }
    }

    fn stored() -> OutcomeKind {
        OutcomeKind::Stored {
            new: true,
            samples: 1,
        }
    }

    #[test]
    fn each_gateway_gets_its_answers_and_nobody_hears_of_what_is_not_believed() {
        let rejected = OutcomeKind::Rejected {
            reason: Reason::WrongSignature,
            detail: "x".into(),
        };
        let not_stored = OutcomeKind::NotStored { detail: "x".into() };
        let kept = Digest([9; 16]);
        let outcomes = [
            outcome("b", 5, stored(), vec![(0, 5)]),
            outcome("a", 1, stored(), vec![(0, 1)]),
            outcome("b", 4, OutcomeKind::Superseded { kept }, vec![(0, 4)]),
            outcome("b", 5, stored(), vec![(0, 5)]),
            outcome("c", 1, rejected, vec![(0, 9)]),
            outcome("d", 1, not_stored, vec![(0, 9)]),
        ];
        let acks = acks(&outcomes, Timestamp::UNIX_EPOCH);
        let of: Vec<_> = acks.iter().map(|ack| ack.gateway.as_str()).collect();
        assert_eq!(of, ["a", "b"]);
        let b = &acks[1].answers[0];
        assert_eq!(b.done, [(0, 5)]);
        assert_eq!(b.blocks.len(), 3, "a verdict is said once");
        assert!(b.blocks.contains(&(4, kept, Verdict::Stored)));
        assert!(outcomes[4].settled() && !outcomes[5].settled());
    }

    #[test]
    fn the_longest_acknowledgement_fits_an_envelope() {
        let done: Vec<_> = (0..crate::ranges::MOST_RANGES as u64)
            .map(|n| ((1 << 62) + n * 4, (1 << 62) + n * 4 + 1))
            .collect();
        let detail = "ü".repeat(400);
        let outcomes: Vec<_> = (0..2500u64)
            .map(|n| {
                let result = OutcomeKind::Quarantined {
                    reason: Reason::Impossible,
                    detail: detail.clone(),
                };
                let mut outcome = outcome(
                    "depot-with-the-longest-name-of-3",
                    (1 << 62) + n,
                    result,
                    done.clone(),
                );
                if let Some(number) = &mut outcome.number {
                    number.epoch.nonce = n % 70;
                }
                outcome
            })
            .collect();
        let key = SigningKey::from_seed([1; 32]);
        let acks = acks(&outcomes, Timestamp::UNIX_EPOCH);
        let mut said = 0;
        for ack in &acks {
            assert!(ack.seal(&key).is_some());
            said += ack
                .answers
                .iter()
                .map(|answer| answer.blocks.len())
                .sum::<usize>();
        }
        assert_eq!(said, outcomes.len());
    }

    #[test]
    fn words_of_reasons() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.name()), Some(reason));
        }
        assert_eq!(Reason::from_name(""), None);
        assert_eq!(short("aü\0b", 4), "aü ");
    }
}
