//! The file that holds a secret key: 64 hexadecimal digits, readable by its owner only.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use shared_protocol::{SigningKey, VerifyingKey};

/// Why a key file cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is a file of this name; a key is never overwritten.
    #[error("there is a file of this name already, and a key is never overwritten")]
    Exists,
    /// Others may read it.
    #[error("others than its owner may use the file (mode {0:03o})")]
    Open(u32),
    /// It holds something else.
    #[error("it does not hold a key: expected 64 hexadecimal digits")]
    NotKey,
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
}

impl KeyError {
    /// What to do about it.
    pub fn advice(&self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Open(_) => format!("chmod 600 {path}"),
            Self::Io(_) | Self::NotKey | Self::Randomness(_) => {
                format!("make one with `cloud-ingest keygen --out FILE`, not over {path}")
            }
            Self::Exists => "choose another name, or move the old key away".to_owned(),
        }
    }
}

/// Makes a new key, writes it with mode 0600 and returns its public half. When it cannot be written
/// there is no file.
pub fn generate(path: &Path) -> Result<VerifyingKey, KeyError> {
    let key = SigningKey::generate().map_err(|e| KeyError::Randomness(e.to_string()))?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists,
            _ => KeyError::Io(error),
        })?;
    let written = writeln!(file, "{}", key.to_hex()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a key is worse than none; the first error is the one to tell.
        let _ = std::fs::remove_file(path);
        return Err(error.into());
    }
    Ok(key.verifying_key())
}

/// Reads a key.
pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Open(mode));
    }
    let mut text = String::new();
    match file.take(256).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(KeyError::NotKey),
        read => read?,
    };
    SigningKey::from_hex(&text).map_err(|_| KeyError::NotKey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_read_back_and_kept_secret() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cloud.key");
        let public = generate(&path).unwrap();
        assert_eq!(read(&path).unwrap().verifying_key(), public);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(generate(&path), Err(KeyError::Exists)));
        assert_eq!(read(&path).unwrap().verifying_key(), public);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(KeyError::Open(0o640))));
        let other = folder.path().join("other");
        for content in [&b""[..], b"abc", b"\xff\xfe"] {
            std::fs::write(&other, content).unwrap();
            std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(read(&other), Err(KeyError::NotKey)), "{content:?}");
        }
        assert!(matches!(
            read(&folder.path().join("none")),
            Err(KeyError::Io(_))
        ));
    }
}
