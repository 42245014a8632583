//! Carrying a request out: table by table, as the register says.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use platform::{OrganizationId, Scope};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{error::SqlState, types::ToSql};
use utoipa::ToSchema;

use crate::{
    PrivacyError, Tx,
    mention::{Sort, pattern},
    proof::{Step, What, finish},
    register::{Erase, Kept, Table, register},
    request::{Kind, Person},
};

/// The statements for a table; parameters are the person's number, the organisation, and the salt or pattern.
pub(crate) fn condition(table: &Table) -> String {
    let rows = table.rows.as_deref().unwrap_or("false");
    if table.of_all {
        format!("({rows}) AND $2::int IS NOT NULL")
    } else {
        format!("({rows}) AND t.organization_id = $2")
    }
}

/// How many rows there are of somebody, and the digest of what their columns say.
pub(crate) fn digest_statement(table: &Table) -> String {
    let pairs: Vec<String> = table
        .personal
        .iter()
        .chain(&table.secret)
        .map(|column| format!("'{column}', t.{column}"))
        .collect();
    format!(
        "SELECT count(*), sha256($3::bytea || convert_to(coalesce(string_agg(x.r, E'\\n' ORDER BY x.r COLLATE \"C\"), ''), 'UTF8'))
         FROM (SELECT jsonb_build_object({})::text AS r FROM {} AS t WHERE {}) AS x",
        pairs.join(", "),
        table.name,
        condition(table)
    )
}

pub(crate) fn erase_statement(table: &Table) -> Option<String> {
    let (name, condition) = (&table.name, condition(table));
    match table.erase? {
        Erase::Delete => Some(format!("DELETE FROM {name} AS t WHERE {condition}")),
        Erase::Blank => {
            let sets: Vec<String> = table
                .becomes
                .iter()
                .map(|(column, value)| format!("{column} = {value}"))
                .collect();
            Some(format!(
                "UPDATE {name} AS t SET {} WHERE {condition}",
                sets.join(", ")
            ))
        }
        Erase::Keep => None,
    }
}

/// How many rows are not as they have to be after erasure.
pub(crate) fn remains_statement(table: &Table) -> Option<String> {
    let (name, condition) = (&table.name, condition(table));
    match table.erase? {
        Erase::Delete => Some(format!(
            "SELECT count(*) FROM {name} AS t WHERE {condition}"
        )),
        Erase::Blank => {
            let differs: Vec<String> = table
                .becomes
                .iter()
                .map(|(column, value)| format!("t.{column} IS DISTINCT FROM ({value})"))
                .collect();
            Some(format!(
                "SELECT count(*) FROM {name} AS t WHERE {condition} AND ({})",
                differs.join(" OR ")
            ))
        }
        Erase::Keep => None,
    }
}

pub(crate) fn export_statement(table: &Table) -> String {
    let pairs: Vec<String> = table
        .personal
        .iter()
        .map(|column| format!("'{column}', t.{column}"))
        .collect();
    format!(
        "SELECT jsonb_build_object({}) FROM {} AS t WHERE {} ORDER BY 1",
        pairs.join(", "),
        table.name,
        condition(table)
    )
}

/// A request while it is carried out.
pub(crate) struct Work<'a> {
    pub(crate) tx: &'a Tx,
    pub(crate) organization: OrganizationId,
    pub(crate) person: Person,
    pub(crate) salt: Vec<u8>,
    pub(crate) steps: Vec<Step>,
}

/// What carrying out brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What was done.
    pub steps: Vec<Step>,
    /// For [`Kind::Access`]: everything that is kept of the person.
    pub export: Option<Export>,
}

/// Everything that is kept of somebody, for them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Export {
    /// Who.
    #[schema(example = "user:12")]
    pub subject: String,
    /// When it was read.
    pub made_at: Timestamp,
    /// Table by table.
    pub tables: Vec<Exported>,
    /// Where they are named in what people wrote.
    pub mentioned_in: Vec<Mention>,
}

/// What a table has of somebody.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Exported {
    /// What is kept there, why and how long.
    #[serde(flatten)]
    pub about: Kept,
    /// Columns that are there and told nobody, such as hashes of passwords.
    pub not_told: Vec<String>,
    /// The rows: columns with what they say.
    #[schema(value_type = Vec<Object>)]
    pub rows: Vec<Value>,
}

/// A column in which somebody is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mention {
    /// The table.
    pub relation: String,
    /// The column.
    pub column: String,
    /// In how many rows.
    pub rows: i64,
}

/// What is to be corrected: columns of the person's own table and what they should be.
pub type Corrections = BTreeMap<String, String>;

