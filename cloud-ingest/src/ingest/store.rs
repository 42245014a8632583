//! What the pipeline wants of the room that stores blocks.

use std::collections::HashSet;

use shared_protocol::{Ack, Command, GatewayId};
pub use telemetry::Delivery;

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Done {
    /// For each delivery, whether it needs no second attempt: its rows are committed, or it is kept in the quarantine,
    /// or it is refused.
    pub settled: Vec<bool>,
    /// What to tell the gateways about it, after COMMIT.
    pub answers: Vec<Ack>,
}

/// What became of a hello.
#[derive(Debug)]
pub enum Greeting {
    /// What the ledger knows.
    Answer(Ack),
    /// It is not believed, and why.
    Ignored(String),
    /// The database is away.
    Later,
}

/// Stores blocks.
pub trait Store: Clone + Send + Sync + 'static {
    /// Stores what can be stored, each block once, and returns after COMMIT (or after giving up).
    fn ingest(&self, deliveries: Vec<Delivery>) -> impl Future<Output = Done> + Send;

    /// Answers a gateway's first word.
    fn hello(&self, payload: &[u8]) -> impl Future<Output = Greeting> + Send;

    /// Commands that are due to be sent; what is taken here has to be tried once.
    fn commands(&self) -> impl Future<Output = Vec<Command>> + Send {
        async { Vec::new() }
    }

    /// The names of all gateways; `None`: the database is away, or nobody keeps a register.
    fn gateways(&self) -> impl Future<Output = Option<HashSet<GatewayId>>> + Send {
        async { None }
    }

    /// Whether the database answers.
    fn alive(&self) -> impl Future<Output = bool> + Send;
}
