//! Names of keys: the one that was meant, the table it belongs in, how it is written.

use std::borrow::Cow;

use crate::{Kind, Schema};

/// The known name nearest to a wrong one, when it is near enough to have been meant.
pub fn nearest<'n>(wrong: &str, known: &[&'n str]) -> Option<&'n str> {
    // Longer ones are not slips of the finger, and the comparison takes the product of both lengths.
    if wrong.len() > 64 {
        return None;
    }
    let plain = |name: &str| name.to_lowercase().replace(['-', ' ', '.'], "_");
    let wrong = plain(wrong);
    let slip = |name: &str| {
        let distance = strsim::osa_distance(&wrong, &plain(name));
        let longest = name.len().max(wrong.len());
        (distance <= (longest / 3).max(1) && distance < wrong.len()).then_some(distance)
    };
    // `information` for `info`, `max` for `maximum`.
    let shortened = |name: &&&str| {
        name.len().min(wrong.len()) >= 3 && (wrong.starts_with(**name) || name.starts_with(&wrong))
    };
    known
        .iter()
        .filter_map(|name| Some((slip(name)?, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
        .or_else(|| known.iter().find(shortened))
        .copied()
}

/// Where in the file a key with this name belongs, when it is in one table only.
pub(crate) fn place_of(root: &'static Schema, name: &str) -> Option<String> {
    fn collect(schema: &'static Schema, name: &str, header: &str, places: &mut Vec<String>) {
        for key in schema.keys {
            let inner = if header.is_empty() {
                key.name.to_owned()
            } else {
                format!("{header}.{}", key.name)
            };
            match key.kind {
                Kind::Table(table) | Kind::Tables(table) => {
                    if table.key(name).is_some() {
                        let double = matches!(key.kind, Kind::Tables(_));
                        places.push(if double {
                            format!("in [[{inner}]]")
                        } else {
                            format!("in [{inner}]")
                        });
                    }
                    collect(table, name, &inner, places);
                }
                _ => {}
            }
        }
    }
    let mut places = Vec::new();
    if root.key(name).is_some() {
        places.push("at the top, before the first [table]".to_owned());
    }
    collect(root, name, "", &mut places);
    (places.len() == 1).then(|| places.swap_remove(0))
}

/// A key as a TOML file writes it.
pub(crate) fn written_key(name: &str) -> Cow<'_, str> {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !name.is_empty() && name.bytes().all(bare) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(format!("\"{}\"", name.escape_default()))
    }
}
