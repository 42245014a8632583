//! Gateways that seal blocks.

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use platform::{Clock, Db, Register};
use shared_protocol::{
    Block, BlockHeader, BlockNumber, Body, Class, Column, Decimal, Encoding, Epoch, GatewayId,
    SampleBody, Signal, SignalDef, SignalRef, SigningKey, Source, Stream, catalogue, topic,
};
use telemetry::Delivery;

/// Of a depot: 2,000 vehicles stand in 20 depots.
pub(crate) const VEHICLES: usize = 100;
pub(crate) const SIGNALS: usize = 20;
/// Values in a block.
pub(crate) const VALUES: u64 = (VEHICLES * SIGNALS) as u64;

/// The first signals of the catalogue, which are a vehicle's.
pub(crate) fn signals() -> &'static [Signal] {
    &catalogue().signals()[..SIGNALS]
}

/// What a column's signal of so many values says: a cable stays where it is for minutes, whatever else is measured is another
/// value each second.
const fn steps(second: i64, column: i64, values: i64) -> i64 {
    let changes = if values == 2 {
        second / 600
    } else {
        second * 7
    };
    (changes + column) % values
}

pub(crate) struct Gateway {
    pub(crate) id: GatewayId,
    key: SigningKey,
    offset_us: i64,
    columns: Vec<Column>,
}

impl Gateway {
    /// A registered gateway whose first second was so many seconds ago.
    pub(crate) async fn new(db: &Db, name: &str, ago_s: u64) -> Result<Self> {
        let mut columns = Vec::new();
        for vehicle in 0..VEHICLES {
            for signal in signals() {
                columns.push(Column {
                    asset: format!("car-{vehicle}").parse()?,
                    source: Source::Can,
                    def: SignalDef {
                        signal: SignalRef::Catalogue(signal.id),
                        encoding: Encoding::Scaled {
                            scale: signal.resolution,
                            offset: Decimal::ZERO,
                        },
                    },
                });
            }
        }
        let gateway = Self {
            id: name.parse()?,
            key: SigningKey::from_seed([1; 32]),
            offset_us: Timestamp::now().as_microsecond() - ago_s as i64 * 1_000_000,
            columns,
        };
        Register::new(db.clone(), Clock::system())
            .add_gateway("bench", &gateway.id, &gateway.key.verifying_key())
            .await?;
        Ok(gateway)
    }

    fn seal(&self, stream: Stream, seq: u64, body: Body) -> Result<Delivery> {
        let topic = topic::up(&self.id, stream.class());
        let header = BlockHeader {
            gateway: self.id.clone(),
            number: BlockNumber {
                epoch: Epoch {
                    counter: 1,
                    nonce: 1,
                },
                stream,
                seq,
            },
            boot: 1,
            wall_offset_us: Some(self.offset_us),
            samples: body.len() as u32,
            thinned: 0,
            columns: self.columns.len() as u32,
        };
        let payload = Block { header, body }.seal(&self.key)?.into();
        Ok(Delivery { topic, payload })
    }

    /// The definitions of its columns.
    pub(crate) fn definitions(&self) -> Result<Delivery> {
        let columns = self.columns.clone();
        self.seal(Stream::Columns, 0, Body::Columns { first: 0, columns })
    }

    /// The live block of a second that has passed long ago, on the topic of the backlog.
    pub(crate) fn late(&self, second: u64) -> Result<Delivery> {
        let topic = topic::up(&self.id, Class::Bulk);
        Ok(Delivery {
            topic,
            ..self.live(second)?
        })
    }

    /// The live block of a second.
    pub(crate) fn live(&self, second: u64) -> Result<Delivery> {
        let mut samples = Vec::new();
        for (number, column) in (0u32..).zip(&self.columns) {
            let SignalRef::Catalogue(id) = &column.def.signal else {
                continue;
            };
            let (least, greatest) = catalogue().get(*id).context("a known signal")?.raw_range();
            let steps = steps(
                second as i64,
                number.into(),
                (greatest - least + 1).min(1000),
            );
            samples.push((number, second as i64 * 1_000_000, least + steps));
        }
        let body = Body::Samples(SampleBody::from_samples(samples));
        self.seal(Stream::Live, second, body)
    }
}
