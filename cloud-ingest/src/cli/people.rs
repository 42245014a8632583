//! `cloud-ingest organization …` · `user …` · `key …` · `reader …`: who may do what. Whoever may use the database may do
//! all of it, so this is how the first administrator comes to be.

use std::{io::Read as _, path::PathBuf, process::ExitCode, time::Duration};

use access::{Access, AccessError, NewUser, Permissions, secret};
use clap::{Args, Subcommand};
use platform::{Clock, Db, Register, Scope, reader};

use super::{Failure, Where, oidc::read_ring};

#[derive(Debug, Subcommand)]
pub(super) enum Organization {
    /// Make sure that there is an organisation of this name.
    Add {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: Where,
    },
    /// List the organisations.
    List {
        #[command(flatten)]
        place: Where,
    },
}

/// Whose users, keys or readers.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// Name of the organisation.
    #[arg(long, default_value = "default")]
    pub(super) organization: String,
    #[command(flatten)]
    pub(super) place: Where,
}

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Add somebody. Prints a password for them unless one comes on standard input.
    Add {
        /// The address by which they sign in.
        #[arg(long)]
        email: String,
        /// Their name, for people.
        #[arg(long)]
        name: String,
        /// A role; may be given several times.
        #[arg(long, required = true)]
        role: Vec<String>,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the users of an organisation.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Give somebody these roles and no others.
    Roles {
        /// Their address.
        email: String,
        /// A role; may be given several times.
        #[arg(long, required = true)]
        role: Vec<String>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Give somebody another password, and end their sessions. Prints it unless it comes on standard input.
    Password {
        /// Their address.
        email: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        whose: Whose,
    },
    /// Have somebody give one-time codes. Prints what their authenticator reads.
    Codes {
        /// Their address.
        email: String,
        /// The key ring that seals the codes' secret: that of keys.vault.
        #[arg(long, value_name = "FILE")]
        ring: PathBuf,
        #[command(flatten)]
        whose: Whose,
    },
    /// Somebody may not sign in any more, and is signed out.
    Revoke {
        /// Their address.
        email: String,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Make an API key. It is printed this once, alone on standard output.
    Add {
        /// What it is for, for people.
        #[arg(long)]
        name: String,
        /// A permission; may be given several times.
        #[arg(long, required = true)]
        permission: Vec<String>,
        /// For how many hours it is good; without it, until it is revoked.
        #[arg(long, value_name = "HOURS")]
        hours: Option<u32>,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the API keys of an organisation.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Make a key that takes another's place; the old one goes on for a while.
    Rotate {
        /// Its number.
        id: i32,
        /// For how many hours the old one goes on.
        #[arg(long, default_value_t = 24, value_name = "HOURS")]
        overlap: u16,
        #[command(flatten)]
        whose: Whose,
    },
    /// A key is good no more.
    Revoke {
        /// Its number.
        id: i32,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum Reader {
    /// Make a database login for a dashboard, which reads what belongs to one organisation. Prints its password.
    Add {
        /// Its name; logins are of the whole database server.
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Take such a login away.
    Revoke {
        /// Its name.
        name: String,
        #[command(flatten)]
        place: Where,
    },
}

/// Who does in the audit trail what is done by commands.
pub(super) const COMMAND_LINE: &str = "command-line";

impl Whose {
    pub(super) async fn open(self) -> Result<(Access, Scope), Failure> {
        let db = self.place.connect().await?;
        let scope = scope(&db, &self.organization).await?;
        Ok((Access::new(db, Clock::system()), scope))
    }
}

pub(super) async fn scope(db: &Db, name: &str) -> Result<Scope, Failure> {
    let register = Register::new(db.clone(), Clock::system());
    let found = register.organization(name).await?;
    let organization = found.ok_or_else(|| {
        Failure::bad_input(format!(
            "there is no organisation {name}: `cloud-ingest organization list` shows those that there are"
        ))
    })?;
    Ok(Scope::of_system(organization, COMMAND_LINE))
}

pub(super) async fn organization(command: Organization) -> Result<ExitCode, Failure> {
    match command {
        Organization::Add { name, place } => {
            if !(1..=200).contains(&name.chars().count()) {
                return Err(Failure::bad_input("a name has 1 to 200 characters"));
            }
            let register = Register::new(place.connect().await?, Clock::system());
            let id = register.add_organization(&name).await?;
            println!("{name}: organisation {id}");
        }
        Organization::List { place } => {
            let register = Register::new(place.connect().await?, Clock::system());
            println!("{:>8}  {:<32}  {:>8}", "NUMBER", "NAME", "GATEWAYS");
            for one in register.organizations().await? {
                println!("{:>8}  {:<32}  {:>8}", one.id, one.name, one.gateways);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn user(command: User) -> Result<ExitCode, Failure> {
    match command {
        User::Add {
            email,
            name,
            role,
            password_stdin,
            whose,
        } => {
            let (password, told) = new_password(password_stdin)?;
            let (access, scope) = whose.open().await?;
            let new = NewUser {
                email,
                name,
                password,
                roles: role,
            };
            let id = access.add_user(&scope, &new).await?;
            println!("{}: user {id}{told}", new.email);
        }
        User::List { whose } => {
            let (access, scope) = whose.open().await?;
            println!(
                "{:>8}  {:<32}  {:<24}  {:<5}  STATE",
                "NUMBER", "EMAIL", "ROLES", "CODES"
            );
            for user in access.users(&scope, None, u32::MAX).await? {
                let state = user
                    .disabled_at
                    .map_or_else(|| "active".to_owned(), |since| format!("revoked {since}"));
                let codes = if user.needs_code { "yes" } else { "no" };
                println!(
                    "{:>8}  {:<32}  {:<24}  {codes:<5}  {state}",
                    user.id,
                    user.email,
                    user.roles.join(",")
                );
            }
        }
        User::Roles { email, role, whose } => {
            let (access, scope) = whose.open().await?;
            access.set_roles(&scope, &email, &role).await?;
            println!("{email}: {}", role.join(","));
        }
        User::Password {
            email,
            password_stdin,
            whose,
        } => {
            let (password, told) = new_password(password_stdin)?;
            let (access, scope) = whose.open().await?;
            access.set_password(&scope, &email, &password).await?;
            println!("{email}: changed, and signed out everywhere{told}");
        }
        User::Codes { email, ring, whose } => {
            let ring = read_ring(&ring)?;
            let (access, scope) = whose.open().await?;
            let access = access.with_ring(Some(ring));
            println!("{}", access.require_codes(&scope, &email).await?);
        }
        User::Revoke { email, whose } => {
            let (access, scope) = whose.open().await?;
            access.disable_user(&scope, &email).await?;
            println!("{email}: revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn key(command: Key) -> Result<ExitCode, Failure> {
    match command {
        Key::Add {
            name,
            permission,
            hours,
            whose,
        } => {
            let permissions = Permissions::named(&permission).map_err(|unknown| {
                Failure::bad_input(format!("--permission: it must be {unknown}"))
            })?;
            let (access, scope) = whose.open().await?;
            let until = hours.map(|hours| {
                let now = Clock::system().now();
                now.saturating_add(Duration::from_hours(hours.into()))
                    .unwrap_or(now)
            });
            let made = access.add_key(&scope, &name, &permissions, until).await?;
            eprintln!("key {} for {permissions}; it is shown this once", made.id);
            println!("{}", made.key);
        }
        Key::List { whose } => {
            let (access, scope) = whose.open().await?;
            println!(
                "{:>8}  {:<12}  {:<24}  {:<20}  {:<24}  PERMISSIONS",
                "NUMBER", "PREFIX", "NAME", "LAST USED", "STATE"
            );
            for key in access.keys(&scope, None, 10_000).await? {
                let used = key
                    .last_used_at
                    .map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"));
                let state = match (key.revoked_at, key.expires_at) {
                    (Some(since), _) => format!("revoked {since:.0}"),
                    (None, Some(until)) => format!("until {until:.0}"),
                    (None, None) => "good".to_owned(),
                };
                println!(
                    "{:>8}  {:<12}  {:<24}  {used:<20}  {state:<24}  {}",
                    key.id,
                    key.prefix,
                    key.name,
                    key.scopes.join(",")
                );
            }
        }
        Key::Rotate { id, overlap, whose } => {
            let (access, scope) = whose.open().await?;
            let overlap = Duration::from_hours(overlap.into());
            let made = access.rotate_key(&scope, id, overlap).await?;
            eprintln!(
                "key {} takes the place of {id}; it is shown this once",
                made.id
            );
            println!("{}", made.key);
        }
        Key::Revoke { id, whose } => {
            let (access, scope) = whose.open().await?;
            access.revoke_key(&scope, id).await?;
            println!("key {id}: revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn reader(command: Reader) -> Result<ExitCode, Failure> {
    match command {
        Reader::Add { name, whose } => {
            let db = whose.place.connect().await?;
            let scope = scope(&db, &whose.organization).await?;
            let password = secret::password()?;
            reader::add_reader(&db, scope.organization, &name, &password)
                .await
                .map_err(|error| Failure::bad_input(error.to_string()))?;
            eprintln!(
                "{name} reads what belongs to {}; its password is shown this once",
                whose.organization
            );
            println!("{password}");
        }
        Reader::Revoke { name, place } => {
            let db = place.connect().await?;
            let gone = reader::remove_reader(&db, &name)
                .await
                .map_err(|error| Failure::bad_input(error.to_string()))?;
            if !gone {
                return Err(Failure::bad_input(format!("no reader is called {name}")));
            }
            println!("{name}: revoked");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A password, and how it is told to whoever did not choose it.
fn new_password(from_stdin: bool) -> Result<(String, String), Failure> {
    if from_stdin {
        let mut text = String::new();
        std::io::stdin()
            .take(1024)
            .read_to_string(&mut text)
            .map_err(|error| Failure::bad_input(format!("standard input: {error}")))?;
        return Ok((
            text.trim_end_matches(['\r', '\n']).to_owned(),
            String::new(),
        ));
    }
    let password = secret::password()?;
    let told = format!(", password {password}");
    Ok((password, told))
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::Db(error) => error.into(),
            AccessError::Randomness(_) => Self::run(error.to_string()),
            other => Self::bad_input(other.to_string()),
        }
    }
}
