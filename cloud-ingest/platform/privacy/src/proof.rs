//! What was done, shown without the data; and whether it is still so.

use jiff::Timestamp;
use platform::{OrganizationId, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use crate::{
    PrivacyError, Tx,
    carry::{Work, mentions, remains_statement},
    register::register,
    request::{Kind, Person, Request, one},
};

/// What was done to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The person was given it.
    Exported,
    /// It is what they said.
    Corrected,
    /// The rows are gone.
    Deleted,
    /// The columns say nothing any more.
    Blanked,
    /// Their names were taken out.
    Redacted,
    /// It stays, with a reason.
    Kept,
}

impl What {
    const ALL: [Self; 6] = [
        Self::Exported,
        Self::Corrected,
        Self::Deleted,
        Self::Blanked,
        Self::Redacted,
        Self::Kept,
    ];

    /// As it is kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exported => "exported",
            Self::Corrected => "corrected",
            Self::Deleted => "deleted",
            Self::Blanked => "blanked",
            Self::Redacted => "redacted",
            Self::Kept => "kept",
        }
    }
}

/// What was done to a table for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Step {
    /// Its place, from 1.
    pub number: i32,
    /// What was done.
    pub what: What,
    /// To which table.
    pub relation: String,
    /// To which columns of it.
    pub columns: Vec<String>,
    /// To how many rows.
    pub rows: i64,
    /// SHA-256 of the receipt and of what stood there before, in hexadecimal digits. What stood there: a line for each row,
    /// the columns as a JSON object as PostgreSQL writes one (`jsonb`), in the order of their bytes.
    pub digest: String,
    /// Why it is kept.
    pub because: String,
}

/// The digest of what was done.
pub fn digest(id: i64, subject: &str, steps: &[Step]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(format!("{id}|{subject}\n"));
    for step in steps {
        hash.update(format!(
            "{}|{}|{}|{}|{}|{}|{}\n",
            step.number,
            step.what.word(),
            step.relation,
            step.columns.join(","),
            step.rows,
            step.digest,
            step.because
        ));
    }
    hash.finalize().into()
}

/// Writes the steps and their digest, ends the request, and notes it in the audit trail, last.
pub(crate) async fn finish(
    work: &Work<'_>,
    scope: &Scope,
    id: i64,
    kind: Kind,
    now: Timestamp,
) -> Result<(), PrivacyError> {
    let (tx, organization) = (work.tx, work.organization);
    for step in &work.steps {
        tx.execute(
            include_str!("../queries/add_step.sql"),
            &[
                &organization,
                &id,
                &step.number,
                &step.what.word(),
                &step.relation,
                &step.columns,
                &step.rows,
                &hex::decode(&step.digest).unwrap_or_default(),
                &step.because,
            ],
        )
        .await?;
    }
    let subject = work.person.to_string();
    let proof = digest(id, &subject, &work.steps);
    tx.execute(
        include_str!("../queries/done.sql"),
        &[&organization, &id, &now, &proof.as_slice()],
    )
    .await?;
    let after = json!({"request": id, "proof": hex::encode(proof)});
    let entry = audit::Entry {
        action: match kind {
            Kind::Access => "privacy.export",
            Kind::Rectification => "privacy.correct",
            Kind::Erasure => "privacy.erase",
            Kind::Objection => "privacy.object",
        },
        subject: &subject,
        before: None,
        after: Some(&after),
    };
    audit::record(tx, scope, &entry, now).await?;
    Ok(())
}

/// The steps of a request.
pub async fn steps(
    tx: &Tx,
    organization: OrganizationId,
    id: i64,
) -> Result<Vec<Step>, PrivacyError> {
    let sql = include_str!("../queries/steps.sql");
    let rows = tx.query(sql, &[&organization, &id]).await?;
    Ok(rows
        .iter()
        .map(|row| Step {
            number: row.get("number"),
            what: What::ALL
                .into_iter()
                .find(|what| what.word() == row.get::<_, &str>("what"))
                .unwrap_or(What::Kept),
            relation: row.get("relation"),
            columns: row.get("columns"),
            rows: row.get("rows"),
            digest: hex::encode(row.get::<_, &[u8]>("digest")),
            because: row.get("because"),
        })
        .collect())
}

/// Whether what was done for a request is as it was written down, and still so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The request.
    pub request: Request,
    /// Its steps fit its proof.
    pub intact: bool,
    /// The audit trail has the proof; that the trail itself is intact, `audit verify` shows.
    pub audited: bool,
    /// Tables that have data of the person again or still, with the number of rows.
    pub remains: Vec<(String, i64)>,
}

impl Verdict {
    /// All of it holds.
    pub fn holds(&self) -> bool {
        self.intact && self.audited && self.remains.is_empty()
    }
}

/// Looks at what was done for a request, in a transaction that sees all organisations. Whoever is at hand with `known_by`
/// (addresses, names, numbers) has them looked for, too, in everything that people write.
pub async fn verify(
    tx: &Tx,
    organization: OrganizationId,
    id: i64,
    known_by: &[String],
) -> Result<Verdict, PrivacyError> {
    let request = one(tx, organization, id).await?;
    let steps = steps(tx, organization, id).await?;
    let proof = hex::encode(digest(id, &request.subject, &steps));
    let row = tx
        .query_one(
            include_str!("../queries/audited.sql"),
            &[&organization, &request.subject, &proof],
        )
        .await?;
    let mut remains = Vec::new();
    if request.kind == Kind::Erasure {
        let person = Person::parse(&request.subject)?;
        for table in register().of(&person.subject.name) {
            if let Some(sql) = remains_statement(table) {
                let row = tx.query_one(&sql, &[&person.number, &organization]).await?;
                remains.push((table.name.clone(), row.get(0)));
            }
        }
        for (table, column, rows) in mentions(tx, organization, known_by).await? {
            remains.push((format!("{}.{column}", table.name), rows));
        }
        remains.retain(|(_, rows)| *rows > 0);
    }
    Ok(Verdict {
        intact: request.proof.as_deref() == Some(&proof),
        audited: row.get(0),
        remains,
        request,
    })
}
