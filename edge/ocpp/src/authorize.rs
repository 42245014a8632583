//! The list of tokens by which the gateway decides alone, whether the cloud is there or not.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a token stands (OCPP 1.6 §7.2, 2.0.1 §3.2): the values that both versions have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It may charge.
    Accepted,
    /// It is known and must not charge.
    Blocked,
    /// Its time is over.
    Expired,
    /// It is not known.
    Invalid,
    /// It charges already.
    ConcurrentTx,
}

impl Standing {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Blocked => "Blocked",
            Self::Expired => "Expired",
            Self::Invalid => "Invalid",
            Self::ConcurrentTx => "ConcurrentTx",
        }
    }
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Whether it may charge at all.
    pub blocked: bool,
    /// From when on it may not.
    pub expires: Option<Timestamp>,
    /// The group that it belongs to: tokens of one group may end each other's transactions.
    pub group: Option<String>,
}

/// Tokens by their id; ids are compared without case (OCPP 1.6 §7.29, 2.0.1 §3.10).
#[derive(Clone, Debug, Default)]
pub struct AuthList(HashMap<String, Token>);

/// The answer to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) standing: Standing,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) group: Option<String>,
}

impl AuthList {
    /// The token of this id is now like this.
    pub fn set(&mut self, id: &str, token: Token) {
        self.0.insert(id.to_lowercase(), token);
    }

    /// How many tokens it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How a token stands. While the time is not known, nothing is taken to have expired: cars have to charge after a
    /// power cut, too.
    pub(crate) fn verdict(&self, id: &str, wall: Option<Timestamp>) -> Verdict {
        let Some(token) = self.0.get(&id.to_lowercase()) else {
            return Verdict {
                standing: Standing::Invalid,
                expires: None,
                group: None,
            };
        };
        let over = token.expires.zip(wall).is_some_and(|(end, now)| end <= now);
        let standing = match (token.blocked, over) {
            (true, _) => Standing::Blocked,
            (false, true) => Standing::Expired,
            (false, false) => Standing::Accepted,
        };
        Verdict {
            standing,
            expires: token.expires,
            group: token.group.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expires_when_the_time_is_known() {
        let mut list = AuthList::default();
        let end: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let token = Token {
            blocked: false,
            expires: Some(end),
            group: None,
        };
        list.set("Card-A", token);
        let standing = |wall: Option<&str>| {
            let wall = wall.map(|text| text.parse().unwrap());
            list.verdict("cARD-a", wall).standing
        };
        assert_eq!(standing(Some("2026-04-30T23:59:59Z")), Standing::Accepted);
        assert_eq!(standing(Some("2026-05-01T00:00:00Z")), Standing::Expired);
        assert_eq!(standing(None), Standing::Accepted);
        assert_eq!(list.verdict("other", None).standing, Standing::Invalid);
    }
}
