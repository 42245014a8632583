//! Commands to gateways, and their life: queued, sent, received, and then done, refused or expired
//! (`telemetry.command`). They are sent again until they are answered; gateways carry each out at most once. Answers
//! are records of kind `command.answer`, `{"command": id, "result": …, "detail": …}`; they move the command in the
//! transaction that stores them.

use std::{fmt, iter, str::FromStr, time::Duration};

use deadpool_postgres::Transaction;
use jiff::{SignedDuration, Timestamp};
use platform::{Db, DbError};
use serde::{Deserialize, Serialize};
use shared_protocol::{Command, CommandBody, Epoch, GatewayId, NoStationCommand, StationOrder};
use tokio_postgres::{Client, Row};
use utoipa::ToSchema;

use crate::{
    ingest::RecordRows,
    micros::Micros,
    outcome::short,
    plan::{self, PlanError},
    read::MOST_ROWS,
    trouble::Trouble,
};

/// The kind of records that answer commands.
pub const ANSWER: &str = "command.answer";
/// Longest that a command may be valid: a gateway remembers it until then.
pub const LONGEST: Duration = Duration::from_hours(30 * 24);
const LONGEST_DETAIL: usize = 500;

/// Names a command: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommandId(pub [u8; 16]);

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl FromStr for CommandId {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if digits => Ok(Self(number.to_be_bytes())),
            _ => Err(CommandError::Id(text.chars().take(40).collect())),
        }
    }
}

