//! The archive of files that the kernel unpacks into memory when it boots: cpio, "newc" format
//! (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// An archive that grows. Folders come before what is in them.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<PathBuf>,
    files: BTreeSet<PathBuf>,
}

impl Archive {
    /// Adds a file that may be run, under an absolute path. A path that is there already stays as it is.
    pub fn file(&mut self, path: &Path, content: &[u8]) {
        if !self.files.insert(path.to_owned()) {
            return;
        }
        self.folders_of(path);
        self.entry(path, PROGRAM, content);
    }

    /// Adds an empty folder.
    pub fn folder(&mut self, path: &Path) {
        self.folders_of(&path.join("in it"));
    }

    /// Adds a program of this machine under `path`, without debug symbols, with the shared libraries that it loads.
    pub fn program(&mut self, program: &Path, path: &Path) -> Result<()> {
        self.file(path, &stripped(program)?);
        for library in libraries(program)? {
            let content = fs::read(&library).with_context(|| library.display().to_string())?;
            self.file(&library, &content);
        }
        Ok(())
    }

    /// The whole of it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(Path::new("/TRAILER!!!"), 0, &[]);
        self.bytes
    }

    fn folders_of(&mut self, path: &Path) {
        let above: Vec<_> = path.ancestors().skip(1).map(Path::to_owned).collect();
        for folder in above.into_iter().rev() {
            if folder != Path::new("/") && self.folders.insert(folder.clone()) {
                self.entry(&folder, FOLDER, &[]);
            }
        }
    }

    fn entry(&mut self, path: &Path, mode: u32, content: &[u8]) {
        let name = path.strip_prefix("/").unwrap_or(path).as_os_str();
        let name = name.as_encoded_bytes();
        let number = self.folders.len() + self.files.len();
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
        let fields = [
            number,
            mode as usize,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            0,
            0,
            name.len() + 1,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A program without what only debuggers read: under emulation each megabyte costs time.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let copy = folder.path().join("stripped");
    let done = Command::new("objcopy")
        .arg("--strip-debug")
        .args([program, &copy])
        .status();
    // Without binutils it goes as it is.
    let path = if done.is_ok_and(|status| status.success()) {
        copy
    } else {
        program.to_owned()
    };
    fs::read(&path).with_context(|| path.display().to_string())
}

/// The shared libraries of a program, under the paths by which its loader looks for them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .context("ldd, of Debian's libc-bin")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        // A static program has none.
        let why = String::from_utf8_lossy(&output.stderr);
        if text.contains("not a dynamic") || why.contains("not a dynamic") {
            return Ok(Vec::new());
        }
        bail!("ldd {}: {}", program.display(), why.trim());
    }
    if let Some(line) = text.lines().find(|line| line.contains("not found")) {
        bail!("{}: {}", program.display(), line.trim());
    }
    let paths = text
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    Ok(paths.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_comes_once_and_before_its_files() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a/b/c"), b"12345");
        archive.file(Path::new("/a/d"), b"");
        archive.file(Path::new("/a/d"), b"another content");
        archive.folder(Path::new("/e"));
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let mut names = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let field = |index: usize| {
                let text = &bytes[at + 6 + 8 * index..][..8];
                usize::from_str_radix(std::str::from_utf8(text).unwrap(), 16).unwrap()
            };
            assert_eq!(&bytes[at..at + 6], b"070701");
            let (size, name) = (field(6), field(11));
            names.push(String::from_utf8(bytes[at + 110..at + 110 + name - 1].to_vec()).unwrap());
            at = (at + 110 + name).next_multiple_of(4) + size.next_multiple_of(4);
        }
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/d", "e", "TRAILER!!!"]);
    }
}