/// Carries an open request out, in a transaction that sees all organisations (`jobs::House`), which the caller commits.
pub async fn out(
    tx: &Tx,
    scope: &Scope,
    id: i64,
    corrections: &Corrections,
    now: Timestamp,
) -> Result<Outcome, PrivacyError> {
    let organization = scope.organization;
    let sql = include_str!("../queries/lock_request.sql");
    let row = tx.query_opt(sql, &[&organization, &id]).await?;
    let row = row.ok_or(PrivacyError::NoRequest(id))?;
    if row.get::<_, &str>("state") != "open" {
        return Err(PrivacyError::Ended(id));
    }
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| kind.word() == row.get::<_, &str>("kind"))
        .unwrap_or(Kind::Objection);
    let mut work = Work {
        tx,
        organization,
        person: Person::parse(row.get("subject"))?,
        salt: row.get::<_, Option<Vec<u8>>>("receipt").unwrap_or_default(),
        steps: Vec::new(),
    };
    let mut known_by: Vec<String> = row.get("also");
    let export = match kind {
        Kind::Access => Some(work.export(now).await?),
        Kind::Rectification => {
            work.correct(corrections).await?;
            None
        }
        Kind::Erasure => {
            known_by.extend(work.known_by().await?);
            work.take_names_out(&known_by).await?;
            work.erase().await?;
            None
        }
        Kind::Objection => {
            return Err(PrivacyError::Bad {
                field: "kind",
                rule: "one that a program can carry out; an objection is answered by people"
                    .to_owned(),
            });
        }
    };
    finish(&work, scope, id, kind, now).await?;
    Ok(Outcome {
        steps: work.steps,
        export,
    })
}

impl Work<'_> {
    fn step(
        &mut self,
        what: What,
        table: &str,
        columns: Vec<String>,
        rows: i64,
        digest: Vec<u8>,
    ) -> &mut Step {
        self.steps.push(Step {
            number: self.steps.len() as i32 + 1,
            what,
            relation: table.to_owned(),
            columns,
            rows,
            digest: hex::encode(digest),
            because: String::new(),
        });
        self.steps.last_mut().expect("one was pushed")
    }

    async fn digest(&self, table: &Table) -> Result<(i64, Vec<u8>), PrivacyError> {
        let row = self
            .tx
            .query_one(
                &digest_statement(table),
                &[&self.person.number, &self.organization, &self.salt],
            )
            .await
            .map_err(|error| fits_not(&table.name, &error))?;
        Ok((row.get(0), row.get(1)))
    }

    /// By what the person is known, as their own row says.
    async fn known_by(&self) -> Result<Vec<String>, PrivacyError> {
        let subject = self.person.subject;
        let columns: Vec<String> = subject.known_by.iter().map(|c| format!("t.{c}")).collect();
        let sql = format!(
            "SELECT ARRAY[{}]::text[] FROM {} AS t WHERE t.id = $1 AND t.organization_id = $2",
            columns.join(", "),
            subject.table
        );
        let row = self
            .tx
            .query_one(&sql, &[&self.person.number, &self.organization])
            .await?;
        Ok(row
            .get::<_, Vec<Option<String>>>(0)
            .into_iter()
            .flatten()
            .collect())
    }

    async fn export(&mut self, now: Timestamp) -> Result<Export, PrivacyError> {
        let mut tables = Vec::new();
        for table in register().of(&self.person.subject.name) {
            let rows = self
                .tx
                .query(
                    &export_statement(table),
                    &[&self.person.number, &self.organization],
                )
                .await
                .map_err(|error| fits_not(&table.name, &error))?;
            let rows: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
            let (count, digest) = self.digest(table).await?;
            self.step(
                What::Exported,
                &table.name,
                table.personal.clone(),
                count,
                digest,
            );
            tables.push(Exported {
                about: table.about(),
                not_told: table.secret.clone(),
                rows,
            });
        }
        let known_by = self.known_by().await?;
        let found = mentions(self.tx, self.organization, &known_by).await?;
        let named = found.into_iter().filter(|(_, _, rows)| *rows > 0);
        Ok(Export {
            subject: self.person.to_string(),
            made_at: now,
            tables,
            mentioned_in: named
                .map(|(table, column, rows)| Mention {
                    relation: table.name.clone(),
                    column: column.to_owned(),
                    rows,
                })
                .collect(),
        })
    }

    async fn correct(&mut self, corrections: &Corrections) -> Result<(), PrivacyError> {
        let subject = self.person.subject;
        let names: Vec<&str> = subject.correct.keys().map(String::as_str).collect();
        let bad = || PrivacyError::Bad {
            field: "corrections",
            rule: format!(
                "some of {}, each with a text that can be one",
                names.join(", ")
            ),
        };
        let table = register().table(&subject.table).ok_or_else(bad)?;
        if corrections.is_empty() {
            return Err(bad());
        }
        let mut sets = Vec::new();
        let mut values: Vec<&str> = Vec::new();
        for (column, value) in corrections {
            let how = subject.correct.get(column).ok_or_else(bad)?;
            let value = value.trim();
            let like = "SELECT $1::text LIKE $2";
            let like = self.tx.query_one(like, &[&value, &how.like]).await?;
            if value.chars().any(char::is_control) || !like.get::<_, bool>(0) {
                return Err(bad());
            }
            values.push(value);
            let parameter = format!("${}::text", values.len() + 2);
            sets.push(format!(
                "{column} = {}",
                how.becomes.replace('$', &parameter)
            ));
        }
        let (rows, digest) = self.digest(table).await?;
        let sql = format!(
            "UPDATE {} AS t SET {} WHERE t.id = $1 AND t.organization_id = $2",
            subject.table,
            sets.join(", ")
        );
        let mut parameters: Vec<&(dyn ToSql + Sync)> =
            vec![&self.person.number, &self.organization];
        parameters.extend(values.iter().map(|value| value as &(dyn ToSql + Sync)));
        match self.tx.execute(&sql, &parameters).await {
            Ok(_) => {}
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
                return Err(PrivacyError::Taken(names.join(" or ")));
            }
            Err(error) if error.code() == Some(&SqlState::CHECK_VIOLATION) => return Err(bad()),
            Err(error) => return Err(error.into()),
        }
        let columns = corrections.keys().cloned().collect();
        self.step(What::Corrected, &subject.table, columns, rows, digest);
        Ok(())
    }

    /// Takes the person's names out of what people wrote.
    async fn take_names_out(&mut self, known_by: &[String]) -> Result<(), PrivacyError> {
        let found = mentions(self.tx, self.organization, known_by).await?;
        for (table, column, rows) in found {
            if rows == 0 {
                continue;
            }
            let kept = table.free_kept.iter().any(|one| one == column);
            let (sort, kind) = sort_of(self.tx, table, column).await?;
            let pattern = pattern(known_by, sort.is_json()).unwrap_or_default();
            let sql = format!(
                "SELECT sha256($3::bytea || convert_to(coalesce(string_agg(x.r, E'\\n' ORDER BY x.r COLLATE \"C\"), ''), 'UTF8'))
                 FROM (SELECT {} AS r FROM {} AS t WHERE t.organization_id = $1 AND {} ~* $2) AS x",
                sort.read(column), table.name, sort.read(column)
            );
            let row = self
                .tx
                .query_one(&sql, &[&self.organization, &pattern, &self.salt])
                .await?;
            let digest = row.get(0);
            let what = if kept {
                What::Kept
            } else {
                let sql = format!(
                    "UPDATE {} AS t SET {column} = {} WHERE t.organization_id = $1 AND {} ~* $2",
                    table.name,
                    sort.without(column, &kind, "$2"),
                    sort.read(column)
                );
                self.tx
                    .execute(&sql, &[&self.organization, &pattern])
                    .await
                    .map_err(|error| fits_not(&table.name, &error))?;
                What::Redacted
            };
            let step = self.step(what, &table.name, vec![column.to_owned()], rows, digest);
            if kept {
                step.because = table.because.clone().unwrap_or_default();
            }
        }
        Ok(())
    }

    async fn erase(&mut self) -> Result<(), PrivacyError> {
        for table in register().of(&self.person.subject.name) {
            let (rows, digest) = self.digest(table).await?;
            if let Some(sql) = erase_statement(table) {
                self.tx
                    .execute(&sql, &[&self.person.number, &self.organization])
                    .await
                    .map_err(|error| fits_not(&table.name, &error))?;
            }
            let what = match table.erase {
                Some(Erase::Delete) => What::Deleted,
                Some(Erase::Blank) => What::Blanked,
                Some(Erase::Keep) | None => What::Kept,
            };
            let columns = [&table.personal[..], &table.secret[..]].concat();
            let step = self.step(what, &table.name, columns, rows, digest);
            step.because = table.because.clone().unwrap_or_default();
        }
        Ok(())
    }
}

