//! The time that was last saved: a file with microseconds since 1970. It only ever helps: one that is damaged is none.

use std::{fs, io, path::Path};

const NAME: &str = "clock";

pub(super) fn read(folder: &Path) -> Option<i64> {
    fs::read_to_string(folder.join(NAME))
        .ok()?
        .trim()
        .parse()
        .ok()
}

pub(super) fn write(folder: &Path, time_us: i64) -> io::Result<()> {
    let new = folder.join("clock.new");
    fs::write(&new, format!("{time_us}\n"))?;
    fs::rename(new, folder.join(NAME))
}
