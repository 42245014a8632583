//! What is kept of people, why, how long, and what becomes of it when they ask: data (`data/personal-data.toml`, where the
//! form is explained).

use std::{collections::BTreeMap, fmt::Write as _, sync::LazyLock};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A kind of person.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its name, in `user:12`.
    pub name: String,
    /// Who they are.
    pub about: String,
    /// The table of whom there are; its key is `id`.
    pub table: String,
    /// Columns of it by which somebody may be named elsewhere.
    pub known_by: Vec<String>,
    /// Columns of it that are corrected on request.
    pub correct: BTreeMap<String, Correct>,
    /// When the reason to keep their data ended, as SQL over `t`; NULL: it has not.
    pub ended: String,
    /// How many days later the data are erased.
    pub keep_days: i32,
}

/// How a column is corrected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Correct {
    /// What it becomes, as SQL over the new text `$`.
    pub becomes: String,
    /// What the new text has to be like, as a pattern of SQL's LIKE.
    pub like: String,
}

/// What becomes of rows when their person has asked for erasure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Erase {
    /// The rows go.
    Delete,
    /// The rows stay, and their personal columns become what `becomes` says.
    Blank,
    /// They stay as they are, for the reason in `because`.
    Keep,
}

/// When rows are deleted without anybody asking.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// After so many days.
    pub days: i32,
    /// Counted from this, as SQL over `t`; NULL: not yet.
    pub since: String,
}

/// A table of a room.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Schema and name.
    pub name: String,
    /// What personal data are for; absent where there are none.
    pub purpose: Option<String>,
    /// What permits it.
    pub ground: Option<String>,
    /// How long they are kept, for people.
    pub kept: Option<String>,
    /// Whose they are.
    pub subject: Option<String>,
    /// Which rows are of a person, as SQL over `t`; `$1` is their number.
    pub rows: Option<String>,
    /// Whether the table has no column `organization_id`, so that `rows` alone has to say whose they are.
    #[serde(default)]
    pub of_all: bool,
    /// What becomes of them.
    pub erase: Option<Erase>,
    /// Why they are kept.
    pub because: Option<String>,
    /// Columns about a person.
    #[serde(default)]
    pub personal: Vec<String>,
    /// Columns about a person that are told nobody, as hashes of passwords.
    #[serde(default)]
    pub secret: Vec<String>,
    /// What columns become, as SQL over `t`.
    #[serde(default)]
    pub becomes: BTreeMap<String, String>,
    /// Columns in which people write what they want, so that somebody may be named there: such names are taken out.
    #[serde(default)]
    pub free: Vec<String>,
    /// The same where nothing can be taken out; that somebody is named there is said.
    #[serde(default)]
    pub free_kept: Vec<String>,
    /// Columns without personal data, and why that is so.
    #[serde(default)]
    pub none: BTreeMap<String, String>,
    /// When rows are deleted without anybody asking.
    pub retention: Option<Retention>,
}

/// The table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Kinds of people.
    #[serde(rename = "subject")]
    pub subjects: Vec<Subject>,
    /// Every table of every room, in the order in which they are erased.
    #[serde(rename = "table")]
    pub tables: Vec<Table>,
}

/// The table that this program was built with.
pub fn register() -> &'static Register {
    static REGISTER: LazyLock<Register> = LazyLock::new(|| {
        toml::from_str(include_str!("../data/personal-data.toml"))
            .expect("a test reads the embedded table")
    });
    &REGISTER
}

