//! `cloud-ingest privacy …`: personal data, and what people ask about theirs (ARCO). What is carried out here is carried out
//! at once, and is in the audit trail as done by `system:command-line`.

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use ::privacy::{
    Kind, New, PrivacyError, carry, deadline, proof, register, request,
    request::{Person, Receipt, State},
};
use clap::Subcommand;
use jobs::House;
use platform::{Clock, Db, Scope};

use super::{
    Failure,
    people::{Whose, scope},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print which personal data are kept, why, how long, and what becomes of them on erasure (Markdown).
    Data,
    /// List what people asked, with the last day for the answer.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Access: write everything that is kept of somebody to a file that nobody else may read, as JSON.
    Export {
        /// Whose, such as user:12.
        subject: String,
        /// The file to make.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        whose: Whose,
    },
    /// Rectification: what is wrong, and what it should be.
    Correct {
        /// Whose, such as user:12.
        subject: String,
        /// Such as name="Ana Pérez"; may be given several times.
        #[arg(long = "set", required = true, value_name = "COLUMN=TEXT")]
        set: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Erasure. Prints the receipt, which proves to whoever has the data that these were the ones; it is shown this once.
    Erase {
        /// Whose, such as user:12.
        subject: String,
        /// Read from standard input how else they are known, a line each: phone numbers, other addresses.
        #[arg(long)]
        also_stdin: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Refuse an open request.
    Refuse {
        /// Its number.
        id: i64,
        /// Why; it names nobody.
        #[arg(long)]
        because: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Show what was done for a request, and look whether it is still so. Status 0 when it is, else 1.
    Prove {
        /// Its number.
        id: i64,
        /// Read from standard input by what the person is known, a line each, and look for it in everything that people write.
        #[arg(long)]
        known_stdin: bool,
        #[command(flatten)]
        whose: Whose,
    },
}

struct Desk {
    db: Db,
    scope: Scope,
    clock: Clock,
}

impl Desk {
    async fn open(whose: Whose) -> Result<Self, Failure> {
        let db = whose.place.connect().await?;
        let scope = scope(&db, &whose.organization).await?;
        Ok(Self {
            db,
            scope,
            clock: Clock::system(),
        })
    }

    /// Writes a request down and carries it out, in one transaction.
    async fn do_it(
        &self,
        kind: Kind,
        subject: &str,
        also: Vec<String>,
        corrections: &carry::Corrections,
    ) -> Result<(i64, Receipt, carry::Outcome), Failure> {
        let now = self.clock.now();
        let new = New {
            kind,
            person: Person::parse(subject)?,
            also,
        };
        let house = House::begin(&self.db).await?;
        let (id, receipt) = request::add(&house, &self.scope, &new, now).await?;
        let outcome = carry::out(&house, &self.scope, id, corrections, now).await?;
        house.commit().await.map_err(PrivacyError::from)?;
        Ok((id, receipt, outcome))
    }
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Data => print!("{}", register().page()),
        Command::List { whose } => {
            let desk = Desk::open(whose).await?;
            let tx = desk.db.tenant(&desk.scope).await?;
            let all = request::list(&tx, desk.scope.organization, 0, u32::MAX).await?;
            println!(
                "{:>8}  {:<14}  {:<16}  {:<10}  {:<10}  STATE",
                "NUMBER", "KIND", "SUBJECT", "ORIGIN", "DUE"
            );
            let today = deadline::today(desk.clock.now());
            for one in all {
                let state = match one.state {
                    State::Open if one.due_on < today => "open, late",
                    State::Open => "open",
                    State::Done => "done",
                    State::Refused => "refused",
                };
                println!(
                    "{:>8}  {:<14}  {:<16}  {:<10}  {:<10}  {state}",
                    one.id,
                    one.kind.word(),
                    one.subject,
                    one.origin,
                    one.due_on
                );
            }
        }
        Command::Export {
            subject,
            out,
            whose,
        } => {
            let desk = Desk::open(whose).await?;
            let mut file = private_file(&out)?;
            let nothing = BTreeMap::new();
            let done = desk.do_it(Kind::Access, &subject, Vec::new(), &nothing);
            let (id, _, outcome) = match done.await {
                Ok(done) => done,
                Err(failure) => {
                    // It is empty, and was not there before.
                    let _ = std::fs::remove_file(&out);
                    return Err(failure);
                }
            };
            let text = serde_json::to_vec_pretty(&outcome.export)
                .map_err(|error| Failure::run(error.to_string()))?;
            file.write_all(&text)
                .and_then(|()| file.sync_all())
                .map_err(|error| Failure::run(format!("{}: {error}", out.display())))?;
            println!("request {id}: {} is in {}", subject, out.display());
        }
        Command::Correct {
            subject,
            set,
            whose,
        } => {
            let mut corrections = BTreeMap::new();
            for one in set {
                let (column, text) = one.split_once('=').ok_or_else(|| {
                    Failure::bad_input(format!("--set must be COLUMN=TEXT, and is `{one}`"))
                })?;
                corrections.insert(column.to_owned(), text.to_owned());
            }
            let desk = Desk::open(whose).await?;
            let done = desk.do_it(Kind::Rectification, &subject, Vec::new(), &corrections);
            let (id, ..) = done.await?;
            println!("request {id}: {subject} is corrected");
        }
        Command::Erase {
            subject,
            also_stdin,
            whose,
        } => {
            let also = lines(also_stdin)?;
            let desk = Desk::open(whose).await?;
            let nothing = BTreeMap::new();
            let done = desk.do_it(Kind::Erasure, &subject, also, &nothing);
            let (id, receipt, outcome) = done.await?;
            show(&outcome.steps);
            eprintln!("request {id}: {subject} is erased; the receipt is shown this once");
            println!("{}", hex::encode(receipt.0));
        }
        Command::Refuse { id, because, whose } => {
            let desk = Desk::open(whose).await?;
            let tx = desk.db.tenant(&desk.scope).await?;
            request::refuse(&tx, &desk.scope, id, &because, desk.clock.now()).await?;
            tx.commit().await.map_err(PrivacyError::from)?;
            println!("request {id}: refused");
        }
        Command::Prove {
            id,
            known_stdin,
            whose,
        } => {
            let known = lines(known_stdin)?;
            let desk = Desk::open(whose).await?;
            let house = House::begin(&desk.db).await?;
            let organization = desk.scope.organization;
            let verdict = proof::verify(&house, organization, id, &known).await?;
            show(&proof::steps(&house, organization, id).await?);
            let word = |holds: bool| if holds { "yes" } else { "NO" };
            println!(
                "the steps fit the proof: {}\nthe audit trail has the proof: {} (`audit verify` follows the trail itself)",
                word(verdict.intact),
                word(verdict.audited)
            );
            for (place, rows) in &verdict.remains {
                println!("{place}: {rows} rows are there still or again");
            }
            if !verdict.holds() {
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(steps: &[proof::Step]) {
    for step in steps {
        eprintln!(
            "{:>3}  {:<9} {:>8} rows  {}  {}  {}{}",
            step.number,
            step.what.word(),
            step.rows,
            step.relation,
            step.columns.join(","),
            step.digest,
            if step.because.is_empty() {
                String::new()
            } else {
                format!("  ({})", step.because)
            }
        );
    }
}

/// Personal data are no arguments: those of a process are for everybody on the machine to read.
fn lines(read: bool) -> Result<Vec<String>, Failure> {
    if !read {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(64 * 1024)
        .read_to_string(&mut text)
        .map_err(|error| Failure::bad_input(format!("standard input: {error}")))?;
    let each = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(each.map(str::to_owned).collect())
}

/// A new file for its owner alone.
fn private_file(path: &std::path::Path) -> Result<std::fs::File, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| Failure::bad_input(format!("{}: {error}", path.display())))
}

impl From<PrivacyError> for Failure {
    fn from(error: PrivacyError) -> Self {
        match error {
            PrivacyError::Db(error) => error.into(),
            PrivacyError::Register { .. } | PrivacyError::Randomness(_) => {
                Self::run(error.to_string())
            }
            other => Self::bad_input(other.to_string()),
        }
    }
}
