//! The room `telemetry` as the pipeline wants it.

use std::{collections::HashSet, time::Duration};

use platform::{Clock, Db, Register};
use shared_protocol::{Command, GatewayId};
use telemetry::{HelloError, Ingestor, acks};

use super::store::{Delivery, Done, Greeting, Store};

const PATIENCE: Duration = Duration::from_secs(2);

/// The room `telemetry`.
#[derive(Clone)]
pub struct Telemetry {
    ingestor: Ingestor,
    db: Db,
    clock: Clock,
}

impl Telemetry {
    /// Stores through this ingestor.
    pub fn new(ingestor: Ingestor, db: Db, clock: Clock) -> Self {
        Self {
            ingestor,
            db,
            clock,
        }
    }
}

impl Store for Telemetry {
    async fn ingest(&self, deliveries: Vec<Delivery>) -> Done {
        let outcomes = self.ingestor.ingest(deliveries).await;
        Done {
            settled: outcomes.iter().map(telemetry::Outcome::settled).collect(),
            answers: acks(&outcomes, self.clock.now()),
        }
    }

    async fn hello(&self, payload: &[u8]) -> Greeting {
        match self.ingestor.hello(payload).await {
            Ok(ack) => Greeting::Answer(ack),
            Err(HelloError::Db(_)) => Greeting::Later,
            Err(error) => Greeting::Ignored(error.to_string()),
        }
    }

    async fn commands(&self) -> Vec<Command> {
        match telemetry::command::take_due(&self.db, self.clock.now()).await {
            Ok(commands) => commands,
            Err(error) => {
                tracing::debug!(%error, "commands wait for the database");
                Vec::new()
            }
        }
    }

    async fn gateways(&self) -> Option<HashSet<GatewayId>> {
        let gateways = Register::new(self.db.clone(), self.clock.clone());
        let gateways = gateways.gateways().await.ok()?;
        Some(
            gateways
                .iter()
                .filter_map(|one| one.name.parse().ok())
                .collect(),
        )
    }

    async fn alive(&self) -> bool {
        self.db.health(PATIENCE).await.is_ok()
    }
}
