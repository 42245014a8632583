//! `cloud-ingest gateway …`: who may send, and with which keys.

use std::process::ExitCode;

use clap::Subcommand;
use platform::{Clock, Register};
use shared_protocol::{GatewayId, VerifyingKey};
use telemetry::read;

use super::{Failure, Where};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a gateway with its public key; doing it again changes nothing.
    Add {
        /// Its name: a-z 0-9 and -.
        #[arg(long, value_parser = parse_id)]
        id: GatewayId,
        /// Its public key: 64 hexadecimal digits.
        #[arg(long, value_parser = parse_key, value_name = "HEX")]
        public_key: VerifyingKey,
        /// Name of the organisation that owns it.
        #[arg(long, default_value = "default")]
        organization: String,
        #[command(flatten)]
        place: Where,
    },
    /// Trust one more key of a gateway.
    AddKey {
        /// Its name.
        #[arg(long, value_parser = parse_id)]
        id: GatewayId,
        /// Its new public key.
        #[arg(long, value_parser = parse_key, value_name = "HEX")]
        public_key: VerifyingKey,
        /// The first epoch counter that the key may sign.
        #[arg(long, default_value_t = 0, value_name = "COUNTER")]
        from_epoch: u32,
        #[command(flatten)]
        place: Where,
    },
    /// List the gateways.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// List the boots of gateways whose samples wait because nobody knows their time, with what the boots before and after say of it.
    Unplaced {
        #[command(flatten)]
        place: Where,
    },
    /// Take nothing more of a gateway, or of one of its keys.
    Revoke {
        /// Its name.
        #[arg(long, value_parser = parse_id)]
        id: GatewayId,
        /// Only this key.
        #[arg(long, value_parser = parse_key, value_name = "HEX")]
        public_key: Option<VerifyingKey>,
        #[command(flatten)]
        place: Where,
    },
}

fn parse_id(text: &str) -> Result<GatewayId, String> {
    text.parse::<GatewayId>().map_err(|error| error.to_string())
}

fn parse_key(text: &str) -> Result<VerifyingKey, String> {
    VerifyingKey::from_hex(text).map_err(|error| error.to_string())
}

pub(super) async fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Add {
            id,
            public_key,
            organization,
            place,
        } => {
            register(place)
                .await?
                .add_gateway(&organization, &id, &public_key)
                .await?;
            println!("{id}: registered with {organization}, key {public_key}");
        }
        Command::AddKey {
            id,
            public_key,
            from_epoch,
            place,
        } => {
            register(place)
                .await?
                .add_key(&id, &public_key, from_epoch)
                .await?;
            println!("{id}: key {public_key} is trusted from epoch {from_epoch} on");
        }
        Command::List { place } => {
            let gateways = register(place).await?.gateways().await?;
            println!(
                "{:<32}  {:<24}  {:>4}  STATE",
                "GATEWAY", "ORGANIZATION", "KEYS"
            );
            for gateway in gateways {
                let state = gateway
                    .revoked_at
                    .map_or_else(|| "trusted".to_owned(), |since| format!("revoked {since}"));
                println!(
                    "{:<32}  {:<24}  {:>4}  {state}",
                    gateway.name, gateway.organization, gateway.keys
                );
            }
        }
        Command::Unplaced { place } => {
            let client = place.connect().await?.system().await?;
            println!(
                "{:<32}  {:<16}  {:>7}  {:>9}  {:<20}  {:<20}",
                "GATEWAY", "BOOT", "BLOCKS", "SAMPLES", "AFTER", "BEFORE"
            );
            for boot in read::unplaced(&client).await? {
                let after = boot
                    .after
                    .map_or_else(|| "-".to_owned(), |after| format!("{after:.0}"));
                println!(
                    "{:<32}  {:<16}  {:>7}  {:>9}  {after:<20}  {:<20.0}",
                    boot.gateway, boot.boot, boot.blocks, boot.samples, boot.before
                );
            }
        }
        Command::Revoke {
            id,
            public_key,
            place,
        } => {
            let register = register(place).await?;
            if let Some(key) = public_key {
                register.revoke_key(&id, &key).await?;
                println!("{id}: key {key} is revoked");
            } else {
                register.revoke_gateway(&id).await?;
                println!("{id}: revoked");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn register(place: Where) -> Result<Register, Failure> {
    Ok(Register::new(place.connect().await?, Clock::system()))
}
