//! Depots in the cloud: read from there, written to there, and never over what somebody else wrote meanwhile.
//!
//! Which version of the cloud a file goes back to is remembered in a file beside it, `depot.toml.cloud`
//! ([`Memory`]): the depot file stays to the byte what its author wrote, and is the same here and there.
//!
//! | file | subject |
//! |---|---|
//! | `cloud/client.rs` | the cloud's API for depots |
//! | `cloud/memory.rs` | which version a file goes back to |

mod client;
mod memory;

use std::{
    fs,
    path::{Path, PathBuf},
};

use config_file::Faults;

pub use client::{Basis, Cloud, Kept, Key, Put, Written};
pub use memory::{Base, Memory};

use crate::{
    depot::Depot,
    diff::{Change, diff},
    document::Document,
};

/// Why a depot could not be read from the cloud or written to it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum CloudError {
    #[error(
        "expected an API key with {permission} in PATIO_API_KEY or in a file (--key-file), found none"
    )]
    NoKey { permission: &'static str },
    #[error("the API key {place} is not one: expected visible ASCII characters in one line")]
    BadKey { place: String },
    #[error(
        "{url}: expected https://HOST (http:// only to this machine, for the API key goes along)"
    )]
    Url { url: String },
    #[error("{path}: expected certificates (PEM), found {found}")]
    Certificates { path: PathBuf, found: String },
    #[error(
        "{url}: no answer: {reason}. Whether something was written is not known: the same command again is safe"
    )]
    NoAnswer { url: String, reason: String },
    #[error("{url}: answered {status}: {detail}")]
    Refused {
        url: String,
        status: u16,
        detail: String,
    },
    #[error("the cloud finds the depot not sound; nothing was written:\n{0}")]
    Invalid(String),
    #[error("{url}: expected an answer of Patio's API, found {found}")]
    Strange { url: String, found: String },
    #[error("the cloud has no depot `{0}` that this key may see")]
    Missing(String),
    #[error(
        "{path}: it has changes that the cloud does not have: push them, or import to another file with --out"
    )]
    OwnChanges { path: PathBuf },
    #[error(
        "--over {wanted}: the cloud has version {found} by now; look at it first (push without --over shows what differs)"
    )]
    OverAnother { wanted: u32, found: u32 },
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error(transparent)]
    Faults(#[from] Faults),
}

impl CloudError {
    fn file(path: &Path, problem: impl std::fmt::Display) -> Self {
        Self::File {
            path: path.to_owned(),
            problem: problem.to_string(),
        }
    }
}

/// What came of a push.
#[derive(Debug)]
pub enum Pushed {
    /// The cloud has it, as this version. `changed` is false when it had it already.
    Done(Written),
    /// Somebody else wrote meanwhile; nothing was written.
    Conflict {
        /// What the cloud has.
        theirs: Box<Kept>,
        /// The version that the file goes back to; `None` when it was never there.
        base: Option<u32>,
        /// What differs, from theirs to ours; `None` when theirs cannot be read by this program.
        changes: Option<Vec<Change>>,
    },
}

/// Writes a depot file to the cloud, if the cloud still has the version that the file goes back to. `over` is a version
/// of the cloud that is known and shall be replaced though the file does not go back to it.
pub fn push(cloud: &Cloud, file: &Path, over: Option<u32>) -> Result<Pushed, CloudError> {
    let (document, depot) = Document::read(file)?;
    let id = depot.site.id.as_str();
    let mut memory = Memory::of(file)?;
    let base = memory.base(cloud.url(), id).cloned();
    let basis = match over {
        Some(wanted) => {
            let kept = cloud.get(id)?;
            let kept = kept.ok_or_else(|| CloudError::Missing(id.to_owned()))?;
            if kept.version != wanted {
                let found = kept.version;
                return Err(CloudError::OverAnother { wanted, found });
            }
            Basis::Version(kept.etag)
        }
        None => match &base {
            Some(base) => Basis::Version(base.etag.clone()),
            None => Basis::New,
        },
    };
    match cloud.put(id, &document, &basis)? {
        Put::Written(written) => {
            memory.set(
                cloud.url(),
                Base::new(id, written.version, &written.etag, &document),
            );
            memory.write()?;
            Ok(Pushed::Done(written))
        }
        Put::Conflict(detail) => {
            let Some(theirs) = cloud.get(id)? else {
                return Err(CloudError::Refused {
                    url: cloud.url().to_owned(),
                    status: 412,
                    detail,
                });
            };
            let changes = theirs
                .document
                .check(id)
                .ok()
                .map(|theirs: Depot| diff(&theirs, &depot));
            Ok(Pushed::Conflict {
                theirs: Box::new(theirs),
                base: base.map(|base| base.version),
                changes,
            })
        }
    }
}

/// Writes a depot of the cloud to a file, with the files that it names beside it. A file that is there is replaced only
/// if the cloud had it as it is.
pub fn import(cloud: &Cloud, id: &str, file: &Path) -> Result<Kept, CloudError> {
    let kept = cloud.get(id)?;
    let kept = kept.ok_or_else(|| CloudError::Missing(id.to_owned()))?;
    let depot = kept.document.check(id)?;
    let mut memory = Memory::of(file)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let known = memory.base(cloud.url(), id).map(|base| base.digest.clone());
    let (text, files) = (&kept.document.text, &kept.document.files);
    let targets = files.iter().map(|(path, text)| (folder.join(path), text));
    let targets: Vec<_> = std::iter::once((file.to_owned(), text))
        .chain(targets)
        .collect();
    let differs = targets
        .iter()
        .any(|(path, text)| path.exists() && fs::read_to_string(path).ok().as_ref() != Some(*text));
    if differs {
        let ours = Document::read(file)
            .ok()
            .map(|(ours, _)| hex::encode(ours.digest()));
        if ours.is_none() || ours != known {
            return Err(CloudError::OwnChanges {
                path: file.to_owned(),
            });
        }
    }
    for (path, text) in targets {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| CloudError::file(folder, error))?;
        }
        memory::replace(&path, text)?;
    }
    memory.set(
        cloud.url(),
        Base::new(
            depot.site.id.as_str(),
            kept.version,
            &kept.etag,
            &kept.document,
        ),
    );
    memory.write()?;
    Ok(kept)
}
