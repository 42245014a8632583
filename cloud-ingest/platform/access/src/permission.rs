//! What can be permitted, and roles: data that people read and extend (`data/permissions.toml`).

use std::{collections::BTreeSet, fmt, sync::LazyLock};

use serde::Deserialize;

/// A permission, as the table has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// Its name; never changes.
    pub name: String,
    /// What it permits.
    pub about: String,
}

/// A role, as the table has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its name; never changes.
    pub name: String,
    /// Who has it.
    pub about: String,
    /// What it permits.
    pub permissions: Vec<String>,
}

/// The table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// Everything that can be permitted.
    #[serde(rename = "permission")]
    pub permissions: Vec<Permission>,
    /// The roles.
    #[serde(rename = "role")]
    pub roles: Vec<Role>,
}

/// The table that this program was built with.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        toml::from_str(include_str!("../data/permissions.toml"))
            .expect("a test reads the embedded table")
    });
    &CATALOGUE
}

/// A name that the table does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of the permissions {all}, and is `{0}`", all = names())]
pub struct UnknownPermission(pub String);

fn names() -> String {
    let names: Vec<&str> = catalogue()
        .permissions
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    names.join(", ")
}

/// A set of permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<&'static str>);

impl Permissions {
    /// Those of these names.
    pub fn named<S: AsRef<str>>(
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, UnknownPermission> {
        let known = |name: S| {
            let name = name.as_ref();
            let found = catalogue().permissions.iter().find(|p| p.name == name);
            found
                .map(|p| p.name.as_str())
                .ok_or_else(|| UnknownPermission(name.chars().take(100).collect()))
        };
        names
            .into_iter()
            .map(known)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Those of these names, as far as this program knows them: what an older or newer one wrote.
    pub fn known<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> Self {
        let found = names.into_iter().filter_map(|name| {
            let all = &catalogue().permissions;
            all.iter()
                .find(|p| p.name == name.as_ref())
                .map(|p| p.name.as_str())
        });
        Self(found.collect())
    }

    /// What these roles permit.
    pub fn of_roles<S: AsRef<str>>(roles: impl IntoIterator<Item = S>) -> Self {
        let roles = roles.into_iter().filter_map(|name| {
            catalogue()
                .roles
                .iter()
                .find(|role| role.name == name.as_ref())
        });
        Self(
            roles
                .flat_map(|role| role.permissions.iter().map(String::as_str))
                .collect(),
        )
    }

    /// Whether this is among them.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Those that are not among the others.
    pub fn beyond(&self, others: &Self) -> Vec<&'static str> {
        self.0.difference(&others.0).copied().collect()
    }

    /// Their names.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().copied().collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let catalogue = catalogue();
        let mut names: Vec<&str> = catalogue
            .permissions
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "each once");
        for name in &names {
            let parts: Vec<&str> = name.split('.').collect();
            let word = |part: &&str| part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(parts.len() == 2 && parts.iter().all(word), "{name}");
        }
        for role in &catalogue.roles {
            assert_eq!(
                Permissions::of_roles([&role.name]).names().len(),
                role.permissions.len()
            );
            Permissions::named(&role.permissions).unwrap();
        }
        let all = Permissions::of_roles(["administrator"]);
        assert_eq!(all.names(), names, "an administrator may do everything");
    }

    #[test]
    fn sets() {
        let viewer = Permissions::of_roles(["viewer", "no such role"]);
        assert!(viewer.has("telemetry.read") && !viewer.has("keys.manage"));
        let asked = Permissions::named(["keys.manage", "telemetry.read"]).unwrap();
        assert_eq!(asked.beyond(&viewer), ["keys.manage"]);
        let unknown = Permissions::named(["telemetry.reed"]).unwrap_err();
        assert!(
            unknown.to_string().contains("telemetry.read, "),
            "{unknown}"
        );
        assert!(Permissions::known(["telemetry.reed"]).is_empty());
    }
}
