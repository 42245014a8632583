//! Whose blocks they are: keys are looked up, signatures verified, contents opened.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use platform::GatewayKeys;
use shared_protocol::{Body, GatewayId};

use super::{
    Ingestor,
    block::{Opened, Settled},
    open::{self, Belief, Claim},
};
use crate::{
    outcome::{Outcome, OutcomeKind, Reason},
    trouble::{GaveUp, Tries, Trouble, in_time},
};

/// Most blocks of one transaction.
const MOST_BLOCKS: usize = 512;
/// About how many bytes of opened contents are held at a time.
const MOST_BYTES: usize = 32 << 20;

/// A delivery whose frame is sound.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) at: usize,
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) claim: Claim,
}

impl Ingestor {
    /// Takes blocks from the queue, as many as one transaction should have, and opens those that are believed.
    pub(crate) async fn open_some(
        &self,
        queue: &mut VecDeque<Claimed>,
        outcomes: &mut [Outcome],
        settled: &mut Vec<Settled>,
        readmitting: bool,
    ) -> Vec<Opened> {
        let claimed: Vec<Claimed> = queue.drain(..queue.len().min(MOST_BLOCKS)).collect();
        let (mut beliefs, mut left) = match self.believe(claimed, false).await {
            Ok(beliefs) => beliefs,
            Err(not_now) => {
                settled.extend(not_now);
                return Vec::new();
            }
        };
        // Perhaps a gateway or a key was registered a moment ago.
        let (doubted, mut certain): (Vec<_>, Vec<_>) =
            beliefs.drain(..).partition(|(_, belief)| {
                matches!(
                    belief,
                    Belief::Nobodys(Reason::UnknownGateway | Reason::WrongSignature, _)
                )
            });
        if !doubted.is_empty() {
            let doubted = doubted.into_iter().map(|(claimed, ..)| claimed).collect();
            match self.believe(doubted, true).await {
                Ok((again, more)) => {
                    certain.extend(again);
                    left.extend(more);
                }
                Err(not_now) => settled.extend(not_now),
            }
        }
        for claimed in left.into_iter().rev() {
            queue.push_front(claimed);
        }
        let mut opened = Vec::new();
        for (claimed, belief) in certain {
            let at = claimed.at;
            let header = claimed.claim.header;
            let outcome = &mut outcomes[at];
            if !matches!(belief, Belief::Nobodys(..)) {
                outcome.gateway = Some(header.gateway.clone());
                outcome.number = Some(header.number);
            }
            match belief {
                Belief::Its {
                    gateway_id,
                    key,
                    content,
                } => opened.push(Opened {
                    at,
                    digest: claimed.claim.digest,
                    header,
                    gateway_id,
                    key,
                    topic: claimed.topic,
                    payload: claimed.payload,
                    content,
                    placing: false,
                    readmitting,
                }),
                Belief::Revoked(detail) => {
                    settled.push(Settled::without_ledger(at, OutcomeKind::Refused { detail }));
                }
                Belief::Nobodys(reason, detail) => {
                    let result = OutcomeKind::Rejected { reason, detail };
                    settled.push(Settled::without_ledger(at, result));
                }
            }
        }
        opened
    }

    /// Verifies and opens claimed blocks until the opened ones take much memory; what is left comes back.
    async fn believe(
        &self,
        claimed: Vec<Claimed>,
        again: bool,
    ) -> Result<(Vec<(Claimed, Belief)>, Vec<Claimed>), Vec<Settled>> {
        let names: BTreeSet<GatewayId> = claimed
            .iter()
            .map(|claimed| claimed.claim.header.gateway.clone())
            .collect();
        let not_now = |claimed: &[Claimed], detail: &str| {
            let result = OutcomeKind::NotStored {
                detail: detail.to_owned(),
            };
            let settled = |claimed: &Claimed| Settled::without_ledger(claimed.at, result.clone());
            claimed.iter().map(settled).collect::<Vec<_>>()
        };
        let keys = match self.keys(names, again).await {
            Ok(keys) => keys,
            Err(GaveUp::Data(detail) | GaveUp::Later(detail)) => {
                return Err(not_now(&claimed, &detail));
            }
        };
        let shadow = claimed.clone();
        tokio::task::spawn_blocking(move || believe_all(claimed, &keys))
            .await
            .map_err(|error| not_now(&shadow, &error.to_string()))
    }

    async fn keys(
        &self,
        names: BTreeSet<GatewayId>,
        again: bool,
    ) -> Result<HashMap<GatewayId, Arc<GatewayKeys>>, GaveUp> {
        let mut found = HashMap::new();
        for name in names {
            let mut tries = Tries::new();
            let keys = loop {
                let register = &self.0.register;
                let keys = async {
                    let keys = if again {
                        register.keys_again(&name).await
                    } else {
                        register.keys(&name).await
                    };
                    keys.map_err(Trouble::from)
                };
                match in_time(keys).await {
                    Ok(keys) => break keys,
                    Err(trouble) => tries.after(trouble).await?,
                }
            };
            if let Some(keys) = keys {
                found.insert(name, keys);
            }
        }
        Ok(found)
    }
}

fn believe_all(
    claimed: Vec<Claimed>,
    keys: &HashMap<GatewayId, Arc<GatewayKeys>>,
) -> (Vec<(Claimed, Belief)>, Vec<Claimed>) {
    let mut beliefs = Vec::with_capacity(claimed.len());
    let mut left = Vec::new();
    let mut bytes = 0;
    for claimed in claimed {
        if bytes >= MOST_BYTES {
            left.push(claimed);
            continue;
        }
        let gateway = &claimed.claim.header.gateway;
        let belief = match keys.get(gateway) {
            Some(keys) => open::believe(&claimed.payload, &claimed.claim, keys),
            None => Belief::Nobodys(
                Reason::UnknownGateway,
                format!("no gateway is called {gateway}"),
            ),
        };
        if let Belief::Its {
            content: Ok(body), ..
        } = &belief
        {
            bytes += weight(body);
        }
        beliefs.push((claimed, belief));
    }
    (beliefs, left)
}

/// About how many bytes an opened content and its rows take.
fn weight(body: &Body) -> usize {
    match body {
        Body::Samples(samples) => samples.len() * 64,
        Body::Columns { columns, .. } => columns.len() * 256,
        Body::Records(records) => records
            .iter()
            .map(|record| record.payload.len() + record.kind.len() + 128)
            .sum(),
        Body::Gap(_) | Body::Gaps { .. } => 0,
    }
}
