//! What goes by itself, and the job that carries out what was asked for.

use jiff::Timestamp;
use jobs::{About, Effect, Fault, House, Job, Schedule, Task};
use platform::{Actor, Db, OrganizationId, RequestId, Scope};
use serde::{Deserialize, Serialize};

use crate::{
    PrivacyError, Tx,
    carry::{self, Corrections},
    deadline::today,
    register::{Retention, Subject, Table, register},
    request::{self, Kind, New, Person},
};

/// Carries a request out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CarryOut {
    /// The request.
    pub request: i64,
}

impl Job for CarryOut {
    const KIND: &'static str = "privacy.carry_out";
}

/// Does it: in a transaction of the house, for it touches what the application may not.
#[derive(Clone, Debug)]
pub struct Carrier(pub Db);

impl Task for Carrier {
    type Job = CarryOut;
    type Outcome = ();

    async fn work(&self, job: &CarryOut, about: &About) -> Result<(), Fault> {
        let Some(scope) = &about.scope else {
            return Err(Fault::Never(
                "a request belongs to an organisation".to_owned(),
            ));
        };
        let house = House::begin(&self.0).await?;
        match carry::out(&house, scope, job.request, &Corrections::new(), about.now).await {
            Ok(outcome) => {
                house.commit().await?;
                tracing::info!(
                    request = job.request,
                    steps = outcome.steps.len(),
                    "a request about personal data was carried out"
                );
                Ok(())
            }
            // An attempt before this one had committed, or somebody refused it.
            Err(PrivacyError::Ended(_)) => Ok(house.rollback().await?),
            Err(error @ PrivacyError::Db(_)) => Err(Fault::Again(error.to_string())),
            Err(error) => Err(Fault::Never(error.to_string())),
        }
    }

    async fn settle(
        &self,
        _: &CarryOut,
        (): (),
        _: &About,
        _: &jobs::Tx,
    ) -> Result<jobs::Verdict, Fault> {
        Ok(jobs::Verdict::Done)
    }
}

/// Deletes what is over its time.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Retain {}

impl Job for Retain {
    const KIND: &'static str = "privacy.retain";
}

impl Retain {
    /// Every night.
    pub fn schedule() -> Schedule {
        let new = jobs::New::of(&Self {});
        Schedule::new("privacy.retain", "47 3 * * *", "UTC", new)
    }
}

/// Does it.
#[derive(Clone, Copy, Debug)]
pub struct Retainer;

impl Effect for Retainer {
    type Job = Retain;

    async fn run(&self, _: Retain, about: &About, tx: &jobs::Tx) -> Result<(), Fault> {
        match retain(tx, about.now).await {
            Ok(()) => Ok(()),
            Err(error @ PrivacyError::Db(_)) => Err(Fault::Again(error.to_string())),
            Err(error) => Err(Fault::Never(error.to_string())),
        }
    }
}

/// Deletes the rows whose time is over, erases the people whose time is over, and says which requests are late; in a
/// transaction that sees all organisations.
pub async fn retain(tx: &Tx, now: Timestamp) -> Result<(), PrivacyError> {
    for table in &register().tables {
        let Some(retention) = &table.retention else {
            continue;
        };
        let gone = tx
            .execute(
                &forget_statement(table, retention),
                &[&now, &retention.days],
            )
            .await
            .map_err(|error| PrivacyError::Register {
                relation: table.name.clone(),
                reason: platform::failure::in_words(&error),
            })?;
        if gone > 0 {
            let rows = i64::try_from(gone).unwrap_or(i64::MAX);
            let sql = include_str!("../queries/forgotten.sql");
            tx.execute(sql, &[&table.name, &now, &rows]).await?;
            tracing::info!(
                table = table.name,
                rows,
                "what was over its time is deleted"
            );
        }
    }
    for subject in &register().subjects {
        let rows = tx
            .query(&over_statement(subject), &[&now, &subject.keep_days])
            .await?;
        for row in rows {
            let (organization, number): (OrganizationId, i32) = (row.get(0), row.get(1));
            let scope = Scope {
                organization,
                actor: Actor::job(Retain::KIND),
                request: RequestId::fresh(),
            };
            let new = New {
                kind: Kind::Erasure,
                person: Person { subject, number },
                also: Vec::new(),
            };
            match request::write(tx, &scope, &new, "retention", now).await {
                Ok((id, _)) => {
                    carry::out(tx, &scope, id, &Corrections::new(), now).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }
    let sql = include_str!("../queries/overdue.sql");
    for row in tx.query(sql, &[&today(now)]).await? {
        let (organization, request): (i32, i64) = (row.get(0), row.get(1));
        tracing::warn!(
            organization,
            request,
            "the answer to a request about personal data is late"
        );
    }
    Ok(())
}

/// `$1` is now, `$2` the days.
pub(crate) fn forget_statement(table: &Table, retention: &Retention) -> String {
    format!(
        "DELETE FROM {} AS t WHERE ({}) < $1::timestamptz - make_interval(days => $2)",
        table.name, retention.since
    )
}

/// People whose time is over and who were not erased, nor are about to be.
pub(crate) fn over_statement(subject: &Subject) -> String {
    format!(
        "SELECT t.organization_id, t.id FROM {} AS t
         WHERE ({}) < $1::timestamptz - make_interval(days => $2)
           AND NOT EXISTS (SELECT FROM privacy.request AS r WHERE r.organization_id = t.organization_id
                           AND r.subject = '{}:' || t.id AND r.kind = 'erasure' AND r.state <> 'refused')
         ORDER BY t.id LIMIT 1000",
        subject.table, subject.ended, subject.name
    )
}

/// Every statement that the register leads to, for a test that prepares them.
pub fn statements() -> Vec<String> {
    let mut all = Vec::new();
    for table in &register().tables {
        if table.subject.is_some() {
            all.push(carry::digest_statement(table));
            all.push(carry::export_statement(table));
            all.extend(carry::erase_statement(table));
            all.extend(carry::remains_statement(table));
        }
        if let Some(retention) = &table.retention {
            all.push(forget_statement(table, retention));
        }
    }
    all.extend(register().subjects.iter().map(over_statement));
    all
}
