//! `cloud-ingest export …` · `cloud-ingest import …`: samples leave and come in as files.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode};

use clap::Args;
use jiff::{Timestamp, civil::Date, tz::TimeZone};
use platform::{Clock, Db, DbError, OrganizationId, Register, Scope};
use serde_json::{Value, json};
use telemetry::samples::Selection;
use transfer::{Checked, ExportError, Exported, Format, ImportError, Plan};

use super::{Failure, Where, people::COMMAND_LINE};

#[derive(Debug, Args)]
pub(super) struct Export {
    /// The file to make. It must not be there yet.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// csv or parquet; without it the end of the file's name says it.
    #[arg(long)]
    format: Option<Format>,
    /// Name of the organisation that owns the assets.
    #[arg(long, default_value = "default")]
    organization: String,
    /// Only of this asset, by its number; may be given several times.
    #[arg(long, value_name = "NUMBER")]
    asset: Vec<i32>,
    /// Only of the signal with this name, such as Vehicle.Speed; may be given several times.
    #[arg(long, value_name = "NAME")]
    signal: Vec<String>,
    /// From this time on: 2026-01-31T08:00:00Z, or 2026-01-31 (UTC).
    #[arg(long, value_parser = time, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Before this time.
    #[arg(long, value_parser = time, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Positions that are not to be shown by the rules of their asset, too: for moving to another database, not for people.
    #[arg(long)]
    hidden_positions: bool,
    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file.
    file: PathBuf,
    /// csv or parquet; without it the end of the file's name says it.
    #[arg(long)]
    format: Option<Format>,
    /// Name of the organisation that owns the assets.
    #[arg(long, default_value = "default")]
    organization: String,
    /// An asset of the file and the asset that it is here, by their numbers; may be given several times. Others keep their
    /// number, and must have the same name.
    #[arg(long, value_name = "NUMBER=NUMBER", value_parser = pair)]
    asset: Vec<(i32, i32)>,
    /// How many samples the file has to have, as `export` has said.
    #[arg(long, value_name = "NUMBER")]
    samples: Option<u64>,
    /// Look at the file and store nothing.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    place: Where,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let day = || -> Option<Timestamp> {
        let day: Date = text.parse().ok()?;
        Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp())
    };
    text.parse()
        .ok()
        .or_else(day)
        .ok_or_else(|| "expected a time such as 2026-01-31T08:00:00Z, or a day".to_owned())
}

fn pair(text: &str) -> Result<(i32, i32), String> {
    let read = || {
        let (from, to) = text.split_once('=')?;
        Some((from.parse().ok()?, to.parse().ok()?))
    };
    read().ok_or_else(|| "expected two numbers such as 5=17".to_owned())
}

fn format(asked: Option<Format>, file: &std::path::Path) -> Result<Format, Failure> {
    asked.or_else(|| Format::of(file)).ok_or_else(|| {
        Failure::bad_input(format!(
            "{}: its name ends neither with .csv nor with .parquet: say --format",
            file.display()
        ))
    })
}

/// The organisation and its assets.
async fn assets(
    db: &Db,
    organization: &str,
) -> Result<(OrganizationId, BTreeMap<i32, String>), Failure> {
    let register = Register::new(db.clone(), Clock::system());
    let id = register
        .organization(organization)
        .await?
        .ok_or_else(|| Failure::bad_input(format!("there is no organisation {organization}")))?;
    let client = db.system().await?;
    Ok((id, transfer::assets(&client, id).await?))
}

/// Notes in the organisation's audit trail what is about to leave or to come in: how much, of what, and whose login of this
/// machine it was.
async fn note(db: &Db, scope: &Scope, action: &str, what: Value) -> Result<(), DbError> {
    let subject = match what["assets"].as_array().map(Vec::as_slice) {
        Some([asset]) => format!("asset:{asset}"),
        _ => format!("organization:{}", scope.organization),
    };
    let entry = audit::Entry {
        action,
        subject: &subject,
        before: None,
        after: Some(&what),
    };
    let tx = db.tenant(scope).await?;
    audit::record(&tx, scope, &entry, Timestamp::now()).await?;
    Ok(tx.commit().await?)
}

