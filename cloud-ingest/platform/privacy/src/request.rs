//! Requests of people: written down with their deadline, listed, refused.

use jiff::{Timestamp, civil::Date};
use platform::{OrganizationId, Scope};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, error::SqlState};
use utoipa::ToSchema;

use crate::{
    PrivacyError, Tx,
    deadline::{answer_by, today},
    register::{Subject, register},
};

/// Which right is exercised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// What is kept of them (*acceso*).
    Access,
    /// Something is wrong (*rectificación*).
    Rectification,
    /// It is to go (*cancelación*).
    Erasure,
    /// It is not to be used for something (*oposición*); people decide and answer.
    Objection,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Access,
        Self::Rectification,
        Self::Erasure,
        Self::Objection,
    ];

    /// As it is kept.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Rectification => "rectification",
            Self::Erasure => "erasure",
            Self::Objection => "objection",
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing yet.
    Open,
    /// It was carried out.
    Done,
    /// It was refused.
    Refused,
}

/// Whose data: the kind of person and their number.
#[derive(Clone, Copy, Debug)]
pub struct Person {
    /// The kind.
    pub subject: &'static Subject,
    /// Their number in its table.
    pub number: i32,
}

impl Person {
    /// `user:12`.
    pub fn parse(text: &str) -> Result<Self, PrivacyError> {
        let nobody = || PrivacyError::NoSubject(text.chars().take(80).collect());
        let (kind, number) = text.split_once(':').ok_or_else(nobody)?;
        Ok(Self {
            subject: register().subject(kind).ok_or_else(nobody)?,
            number: number
                .parse()
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(nobody)?,
        })
    }
}

impl std::fmt::Display for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.subject.name, self.number)
    }
}

/// A request that is to be written down.
#[derive(Clone)]
pub struct New {
    /// Which right.
    pub kind: Kind,
    /// Whose data.
    pub person: Person,
    /// How else they are known, such as a phone number: it is looked for in what people wrote, and forgotten with the end of
    /// the request.
    pub also: Vec<String>,
}

impl std::fmt::Debug for New {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "New({} of {})", self.kind.word(), self.person)
    }
}

/// The salt of a request's digests: told once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Receipt(pub [u8; 32]);

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

/// A request, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Request {
    /// Its number.
    pub id: i64,
    /// Which right is exercised.
    pub kind: Kind,
    /// Whose data.
    #[schema(example = "user:12")]
    pub subject: String,
    /// `person`: they asked; `retention`: the time was over for which data are kept.
    pub origin: String,
    /// When it was written down.
    pub asked_at: Timestamp,
    /// Last day for the answer.
    #[schema(value_type = String, format = Date, example = "2026-03-30")]
    pub due_on: Date,
    /// What became of it.
    pub state: State,
    /// When.
    pub ended_at: Option<Timestamp>,
    /// Why it was refused, or what was answered.
    pub because: Option<String>,
    /// SHA-256 of its steps, in hexadecimal digits.
    pub proof: Option<String>,
}

pub(crate) fn read(row: &Row) -> Request {
    let kind: &str = row.get("kind");
    Request {
        id: row.get("id"),
        kind: Kind::ALL
            .into_iter()
            .find(|one| one.word() == kind)
            .unwrap_or(Kind::Objection),
        subject: row.get("subject"),
        origin: row.get("origin"),
        asked_at: row.get("asked_at"),
        due_on: row.get("due_on"),
        state: match row.get("state") {
            "done" => State::Done,
            "refused" => State::Refused,
            _ => State::Open,
        },
        ended_at: row.get("ended_at"),
        because: row.get("because"),
        proof: row.get::<_, Option<Vec<u8>>>("proof").map(hex::encode),
    }
}

/// Writes a request down, in the caller's transaction; the organisation must have this person. Returns its number and
/// the receipt, which nobody is told again.
pub async fn add(
    tx: &Tx,
    scope: &Scope,
    new: &New,
    now: Timestamp,
) -> Result<(i64, Receipt), PrivacyError> {
    write(tx, scope, new, "person", now).await
}

pub(crate) async fn write(
    tx: &Tx,
    scope: &Scope,
    new: &New,
    origin: &str,
    now: Timestamp,
) -> Result<(i64, Receipt), PrivacyError> {
    let fits = |text: &String| {
        (3..=254).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    if new.also.len() > 20 || !new.also.iter().all(fits) {
        return Err(PrivacyError::Bad {
            field: "also",
            rule: "at most 20 addresses, names or numbers of 3 to 254 characters".to_owned(),
        });
    }
    let person = new.person;
    let sql = format!(
        "SELECT EXISTS (SELECT FROM {} AS t WHERE t.id = $1 AND t.organization_id = $2)",
        person.subject.table
    );
    let row = tx
        .query_one(&sql, &[&person.number, &scope.organization])
        .await?;
    if !row.get::<_, bool>(0) {
        return Err(PrivacyError::NoSubject(person.to_string()));
    }
    let mut receipt = [0; 32];
    getrandom::fill(&mut receipt).map_err(|error| PrivacyError::Randomness(error.to_string()))?;
    let due = answer_by(today(now));
    let made = tx
        .query_one(
            include_str!("../queries/add_request.sql"),
            &[
                &scope.organization,
                &new.kind.word(),
                &person.to_string(),
                &origin,
                &scope.actor.to_string(),
                &scope.request.as_str(),
                &now,
                &due,
                &new.also,
                &receipt.as_slice(),
            ],
        )
        .await;
    match made {
        Ok(row) => Ok((row.get(0), Receipt(receipt))),
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Err(PrivacyError::Open(person.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Requests of an organisation by number, from the one after `after` on.
pub async fn list(
    tx: &Tx,
    organization: OrganizationId,
    after: i64,
    limit: u32,
) -> Result<Vec<Request>, PrivacyError> {
    let sql = include_str!("../queries/requests.sql");
    let rows = tx
        .query(sql, &[&organization, &after, &i64::from(limit)])
        .await?;
    Ok(rows.iter().map(read).collect())
}

/// One of them.
pub async fn one(tx: &Tx, organization: OrganizationId, id: i64) -> Result<Request, PrivacyError> {
    let sql = include_str!("../queries/request.sql");
    let row = tx.query_opt(sql, &[&organization, &id]).await?;
    Ok(read(&row.ok_or(PrivacyError::NoRequest(id))?))
}

/// Refuses an open request, or says what was answered to an objection; `because` names nobody.
pub async fn refuse(
    tx: &Tx,
    scope: &Scope,
    id: i64,
    because: &str,
    now: Timestamp,
) -> Result<(), PrivacyError> {
    if !(1..=500).contains(&because.chars().count()) || because.chars().any(char::is_control) {
        return Err(PrivacyError::Bad {
            field: "because",
            rule: "1 to 500 characters long".to_owned(),
        });
    }
    let found = one(tx, scope.organization, id).await?;
    let sql = include_str!("../queries/refuse.sql");
    if tx
        .execute(sql, &[&scope.organization, &id, &because, &now])
        .await?
        == 0
    {
        return Err(PrivacyError::Ended(id));
    }
    let after = serde_json::json!({"request": id, "kind": found.kind});
    let entry = audit::Entry {
        action: "privacy.refuse",
        subject: &found.subject,
        before: None,
        after: Some(&after),
    };
    audit::record(tx, scope, &entry, now).await?;
    Ok(())
}