/// Why a command cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Not the name of a command.
    #[error("`{0}` names no command: expected 32 hexadecimal digits")]
    Id(String),
    /// It means nothing.
    #[error(
        "`{kind} {argument}` is no command: there are `ping`, `send-columns COUNTER.NONCE` (nonce: 16 hexadecimal digits), `plan PLAN` (JSON), `clear-trouble-codes VEHICLE` (by its key at the gateway) and `station ORDER` (JSON)"
    )]
    Unknown {
        /// Its first word.
        kind: String,
        /// The rest.
        argument: String,
    },
    /// A plan that says nothing.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// No charging station can do it.
    #[error("the order to a station: {0}")]
    Station(#[from] NoStationCommand),
    /// Nobody would carry it out.
    #[error("no gateway that is trusted is called {0}")]
    Gateway(GatewayId),
    /// It would expire at once, or hardly ever.
    #[error("a command is valid for at least a second and at most 30 days, not {0:?}")]
    Valid(Duration),
    /// The database is out of reach.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl From<tokio_postgres::Error> for CommandError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

/// What words ask for.
fn body(kind: &str, argument: &str) -> Result<CommandBody, CommandError> {
    let epoch = || {
        let (counter, nonce) = argument.split_once('.')?;
        Some(Epoch {
            counter: counter.parse().ok()?,
            nonce: u64::from_str_radix(nonce, 16)
                .ok()
                .filter(|_| nonce.len() == 16)?,
        })
    };
    let found = match kind {
        "plan" => {
            return Ok(match plan::read(argument)? {
                (plan, Some(assumed)) => CommandBody::PlanAssuming(plan, assumed),
                (plan, None) => CommandBody::Plan(plan),
            });
        }
        "station" => {
            StationOrder::parse(argument)?;
            Some(CommandBody::Station(argument.to_owned()))
        }
        "ping" if argument.is_empty() => Some(CommandBody::Ping),
        "send-columns" => epoch().map(CommandBody::SendColumns),
        "clear-trouble-codes" => argument.parse().ok().map(CommandBody::ClearTroubleCodes),
        _ => None,
    };
    found.ok_or_else(|| CommandError::Unknown {
        kind: kind.to_owned(),
        argument: short(argument, LONGEST_DETAIL),
    })
}

/// Queues a command for a gateway, valid for so long from `now` on.
pub async fn send(
    db: &Db,
    gateway: &GatewayId,
    what: (&str, &str),
    now: Timestamp,
    valid: Duration,
) -> Result<CommandId, CommandError> {
    let client = db.system().await?;
    queue(&client, gateway, what, now, valid).await
}

/// The same on a connection, or in a transaction of the organisation that owns the gateway: to it there are no others.
pub async fn queue(
    client: &Client,
    gateway: &GatewayId,
    (kind, argument): (&str, &str),
    now: Timestamp,
    valid: Duration,
) -> Result<CommandId, CommandError> {
    body(kind, argument)?;
    if !(Duration::from_secs(1)..=LONGEST).contains(&valid) {
        return Err(CommandError::Valid(valid));
    }
    let expires = SignedDuration::try_from(valid)
        .ok()
        .and_then(|valid| now.checked_add(valid).ok())
        .ok_or(CommandError::Valid(valid))?;
    let id = CommandId(uuid::Uuid::new_v4().into_bytes());
    let sql = include_str!("../queries/insert_command.sql");
    let row = client
        .query_opt(
            sql,
            &[
                &&id.0[..],
                &gateway.as_str(),
                &kind,
                &argument,
                &now,
                &expires,
            ],
        )
        .await?;
    row.map(|_| id)
        .ok_or_else(|| CommandError::Gateway(gateway.clone()))
}

/// Takes what is due to be sent, in this order, and lets expire what was not answered in time. Whoever takes a command has to
/// send it; what gets lost is due again soon. What a gateway of the version before does not know is followed by what it knows of
/// it, under the same name: whoever has taken the first does not carry out the second.
pub async fn take_due(db: &Db, now: Timestamp) -> Result<Vec<Command>, DbError> {
    let client = db.system().await?;
    let sql = include_str!("../queries/expire_commands.sql");
    client.execute(sql, &[&now]).await?;
    let sql = include_str!("../queries/take_commands.sql");
    let rows = client.query(sql, &[&now]).await?;
    let both = |command: Command| {
        let older = command.for_older();
        iter::once(command).chain(older)
    };
    Ok(rows.iter().filter_map(command).flat_map(both).collect())
}

fn command(row: &Row) -> Option<Command> {
    Some(Command {
        gateway: row.get::<_, &str>("gateway").parse().ok()?,
        id: row.get::<_, &[u8]>("id").try_into().ok()?,
        issued_us: row.get::<_, Micros>("issued_at").0,
        expires_us: row.get::<_, Micros>("expires_at").0,
        body: body(row.get("kind"), row.get("argument")).ok()?,
    })
}

/// A command and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Sent {
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// To whom.
    pub gateway: String,
    /// What to do.
    pub kind: String,
    /// With what.
    pub argument: String,
    /// queued, sent, received, done, refused or expired.
    pub state: String,
    /// What the gateway says beside it.
    pub detail: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// After when it must not be carried out.
    pub expires_at: Timestamp,
    /// How many times it was sent.
    pub sends: i32,
    /// When it was last sent.
    pub sent_at: Option<Timestamp>,
    /// When the gateway received it.
    pub received_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

/// Where a page of commands ended: when its last one was issued, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Before(Timestamp, CommandId);

impl FromStr for Before {
    type Err = CommandError;

    fn from_str(text: &str) -> Result<Self, CommandError> {
        let bad = || CommandError::Id(text.chars().take(40).collect());
        let (time, id) = text.split_once('.').ok_or_else(bad)?;
        let time = time.parse().ok().map(Timestamp::from_microsecond);
        Ok(Self(
            time.and_then(Result::ok).ok_or_else(bad)?,
            id.parse()?,
        ))
    }
}

impl Sent {
    /// Where a page that ends with it ends.
    pub fn cursor(&self) -> String {
        format!("{}.{}", self.issued_at.as_microsecond(), self.id)
    }
}

/// Commands, newest first: of one gateway, or of all.
pub async fn list(
    client: &Client,
    gateway: Option<&GatewayId>,
    most: u32,
) -> Result<Vec<Sent>, DbError> {
    page(client, gateway, None, most).await
}

/// The same, from the one after `before` on.
pub async fn page(
    client: &Client,
    gateway: Option<&GatewayId>,
    before: Option<Before>,
    most: u32,
) -> Result<Vec<Sent>, DbError> {
    find(client, gateway, None, before, most).await
}

/// The command with this name.
pub async fn show(client: &Client, id: CommandId) -> Result<Option<Sent>, DbError> {
    Ok(find(client, None, Some(id), None, 1).await?.pop())
}

async fn find(
    client: &Client,
    gateway: Option<&GatewayId>,
    only: Option<CommandId>,
    before: Option<Before>,
    most: u32,
) -> Result<Vec<Sent>, DbError> {
    let sql = include_str!("../queries/commands.sql");
    let name = gateway.map(GatewayId::as_str);
    let only = only.as_ref().map(|id| &id.0[..]);
    let time = before.map(|before| before.0);
    let id = before.as_ref().map(|before| &before.1.0[..]);
    let most = i64::from(most.clamp(1, MOST_ROWS));
    let rows = client
        .query(sql, &[&name, &only, &time, &id, &most])
        .await?;
    let sent = |row: &Row| Sent {
        id: row
            .get::<_, &[u8]>("id")
            .try_into()
            .map_or_else(|_| String::new(), |id| CommandId(id).to_string()),
        gateway: row.get("gateway"),
        kind: row.get("kind"),
        argument: row.get("argument"),
        state: row.get("state"),
        detail: row.get("detail"),
        issued_at: row.get("issued_at"),
        expires_at: row.get("expires_at"),
        sends: row.get("sends"),
        sent_at: row.get("sent_at"),
        received_at: row.get("received_at"),
        ended_at: row.get("ended_at"),
    };
    Ok(rows.iter().map(sent).collect())
}

/// A gateway's word on a command.
#[derive(Debug, Deserialize)]
struct Answer {
    command: String,
    result: String,
    #[serde(default)]
    detail: String,
}

/// The state that an answer means, and what is said beside it. Nobody knows how far an interrupted command got.
fn state(answer: &Answer) -> Option<(&'static str, String)> {
    let detail = short(&answer.detail, LONGEST_DETAIL);
    match answer.result.as_str() {
        "received" => Some(("received", detail)),
        "done" => Some(("done", detail)),
        "refused" => Some(("refused", detail)),
        "expired" => Some(("expired", detail)),
        "interrupted" => Some((
            "refused",
            "interrupted: nobody knows how far it got".to_owned(),
        )),
        _ => None,
    }
}

/// Moves the commands that records answer. What is no answer, or to no command of the gateway, stays a record.
pub(crate) async fn answers<'a>(
    tx: &Transaction<'_>,
    records: impl Iterator<Item = (i32, &'a RecordRows<'a>)>,
) -> Result<(), Trouble> {
    let mut gateways: Vec<i32> = Vec::new();
    let mut ids: Vec<Vec<u8>> = Vec::new();
    let mut states: Vec<&str> = Vec::new();
    let mut details: Vec<String> = Vec::new();
    let mut times: Vec<Micros> = Vec::new();
    for (gateway, rows) in records {
        for (record, &time_us) in rows.records.iter().zip(&rows.times_us) {
            if record.kind != ANSWER {
                continue;
            }
            let Ok(answer) = serde_json::from_str::<Answer>(&record.payload) else {
                continue;
            };
            let (Ok(id), Some((state, detail))) =
                (answer.command.parse::<CommandId>(), state(&answer))
            else {
                continue;
            };
            gateways.push(gateway);
            ids.push(id.0.to_vec());
            states.push(state);
            details.push(detail);
            times.push(Micros(time_us));
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    let statement = tx
        .prepare_cached(include_str!("../queries/answer_commands.sql"))
        .await?;
    tx.execute(&statement, &[&gateways, &ids, &states, &details, &times])
        .await?;
    Ok(())
}