/// In how many rows of each column in which people write somebody is named.
pub(crate) async fn mentions(
    tx: &Tx,
    organization: OrganizationId,
    known_by: &[String],
) -> Result<Vec<(&'static Table, &'static str, i64)>, PrivacyError> {
    let mut found = Vec::new();
    for table in &register().tables {
        for column in table.free.iter().chain(&table.free_kept) {
            let (sort, _) = sort_of(tx, table, column).await?;
            let Some(pattern) = pattern(known_by, sort.is_json()) else {
                return Ok(Vec::new());
            };
            let sql = format!(
                "SELECT count(*) FROM {} AS t WHERE t.organization_id = $1 AND {} ~* $2",
                table.name,
                sort.read(column)
            );
            let row = tx
                .query_one(&sql, &[&organization, &pattern])
                .await
                .map_err(|error| fits_not(&table.name, &error))?;
            found.push((table, column.as_str(), row.get(0)));
        }
    }
    Ok(found)
}

async fn sort_of(tx: &Tx, table: &Table, column: &str) -> Result<(Sort, String), PrivacyError> {
    let rows = tx
        .query(include_str!("../queries/types.sql"), &[&table.name])
        .await
        .map_err(|error| fits_not(&table.name, &error))?;
    let kinds: HashMap<String, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let kind = kinds.get(column).cloned().unwrap_or_default();
    let sort = Sort::of(&kind).ok_or_else(|| PrivacyError::Register {
        relation: table.name.clone(),
        reason: format!("column {column} holds no text: it is `{kind}`"),
    })?;
    Ok((sort, kind))
}

/// A room's test may migrate some rooms only; a program has them all.
fn fits_not(relation: &str, error: &tokio_postgres::Error) -> PrivacyError {
    PrivacyError::Register {
        relation: relation.to_owned(),
        reason: platform::failure::in_words(error),
    }
}
