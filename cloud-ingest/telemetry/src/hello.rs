//! A gateway's hello is answered with what is closed of the streams that it still holds.

use std::collections::{BTreeMap, BTreeSet};

use shared_protocol::{Ack, Answer, Epoch, GatewayId, Hello, OpenError, Stream};

use crate::{Ingestor, outcome::ack, ranges::Ranges};

/// Most streams of a hello that are answered; a gateway that holds more says hello again.
const MOST_STREAMS: usize = 32;

/// Why a hello is not answered.
#[derive(Debug, thiserror::Error)]
pub enum HelloError {
    /// It is not one, or not signed by a key of the gateway that it names.
    #[error("the hello cannot be believed: {0}")]
    Unbelieved(#[from] OpenError),
    /// There is no such gateway.
    #[error("no gateway is called {0}: register it")]
    UnknownGateway(GatewayId),
    /// The gateway, or its key, was revoked.
    #[error("gateway {0} or its key was revoked: it gets no answers any more")]
    Revoked(GatewayId),
    /// The database is out of reach; the gateway will say hello again.
    #[error(transparent)]
    Db(#[from] platform::DbError),
}

impl From<tokio_postgres::Error> for HelloError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Db(error.into())
    }
}

impl Ingestor {
    /// Verifies a hello and answers it. Ranges only: what content a number stands for is told when it is delivered.
    pub async fn hello(&self, payload: &[u8]) -> Result<Ack, HelloError> {
        let inner = self.inner();
        let gateway = Hello::claimed_gateway(payload)?;
        let mut known = inner.register.keys(&gateway).await?;
        let mut said = Err(OpenError::Signature(gateway.to_string()));
        for again in [false, true] {
            if again {
                known = inner.register.keys_again(&gateway).await?;
            }
            let Some(keys) = &known else { continue };
            for key in &keys.keys {
                if said.is_err()
                    && let Ok(hello) = Hello::open(payload, &key.public)
                {
                    said = Ok((hello, keys.id, keys.revoked || key.revoked));
                }
            }
            if said.is_ok() {
                break;
            }
        }
        if known.is_none() {
            return Err(HelloError::UnknownGateway(gateway));
        }
        let (hello, gateway_id, revoked) = said?;
        if revoked {
            return Err(HelloError::Revoked(gateway));
        }
        let streams: BTreeSet<(Epoch, Stream)> = hello
            .streams
            .iter()
            .take(MOST_STREAMS)
            .map(|state| (state.epoch, state.stream))
            .collect();
        let done = self.done(gateway_id, &streams).await?;
        let answers = streams.into_iter().map(|(epoch, stream)| Answer {
            epoch,
            stream,
            done: done
                .get(&(epoch, stream))
                .map_or_else(Vec::new, |ranges| ranges.as_slice().to_vec()),
            blocks: Vec::new(),
        });
        Ok(ack(&gateway, inner.clock.now(), answers.collect()))
    }

    async fn done(
        &self,
        gateway_id: i32,
        streams: &BTreeSet<(Epoch, Stream)>,
    ) -> Result<BTreeMap<(Epoch, Stream), Ranges>, HelloError> {
        let counters: Vec<i64> = streams
            .iter()
            .map(|(epoch, _)| epoch.counter.into())
            .collect();
        let nonces: Vec<i64> = streams
            .iter()
            .map(|(epoch, _)| epoch.nonce.cast_signed())
            .collect();
        let numbers: Vec<i16> = streams
            .iter()
            .map(|(_, stream)| stream.number().into())
            .collect();
        let client = self.inner().db.system().await?;
        let sql = include_str!("../queries/done.sql");
        let rows = client
            .query(sql, &[&gateway_id, &counters, &nonces, &numbers])
            .await?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                let epoch = Epoch {
                    counter: row.get::<_, i64>("counter") as u32,
                    nonce: row.get::<_, i64>("nonce").cast_unsigned(),
                };
                let number = u8::try_from(row.get::<_, i16>("stream")).ok()?;
                let done = row.get::<_, &str>("done").parse().ok()?;
                Some(((epoch, Stream::from_number(number)?), done))
            })
            .collect())
    }
}