pub(super) async fn export(command: Export) -> Result<ExitCode, Failure> {
    let format = format(command.format, &command.out)?;
    let (from, to) = (
        command.from.unwrap_or(Timestamp::UNIX_EPOCH),
        // Nothing is stored that is more than a day ahead, and the last instant that PostgreSQL knows is later than ours.
        command.to.unwrap_or(Timestamp::MAX),
    );
    if from >= to {
        return Err(Failure::bad_input(format!(
            "--from {from} is not before --to {to}"
        )));
    }
    let db = command.place.connect().await?;
    let (organization, names) = assets(&db, &command.organization).await?;
    if let Some(unknown) = command
        .asset
        .iter()
        .find(|asset| !names.contains_key(asset))
    {
        return Err(Failure::bad_input(format!(
            "organisation {} has no asset {unknown}",
            command.organization
        )));
    }
    let scope = Scope::of_system(organization, COMMAND_LINE);
    let mut asked = json!({
        "assets": (!command.asset.is_empty()).then_some(&command.asset),
        "signals": (!command.signal.is_empty()).then_some(&command.signal),
        "from": command.from,
        "to": command.to,
        "hidden_positions": command.hidden_positions,
        "login": rustix::process::getuid().as_raw(),
    });
    let note = async |exported: Exported| {
        asked["samples"] = exported.samples.into();
        note(&db, &scope, "samples.export", asked).await
    };
    let selection = Selection {
        assets: if command.asset.is_empty() {
            names.keys().copied().collect()
        } else {
            command.asset
        },
        from,
        to,
        signals: (!command.signal.is_empty()).then_some(command.signal),
        hidden_positions: command.hidden_positions,
    };
    let mut client = db.system().await?;
    let out = &command.out;
    let exported = transfer::export(&mut client, &selection, &names, out, format, note)
        .await
        .map_err(|error| match error {
            ExportError::Place { .. } => Failure::bad_input(error.to_string()),
            _ => Failure::run(format!("{}: {error}; nothing was written", out.display())),
        })?;
    println!("{}: {} samples", command.out.display(), exported.samples);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn import(command: Import) -> Result<ExitCode, Failure> {
    let format = format(command.format, &command.file)?;
    let db = command.place.connect().await?;
    let (organization, assets) = assets(&db, &command.organization).await?;
    let scope = Scope::of_system(organization, COMMAND_LINE);
    let mut to = BTreeMap::new();
    for (from, asset) in command.asset {
        if to.insert(from, asset).is_some() {
            return Err(Failure::bad_input(format!("--asset {from} is given twice")));
        }
    }
    let plan = Plan {
        assets,
        to,
        rows: command.samples,
    };
    let (file, now) = (command.file, Timestamp::now());
    if command.check {
        let checked = transfer::check(&file, format, &plan, now)
            .map_err(|refusal| Failure::bad_input(refusal.to_string()))?;
        println!(
            "{}: {} samples of {} assets, nothing wrong",
            file.display(),
            checked.samples,
            checked.assets.len()
        );
        return Ok(ExitCode::SUCCESS);
    }
    let note = async |checked: Checked| {
        let what = json!({
            "assets": checked.assets,
            "samples": checked.samples,
            "login": rustix::process::getuid().as_raw(),
        });
        note(&db, &scope, "samples.import", what).await
    };
    let imported = transfer::import(&db, &file, format, plan, now, note)
        .await
        .map_err(|error| match error {
            ImportError::Refused(refusal) => {
                Failure::bad_input(format!("{refusal}\nnothing was stored"))
            }
            ImportError::Noted(_) => Failure::run(format!("{error}; nothing was stored")),
            ImportError::Stopped { .. } => Failure::run(error.to_string()),
        })?;
    println!(
        "{}: {} samples, {} of them new",
        file.display(),
        imported.samples,
        imported.new
    );
    Ok(ExitCode::SUCCESS)
}
