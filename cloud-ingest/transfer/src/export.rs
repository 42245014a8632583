//! A selection of what is stored becomes a file. It appears when it is whole: until then its name ends with `.part`.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use platform::{Client, DbError};
use telemetry::samples::{self, ReadError, Sample, Selection};

use crate::{Format, file::Writer, row::Row};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many samples.
    pub samples: u64,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The file cannot be made there.
    #[error("{}: {reason}", path.display())]
    Place {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database is in trouble, or the disk.
    #[error(transparent)]
    Read(#[from] ReadError<io::Error>),
    /// The caller did not want it any more.
    #[error("that it is exported cannot be noted: {0}")]
    Noted(#[source] DbError),
    /// The file could not be written to its end.
    #[error("the file could not be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes what is stored of a selection to a new file. `names` are those of its assets. What is whole is noted, and appears after
/// that: there is no file of which nobody knows.
pub async fn export(
    client: &mut Client,
    selection: &Selection,
    names: &BTreeMap<i32, String>,
    path: &Path,
    format: Format,
    note: impl AsyncFnOnce(Exported) -> Result<(), DbError>,
) -> Result<Exported, ExportError> {
    let place = |reason: String| ExportError::Place {
        path: path.to_owned(),
        reason,
    };
    if path.exists() {
        return Err(place("it is there already".to_owned()));
    }
    let part = part_of(path);
    let file = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(&part)
        .map_err(|error| place(error.to_string()))?;
    if file.try_lock().is_err() {
        return Err(place("another export is writing it".to_owned()));
    }
    // Whoever wrote it before has died.
    file.set_len(0)?;
    let names: HashMap<i32, Arc<str>> = names
        .iter()
        .map(|(asset, name)| (*asset, name.as_str().into()))
        .collect();
    let mut writer = Writer::new(format, BufWriter::new(file))?;
    let take = |page: &[Sample]| {
        for sample in page {
            let name = names
                .get(&sample.asset)
                .map_or_else(|| "".into(), Arc::clone);
            writer.write(&Row {
                sample: sample.clone(),
                asset_name: name,
            })?;
        }
        Ok::<_, io::Error>(())
    };
    let outcome = samples::each(client, selection, take).await;
    let finished = match outcome {
        Ok(samples) => finish(writer, &part, path, Exported { samples }, note).await,
        Err(error) => Err(error.into()),
    };
    if finished.is_err() {
        // What is not whole is of no use to anybody; a file that cannot be removed is overwritten the next time.
        let _ = fs::remove_file(&part);
    }
    finished
}

async fn finish(
    writer: Writer<BufWriter<File>>,
    part: &Path,
    path: &Path,
    exported: Exported,
    note: impl AsyncFnOnce(Exported) -> Result<(), DbError>,
) -> Result<Exported, ExportError> {
    let mut out = writer.finish()?;
    out.flush()?;
    out.get_ref().sync_all()?;
    note(exported).await.map_err(ExportError::Noted)?;
    fs::rename(part, path)?;
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(exported)
}

fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
