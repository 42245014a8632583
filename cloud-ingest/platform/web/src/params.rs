//! Query parameters, checked one by one: what is unknown, given twice or not what it must be is said by name.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use jiff::Timestamp;

use crate::{page::PageSize, problem::Problem};

/// The parameters of a request.
#[derive(Debug)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::parameter("(query)", "name=value, joined by &", &query))?;
        Ok(Self(pairs))
    }
}

impl Params {
    /// Nothing but these, and none of them twice.
    pub fn only(&self, known: &[&str]) -> Result<(), Problem> {
        for (index, (name, value)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let rule = format!("one of the known parameters: {}", known.join(", "));
                return Err(Problem::parameter(name, rule, value));
            }
            if self.0[..index].iter().any(|(other, _)| other == name) {
                return Err(Problem::parameter(name, "given once", value));
            }
        }
        Ok(())
    }

    /// The text of a parameter.
    pub fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A text that a database takes: without U+0000.
    pub fn plain(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.text(name) {
            Some(text) if text.contains('\0') => {
                Err(Problem::parameter(name, "a text without U+0000", text))
            }
            text => Ok(text),
        }
    }

    /// A text that has to be there.
    pub fn required(&self, name: &str, rule: &str) -> Result<&str, Problem> {
        self.text(name)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Problem::parameter(name, rule, ""))
    }

    /// A whole number within bounds.
    pub fn integer(&self, name: &str, least: u32, most: u32, default: u32) -> Result<u32, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        text.parse()
            .ok()
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                Problem::parameter(name, format!("a whole number from {least} to {most}"), text)
            })
    }

    /// How many items the page shall have: `limit`.
    pub fn limit(&self, size: PageSize) -> Result<u32, Problem> {
        self.integer("limit", 1, size.most, size.usual)
    }

    /// An instant.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let rule = "a time as RFC 3339 has it, such as 2026-03-01T08:00:00Z";
        self.text(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| Problem::parameter(name, rule, text))
            })
            .transpose()
    }

    /// The place where the page before ended.
    pub fn cursor<T: std::str::FromStr>(&self) -> Result<Option<T>, Problem> {
        let rule = "what `next` of the page before says";
        self.text("cursor")
            .map(|text| {
                text.parse()
                    .map_err(|_| Problem::parameter("cursor", rule, text))
            })
            .transpose()
    }
}
