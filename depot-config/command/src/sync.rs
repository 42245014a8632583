//! What `import` and `push` do.

use std::{
    error::Error,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use depot_config::cloud::{self, Cloud, CloudError, Key, Pushed};

/// The cloud and what opens it.
#[derive(Args)]
pub(crate) struct Where {
    /// Address of the cloud: https://HOST.
    #[arg(long = "cloud", env = "PATIO_CLOUD")]
    url: String,
    /// A file with the API key; without it, the key is what the environment has as PATIO_API_KEY.
    #[arg(long)]
    key_file: Option<PathBuf>,
    /// Certificates (PEM) that vouch for the cloud, where those of the Web do not.
    #[arg(long)]
    ca: Option<PathBuf>,
}

impl Where {
    fn open(&self) -> Result<Cloud, CloudError> {
        let key = Key::new(
            std::env::var("PATIO_API_KEY").ok(),
            self.key_file.as_deref(),
        )?;
        Cloud::new(&self.url, key, self.ca.as_deref())
    }
}

pub(crate) fn import(
    name: &str,
    out: Option<PathBuf>,
    cloud: &Where,
) -> Result<ExitCode, Box<dyn Error>> {
    let file = out.unwrap_or_else(|| PathBuf::from(format!("{name}.toml")));
    let kept = cloud::import(&cloud.open()?, name, &file)?;
    println!(
        "{}: version {} of {name}, written by {} at {}",
        file.display(),
        kept.version,
        kept.written_by,
        kept.written_at
    );
    for path in kept.document.files.keys() {
        println!("  with {path}");
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn push(
    file: &Path,
    over: Option<u32>,
    cloud: &Where,
) -> Result<ExitCode, Box<dyn Error>> {
    let pushed = cloud::push(&cloud.open()?, file, over)?;
    let name = file.display();
    match pushed {
        Pushed::Done(written) if written.changed => {
            println!("{name}: written as version {}", written.version);
            Ok(ExitCode::SUCCESS)
        }
        Pushed::Done(written) => {
            println!(
                "{name}: the cloud has it already, as version {}",
                written.version
            );
            Ok(ExitCode::SUCCESS)
        }
        Pushed::Conflict {
            theirs,
            base,
            changes,
        } => {
            let base = base.map_or("was never in this cloud".to_owned(), |base| {
                format!("goes back to version {base}")
            });
            eprintln!(
                "{name}: nothing was written: it {base}, and the cloud has version {}, written by {} at {}",
                theirs.version, theirs.written_by, theirs.written_at
            );
            match changes {
                Some(changes) => {
                    eprintln!("From the cloud's to yours:");
                    for change in changes {
                        eprintln!("  {change}");
                    }
                }
                None => eprintln!(
                    "The cloud's cannot be compared: this program does not find it sound."
                ),
            }
            eprintln!(
                "To take over theirs: depot-config import {} --out OTHER.toml, and bring together what both have;\n\
                 then, or to replace theirs as it is: depot-config push {name} --over {}",
                theirs.id, theirs.version
            );
            Ok(ExitCode::from(1))
        }
    }
}
