//! For which organisation, by whom and in which request something is done.

use std::{fmt, str::FromStr};

use postgres_types::{FromSql, ToSql};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The number of an organisation in the register.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSql,
    FromSql,
    ToSchema,
)]
#[serde(transparent)]
#[postgres(transparent)]
pub struct OrganizationId(pub i32);

impl fmt::Display for OrganizationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who does something. As text: `user:12`, `key:7`, `system:ingest`, `job:send-invoice`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A person, by the number of the user.
    User(i32),
    /// A program, by the number of its API key.
    Key(i32),
    /// A part of this program that acts by itself, by its name.
    System(String),
    /// A job, by its kind.
    Job(String),
}

impl Actor {
    /// A part of this program, by its name: `a-z 0-9 . _ -`, at most 64 of them.
    pub fn system(name: &str) -> Self {
        Self::System(plain(name))
    }

    /// A job, by its kind: the same letters.
    pub fn job(kind: &str) -> Self {
        Self::Job(plain(kind))
    }
}

/// What else a name may contain is left out of it.
fn plain(name: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    name.chars().filter(fits).take(64).collect()
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::Key(id) => write!(f, "key:{id}"),
            Self::System(name) => write!(f, "system:{name}"),
            Self::Job(kind) => write!(f, "job:{kind}"),
        }
    }
}

/// A text that is no actor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is nobody: write user:12, key:7, system:name or job:kind")]
pub struct NoActor(String);

impl FromStr for Actor {
    type Err = NoActor;

    fn from_str(text: &str) -> Result<Self, NoActor> {
        let wrong = || NoActor(text.chars().take(80).collect());
        let (sort, name) = text.split_once(':').ok_or_else(wrong)?;
        let number = || name.parse().map_err(|_| wrong());
        let word = || {
            (!name.is_empty() && plain(name) == name)
                .then(|| name.to_owned())
                .ok_or_else(wrong)
        };
        match sort {
            "user" => Ok(Self::User(number()?)),
            "key" => Ok(Self::Key(number()?)),
            "system" => Ok(Self::System(word()?)),
            "job" => Ok(Self::Job(word()?)),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// The request by which something was set off: it is in the answer, in the log, in jobs and in webhooks that come of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// Longest id, in characters.
    pub const LONGEST: usize = 64;

    /// A new one; later ones sort later.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is no request id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a request id has 1 to {} letters, digits, `-`, `_`, `.` or `:`",
    RequestId::LONGEST
)]
pub struct NoRequestId;

impl FromStr for RequestId {
    type Err = NoRequestId;

    fn from_str(text: &str) -> Result<Self, NoRequestId> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
        if (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(fits) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NoRequestId)
        }
    }
}

impl TryFrom<String> for RequestId {
    type Error = NoRequestId;

    fn try_from(text: String) -> Result<Self, NoRequestId> {
        text.parse()
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For which organisation, by whom and in which request something is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The organisation.
    pub organization: OrganizationId,
    /// Who does it.
    pub actor: Actor,
    /// What set it off.
    pub request: RequestId,
}

impl Scope {
    /// What a part of this program does by itself for an organisation.
    pub fn of_system(organization: OrganizationId, name: &str) -> Self {
        Self {
            organization,
            actor: Actor::system(name),
            request: RequestId::fresh(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_are_read_as_they_are_written() {
        for actor in [
            Actor::User(12),
            Actor::Key(7),
            Actor::system("ingest"),
            Actor::job("send-invoice"),
        ] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
        for text in ["", "user", "user:x", "system:", "system:a b", "robot:1"] {
            assert!(text.parse::<Actor>().is_err(), "{text}");
        }
        assert_eq!(Actor::system("a'; DROP").to_string(), "system:aDROP");
    }

    #[test]
    fn request_ids() {
        assert_eq!("mine-7".parse::<RequestId>().unwrap().as_str(), "mine-7");
        for text in ["", "a b", "a'b", &"x".repeat(65)] {
            assert_eq!(text.parse::<RequestId>(), Err(NoRequestId), "{text}");
        }
        let fresh = RequestId::fresh();
        assert_eq!(fresh.as_str().parse(), Ok(fresh));
    }
}