impl Register {
    /// A kind of person.
    pub fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }

    /// A table by schema and name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Tables with rows of this kind of person, in the order in which they are erased.
    pub fn of(&self, subject: &str) -> impl Iterator<Item = &Table> {
        self.tables
            .iter()
            .filter(move |table| table.subject.as_deref() == Some(subject))
    }

    /// Everything that does not fit together, for people; empty when it is sound.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (index, table) in self.tables.iter().enumerate() {
            let mut say = |what: String| faults.push(format!("{}: {what}", table.name));
            if self.tables[..index]
                .iter()
                .any(|other| other.name == table.name)
            {
                say("it is there twice".to_owned());
            }
            let personal = !(table.personal.is_empty() && table.secret.is_empty());
            for (key, there) in [
                ("purpose", table.purpose.is_some()),
                ("ground", table.ground.is_some()),
                ("kept", table.kept.is_some()),
                ("erase", table.erase.is_some()),
            ] {
                if there != personal {
                    say(format!("`{key}` goes with `personal` and `secret`"));
                }
            }
            if table.subject.is_some() != table.rows.is_some() {
                say("`rows` goes with `subject`".to_owned());
            }
            if let Some(subject) = &table.subject
                && self.subject(subject).is_none()
            {
                say(format!("there is no subject {subject}"));
            }
            if table.erase == Some(Erase::Keep) && table.because.is_none() {
                say("what is kept needs `because`".to_owned());
            }
            if !matches!(table.erase, None | Some(Erase::Keep)) && table.subject.is_none() {
                say("what is erased needs `subject`".to_owned());
            }
            if (table.erase == Some(Erase::Blank)) == table.becomes.is_empty() {
                say("`becomes` goes with erase = \"blank\"".to_owned());
            }
            if table.of_all && !(table.free.is_empty() && table.free_kept.is_empty()) {
                say("where rows are nobody's, no names are looked for".to_owned());
            }
            let mut named: Vec<&String> = table
                .personal
                .iter()
                .chain(&table.secret)
                .chain(&table.free)
                .chain(&table.free_kept)
                .chain(table.none.keys())
                .collect();
            named.sort();
            for pair in named.windows(2) {
                if pair[0] == pair[1] {
                    say(format!("column {} is there twice", pair[0]));
                }
            }
        }
        faults
    }

    /// The table as a page (Markdown), for whoever has to answer for it.
    pub fn page(&self) -> String {
        let mut page = "| table | columns | purpose | ground | kept | on erasure |\n|---|---|---|---|---|---|\n".to_owned();
        for row in self.rows() {
            let _ = writeln!(
                page,
                "| {} | {} | {} | {} | {} | {}{} |",
                row.relation,
                row.columns.join(", "),
                row.purpose,
                row.ground,
                row.kept,
                row.on_erasure,
                row.because
                    .map_or_else(String::new, |why| format!(": {why}")),
            );
        }
        page
    }

    /// Every table with personal data.
    pub fn rows(&self) -> Vec<Kept> {
        let with = self.tables.iter().filter(|table| table.erase.is_some());
        with.map(Table::about).collect()
    }
}

impl Table {
    /// What is kept there, why and how long.
    pub fn about(&self) -> Kept {
        Kept {
            relation: self.name.clone(),
            subject: self.subject.clone(),
            columns: [&self.personal[..], &self.secret[..]].concat(),
            purpose: self.purpose.clone().unwrap_or_default(),
            ground: self.ground.clone().unwrap_or_default(),
            kept: self.kept.clone().unwrap_or_default(),
            on_erasure: match self.erase {
                Some(Erase::Delete) => "deleted",
                Some(Erase::Blank) => "blanked",
                Some(Erase::Keep) | None => "kept",
            },
            because: self.because.clone(),
        }
    }
}

/// Personal data that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Kept {
    /// In which table.
    pub relation: String,
    /// Of which kind of person; null: of whoever had the thing then.
    pub subject: Option<String>,
    /// In which columns.
    pub columns: Vec<String>,
    /// What for.
    pub purpose: String,
    /// What permits it.
    pub ground: String,
    /// How long.
    pub kept: String,
    /// What becomes of them when their person asks for erasure: `deleted`, `blanked` or `kept`.
    pub on_erasure: &'static str,
    /// Why they are kept.
    pub because: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let faults = register().faults();
        assert!(faults.is_empty(), "{faults:#?}");
        assert!(register().page().contains("access.user"));
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let text = r#"
            [[subject]]
            name = "user"
            about = "."
            table = "a.b"
            known_by = []
            correct = {}
            ended = "NULL"
            keep_days = 1
            [[table]]
            name = "a.b"
            personal = ["x"]
            none = { x = "y" }
            [[table]]
            name = "a.b"
            subject = "nobody"
            "#;
        let register: Register = toml::from_str(text).unwrap();
        let faults = register.faults().join("\n");
        for says in [
            "`purpose` goes with",
            "x is there twice",
            "it is there twice",
            "no subject nobody",
            "`rows` goes with",
        ] {
            assert!(faults.contains(says), "{says}: {faults}");
        }
    }
}
