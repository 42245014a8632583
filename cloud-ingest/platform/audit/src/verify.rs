//! Following the chains. The hash is computed here, apart from the database's own code.

use std::{collections::BTreeMap, fmt, str::FromStr};

use platform::{Db, DbError};
use sha2::{Digest as _, Sha256};
use tokio_postgres::IsolationLevel;

const PAGE: i64 = 5000;

/// Where a chain stood at some time: kept outside the database it convicts whoever rewrote the chain since. As text:
/// `tenant:seq:hash`, the hash in hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Number of the organisation, 0 for the house itself.
    pub tenant: i32,
    /// Number of the entry.
    pub seq: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.tenant, self.seq, hex::encode(self.hash))
    }
}

/// A text that is no anchor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no anchor: write organisation:entry:hash, as the verification prints it")]
pub struct NoAnchor(String);

impl FromStr for Anchor {
    type Err = NoAnchor;

    fn from_str(text: &str) -> Result<Self, NoAnchor> {
        let read = || {
            let mut parts = text.trim().splitn(3, ':');
            let (tenant, seq) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            let mut hash = [0; 32];
            hex::decode_to_slice(parts.next()?, &mut hash).ok()?;
            Some(Self { tenant, seq, hash })
        };
        read().ok_or_else(|| NoAnchor(text.chars().take(120).collect()))
    }
}

/// What is wrong with a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The entry is not the one that was written, or it does not stand where it was written.
    #[error("the entry is not as it was written")]
    Changed,
    /// There is none under this number.
    #[error("the entry is missing")]
    Missing,
    /// There are entries after the one that the head says is the last.
    #[error("the entry comes after the last one")]
    Beyond,
    /// The chain has no head, or one that does not fit its last entry.
    #[error("the head of the chain does not fit its last entry")]
    Head,
    /// It is not what an anchor says it was.
    #[error("the entry is not the one that was anchored")]
    Anchor,
}

/// A fault and its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Number of the organisation, 0 for the house itself.
    pub tenant: i32,
    /// Number of the first entry that is concerned.
    pub seq: i64,
    /// What is wrong.
    pub fault: Fault,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "organisation {}, entry {}: {}",
            self.tenant, self.seq, self.fault
        )
    }
}

/// What verification has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Entries that were looked at.
    pub entries: u64,
    /// Where each sound chain stands now: to be kept elsewhere.
    pub anchors: Vec<Anchor>,
    /// What is wrong; at most one finding for each chain and each anchor.
    pub findings: Vec<Finding>,
}

/// Follows every chain from its first entry to its head, as it stands at one instant, and compares it with anchors.
pub async fn verify(db: &Db, anchors: &[Anchor]) -> Result<Report, DbError> {
    let mut client = db.system().await?;
    let tx = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let mut report = Report::default();
    let mut heads: BTreeMap<i32, Option<Anchor>> = BTreeMap::new();
    for row in tx.query(include_str!("../queries/heads.sql"), &[]).await? {
        let tenant = row.get("tenant");
        let head = Anchor {
            tenant,
            seq: row.get("seq"),
            hash: hash_of(row.get("hash")),
        };
        heads.insert(tenant, Some(head));
    }
    let strays = tx.query(include_str!("../queries/strays.sql"), &[]).await?;
    heads.extend(strays.iter().map(|row| (row.get(0), None)));
    for anchor in anchors {
        heads.entry(anchor.tenant).or_insert(None);
    }
    for (tenant, head) in heads {
        let mut chain = Chain::new(tenant, anchors);
        loop {
            let rows = tx
                .query(
                    include_str!("../queries/page.sql"),
                    &[&tenant, &chain.seq, &PAGE],
                )
                .await?;
            report.entries += rows.len() as u64;
            let full = rows.len() as i64 == PAGE;
            if rows.iter().any(|row| !chain.follow(&Link::of(row))) || !full {
                break;
            }
        }
        chain.end(head, &mut report);
    }
    tx.commit().await?;
    Ok(report)
}

fn hash_of(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap_or([0; 32])
}

/// An entry as it is hashed.
struct Link<'a> {
    seq: i64,
    organization: Option<i32>,
    at_us: i64,
    texts: [Option<&'a str>; 6],
    hash: &'a [u8],
}

impl<'a> Link<'a> {
    fn of(row: &'a tokio_postgres::Row) -> Self {
        let text = |name| row.get::<_, Option<&str>>(name);
        Self {
            seq: row.get("seq"),
            organization: row.get("organization_id"),
            at_us: row.get("at_us"),
            texts: [
                text("actor"),
                text("action"),
                text("subject"),
                text("before"),
                text("after"),
                text("request_id"),
            ],
            hash: row.get("hash"),
        }
    }

    fn hash_after(&self, last: &[u8; 32]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(last);
        hasher.update(self.seq.to_be_bytes());
        hasher.update(self.organization.unwrap_or(0).to_be_bytes());
        hasher.update(self.at_us.to_be_bytes());
        for text in self.texts {
            match text {
                Some(text) => {
                    hasher.update((text.len() as i32).to_be_bytes());
                    hasher.update(text.as_bytes());
                }
                None => hasher.update((-1_i32).to_be_bytes()),
            }
        }
        hasher.finalize().into()
    }
}

/// A chain that is being followed.
struct Chain<'a> {
    tenant: i32,
    seq: i64,
    hash: [u8; 32],
    fault: Option<Finding>,
    anchors: Vec<&'a Anchor>,
}

impl<'a> Chain<'a> {
    fn new(tenant: i32, anchors: &'a [Anchor]) -> Self {
        Self {
            tenant,
            seq: 0,
            hash: [0; 32],
            fault: None,
            anchors: anchors.iter().filter(|a| a.tenant == tenant).collect(),
        }
    }

    fn finding(&self, seq: i64, fault: Fault) -> Finding {
        Finding {
            tenant: self.tenant,
            seq,
            fault,
        }
    }

    /// Goes on to the next entry, if it fits.
    fn follow(&mut self, link: &Link<'_>) -> bool {
        let expected = self.seq + 1;
        let fault = if link.seq == expected {
            (link.hash_after(&self.hash) != link.hash).then_some(Fault::Changed)
        } else {
            Some(Fault::Missing)
        };
        if let Some(fault) = fault {
            self.fault = Some(self.finding(expected, fault));
            return false;
        }
        self.seq = expected;
        self.hash = hash_of(link.hash);
        let (seq, hash) = (self.seq, self.hash);
        if self.anchors.iter().any(|a| a.seq == seq && a.hash != hash) {
            self.fault = Some(self.finding(seq, Fault::Anchor));
            return false;
        }
        true
    }

    fn end(self, head: Option<Anchor>, report: &mut Report) {
        let fault = self.fault.or_else(|| {
            let Some(head) = &head else {
                let fault = if self.seq > 0 {
                    Fault::Head
                } else {
                    Fault::Missing
                };
                return Some(self.finding(self.seq.max(1), fault));
            };
            match head.seq {
                last if last > self.seq => Some(self.finding(self.seq + 1, Fault::Missing)),
                last if last < self.seq => Some(self.finding(last + 1, Fault::Beyond)),
                _ if head.hash != self.hash => Some(self.finding(self.seq, Fault::Head)),
                _ => self
                    .anchors
                    .iter()
                    .find(|anchor| anchor.seq > self.seq)
                    .map(|anchor| self.finding(anchor.seq, Fault::Missing)),
            }
        });
        match (fault, head) {
            (Some(finding), _) => report.findings.push(finding),
            (None, Some(head)) => report.anchors.push(head),
            (None, None) => {}
        }
    }
}
