//! Transactions of a charger on a line: made of its status and its energy register by [`::ocpp::Observer`], and written into the
//! same book as those that stations tell themselves.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use ::ocpp::{Observer, Rest, Seen, Transaction, Wh, Write};
use shared_protocol::AssetKey;

use super::Context;
use crate::transactions::{BookError, Bookkeeper, received};

/// What it is made of, by the catalogue's names.
pub(super) const STATUS: &str = "ChargePointStatus";
pub(super) const REGISTER: &str = "Energy.Active.Import.Register";

/// The transactions of one charger.
#[derive(Debug)]
pub(super) struct Observed {
    asset: AssetKey,
    keeper: Arc<Bookkeeper>,
    observer: Observer,
    began: Instant,
    register: Option<Wh>,
    /// What the book could not take yet, oldest first.
    waiting: VecDeque<Write>,
    /// How the station was left, as the book has it.
    kept: Option<Rest>,
    failing: bool,
}

impl Observed {
    /// Goes on with what the book has of a charger that is read this often.
    pub(super) async fn new(
        keeper: &Arc<Bookkeeper>,
        asset: &AssetKey,
        interval: Duration,
    ) -> Result<Self, BookError> {
        let name = asset.to_string();
        let found = keeper.book(move |book| Ok((book.memory(&name)?, book.rest(&name)?)));
        let (memory, rest) = found.await?;
        let mut run = [0; 8];
        getrandom::fill(&mut run).map_err(|_| BookError::Gone)?;
        let run = u64::from_be_bytes(run);
        Ok(Self {
            asset: asset.clone(),
            keeper: keeper.clone(),
            observer: Observer::new(asset.as_str(), &memory, rest, interval, run),
            began: Instant::now(),
            register: None,
            waiting: VecDeque::new(),
            kept: rest,
            failing: false,
        })
    }

    /// The transaction that goes on.
    pub(super) fn open(&self) -> Option<&Transaction> {
        self.observer.open()
    }

    /// Takes what one cycle has read: names of signals and their values.
    pub(super) async fn hear<'a>(
        &mut self,
        context: &Context,
        said: impl Iterator<Item = (&'a str, f64)>,
    ) {
        let mut status = None;
        for (name, value) in said {
            match name {
                STATUS => status = Some(value.round() as i64),
                // Exact for registers up to 9 TWh that count in mWh or more.
                REGISTER => self.register = Some(Wh((value * 1000.0).round() as i64)),
                _ => {}
            }
        }
        let (Some(status), Some(register)) = (status, self.register) else {
            return;
        };
        let now = context.now(self.began);
        let writes = self.observer.look(now, Seen { status, register });
        let is_news = !writes.is_empty();
        self.waiting.extend(writes);
        if is_news || self.kept.is_none() || !self.waiting.is_empty() {
            self.keep(context).await;
        }
    }

    /// Brings into the book what it does not have yet, and how the station is now.
    pub(super) async fn keep(&mut self, context: &Context) {
        let kept = self.write(context).await;
        match (&kept, self.failing) {
            (Err(error), false) => {
                tracing::error!(asset = %self.asset, %error, "transactions of a charger wait");
            }
            (Ok(()), true) => {
                tracing::info!(asset = %self.asset, "transactions of a charger are kept again");
            }
            _ => {}
        }
        self.failing = kept.is_err();
    }

    async fn write(&mut self, context: &Context) -> Result<(), BookError> {
        while let Some(write) = self.waiting.front().cloned() {
            let (asset, name) = (self.asset.clone(), self.asset.to_string());
            let received = received(context.now(self.began).wall);
            let stored = self
                .keeper
                .book(move |book| book.store(&name, &asset, received, &write, false));
            stored.await?;
            self.waiting.pop_front();
            self.keeper.wrote();
        }
        let rest = self.observer.rest();
        if let Some(rest) = rest.filter(|_| rest != self.kept) {
            let name = self.asset.to_string();
            self.keeper
                .book(move |book| book.rests(&name, rest))
                .await?;
            self.kept = Some(rest);
        }
        Ok(())
    }
}
