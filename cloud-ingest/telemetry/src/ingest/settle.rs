//! Blocks are committed together; when the database refuses one of them, bisection finds it; when it is away, it is
//! waited for, but not for ever.

use std::collections::HashSet;

use platform::{Client, Failure};

use super::{
    Ingestor,
    block::{Opened, Prepared, Settled, Work},
    commit::commit,
};
use crate::{
    outcome::{OutcomeKind, Reason},
    trouble::{GaveUp, Tries, Trouble, in_time},
};

/// What an attempt has come to, also when it ended in trouble.
#[derive(Debug, Default)]
struct Progress {
    settled: Vec<Settled>,
    /// A boot has learnt the time.
    learnt: bool,
}

impl Ingestor {
    /// Settles opened blocks, each exactly once; true when a boot has learnt the time, so that blocks which waited
    /// for it can be expanded.
    pub(crate) async fn settle(&self, blocks: &[Opened], settled: &mut Vec<Settled>) -> bool {
        let mut learnt = false;
        let mut groups: Vec<Vec<&Opened>> = vec![blocks.iter().collect()];
        while let Some(mut group) = groups.pop() {
            let mut tries = Tries::new();
            while !group.is_empty() {
                let mut progress = Progress::default();
                let result = self.attempt(&group, &mut progress).await;
                learnt |= progress.learnt;
                let done: HashSet<usize> = progress.settled.iter().map(|one| one.at).collect();
                group.retain(|block| !done.contains(&block.at));
                settled.extend(progress.settled);
                let Err(trouble) = result else { continue };
                if trouble.failure() != Failure::Data {
                    self.0.known.clear();
                }
                match tries.after(trouble).await {
                    Ok(()) => {}
                    // Even getting it ready is refused: one of them is to blame, the others are not.
                    Err(GaveUp::Data(_)) if group.len() > 1 => {
                        groups.push(group.split_off(group.len() / 2));
                        groups.push(std::mem::take(&mut group));
                    }
                    Err(GaveUp::Data(detail)) => {
                        settled.extend(group.drain(..).map(|block| not_stored(block, &detail)));
                    }
                    Err(GaveUp::Later(detail)) => {
                        // The other groups would only wait for it again.
                        let left = group.drain(..).chain(groups.drain(..).flatten());
                        settled.extend(left.map(|block| not_stored(block, &detail)));
                    }
                }
            }
        }
        learnt
    }

    /// Gets blocks ready and commits them, over one connection, so that both see the same database.
    async fn attempt(&self, blocks: &[&Opened], progress: &mut Progress) -> Result<(), Trouble> {
        let mut client = self.0.db.system().await?;
        self.0.known.be_sure(self.0.db.generation());
        let result = self.attempt_on(&mut client, blocks, progress).await;
        if matches!(result, Err(Trouble::Late)) {
            // A connection that does not answer does not go back to the pool.
            drop(Client::take(client));
        }
        result
    }

    async fn attempt_on(
        &self,
        client: &mut Client,
        blocks: &[&Opened],
        progress: &mut Progress,
    ) -> Result<(), Trouble> {
        let ready = in_time(self.prepare(client, blocks)).await?;
        progress.settled.extend(ready.settled);
        progress.learnt |= ready.learnt;
        let may_keep = |gateway: &str| self.may_keep(gateway);
        // Parts are taken from the end.
        let mut parts = vec![ready.prepared];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let now = self.0.clock.now();
            match in_time(commit(client, &part, now, &ready.is_state, &may_keep)).await {
                Ok(settled) => progress.settled.extend(settled),
                Err(trouble) if trouble.failure() != Failure::Data => return Err(trouble),
                Err(_) if part.len() > 1 => {
                    parts.push(part.split_off(part.len() / 2));
                    parts.push(part);
                }
                Err(trouble) => {
                    for one in part {
                        let detail = trouble.to_string();
                        if self.may_set_aside(&one) {
                            let work = Work::Quarantine(Reason::DatabaseRefused, detail);
                            parts.push(vec![Prepared { work, ..one }]);
                        } else {
                            progress.settled.push(not_stored(one.block, &detail));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// A block that the database refused goes to the quarantine; one that it refuses even there does not.
    fn may_set_aside(&self, one: &Prepared<'_>) -> bool {
        !matches!(one.work, Work::Quarantine(..))
            && self.may_keep(one.block.header.gateway.as_str())
    }
}

fn not_stored(block: &Opened, detail: &str) -> Settled {
    let detail = detail.to_owned();
    Settled::without_ledger(block.at, OutcomeKind::NotStored { detail })
}
