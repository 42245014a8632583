//! `cloud-ingest oidc …`: the providers at which an organisation's people sign in.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use access::oidc::NewProvider;
use clap::Subcommand;
use vault::{Ring, Secret};

use super::{Failure, people::Whose};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Let people of an organisation sign in at an OpenID provider. Its client secret comes on standard input, and is kept
    /// sealed. People go to /v1/sign-in/oidc/NAME; register http.public_url and /v1/sign-in/oidc/NAME/callback there.
    Add {
        /// Its name in addresses; unique over all organisations.
        name: String,
        /// Its issuer identifier, such as https://login.example.com.
        #[arg(long)]
        issuer: String,
        /// As whom it knows us.
        #[arg(long)]
        client_id: String,
        /// The key ring that seals the client secret.
        #[arg(long, value_name = "FILE")]
        ring: PathBuf,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the providers of an organisation.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Nobody signs in at this provider any more.
    Remove {
        /// Its name.
        name: String,
        #[command(flatten)]
        whose: Whose,
    },
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Add {
            name,
            issuer,
            client_id,
            ring,
            whose,
        } => {
            let ring = read_ring(&ring)?;
            let mut text = String::new();
            std::io::stdin()
                .take(4096)
                .read_to_string(&mut text)
                .map_err(|error| Failure::bad_input(format!("standard input: {error}")))?;
            let new = NewProvider {
                name,
                issuer,
                client_id,
                client_secret: Secret::new(text.trim_end_matches(['\r', '\n'])),
            };
            let (access, scope) = whose.open().await?;
            let id = access.add_provider(&scope, &ring, &new).await?;
            println!("{}: provider {id}", new.name);
        }
        Command::List { whose } => {
            let (access, scope) = whose.open().await?;
            println!("{:>8}  {:<32}  {:<40}  CLIENT", "NUMBER", "NAME", "ISSUER");
            for one in access.providers(&scope).await? {
                println!(
                    "{:>8}  {:<32}  {:<40}  {}",
                    one.id, one.name, one.issuer, one.client_id
                );
            }
        }
        Command::Remove { name, whose } => {
            let (access, scope) = whose.open().await?;
            access.remove_provider(&scope, &name).await?;
            println!("{name}: removed");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A key ring from a file.
pub(super) fn read_ring(path: &Path) -> Result<Ring, Failure> {
    let wrong = |reason: String| Failure::bad_input(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Ring::read(&text).map_err(|error| wrong(error.to_string()))
}
