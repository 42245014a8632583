//! What somebody at the depot tells a station to do: start, stop, this car first. With or without a cloud; none of it
//! raises what breakers, contract and meters allow.

use std::{sync::Arc, time::Duration};

use shared_protocol::AssetKey;
use tokio::{sync::oneshot, time::timeout};

use super::{
    Control,
    board::{Ask, Asking},
    lock,
    wish::Want,
};
use crate::clock::Clock;

/// How long a station may take to answer.
const ANSWER: Duration = Duration::from_secs(15);

/// What a station is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Charge the car that stands there.
    Start,
    /// Stop charging it.
    Stop,
    /// Its car comes before all but critical ones.
    First,
    /// Its car is one of all again.
    NotFirst,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Start, Self::Stop, Self::First, Self::NotFirst];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::First => "first",
            Self::NotFirst => "not-first",
        }
    }
}

/// Why it is not done. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The depot does not have it.
    #[error("the depot has no such station")]
    NoStation,
    /// Nobody hears the station.
    #[error("nobody hears the station: look at its power and its network")]
    Unheard,
    /// There is no car.
    #[error("no car stands there")]
    NoCar,
    /// It charges already.
    #[error("its car charges already, or waits for its turn")]
    Charges,
    /// It was not asked to be first.
    #[error("its car is not the first")]
    NotFirst,
    /// Nobody has said with which token.
    #[error("the gateway has no token to start with: give `token` under [page]")]
    NoToken,
    /// It cannot be asked now.
    #[error("the station cannot be asked: {0}")]
    Asked(String),
    /// The station says no.
    #[error("the station answers {0}")]
    Says(String),
    /// The station says nothing.
    #[error("the station does not answer")]
    Silent,
    /// It could not be remembered.
    #[error("it cannot be written down: {0}")]
    Disk(String),
}

impl Control {
    /// Does it, or says why not.
    ///
    /// # Errors
    /// Why it is not done.
    pub async fn act(
        self: &Arc<Self>,
        act: Act,
        station: &AssetKey,
        token: Option<&str>,
        clock: &Clock,
    ) -> Result<(), Refused> {
        let mut stations = self.depot.stations.iter();
        let place = stations.position(|one| one.id == *station);
        let place = place.ok_or(Refused::NoStation)?;
        let report = self.board.report(place, clock.now_us() / 1000);
        let wanted = lock(&self.wishes).want(station);
        let by_register = self.depot.stations[place].ocpp.is_none();
        if act == Act::NotFirst {
            if wanted != Some(Want::First) {
                return Err(Refused::NotFirst);
            }
            return self.wish(station, place, None, clock).await;
        }
        if !report.linked {
            return Err(Refused::Unheard);
        }
        let car = report.car.is_some();
        match act {
            Act::First | Act::Stop if !car => Err(Refused::NoCar),
            Act::First => self.wish(station, place, Some(Want::First), clock).await,
            Act::Stop if by_register => self.wish(station, place, Some(Want::Stopped), clock).await,
            Act::Stop => self.ask(place, Asking::Stop).await,
            // Who was told to stop is let go; a charger that is only limited charges by itself otherwise.
            Act::Start if wanted == Some(Want::Stopped) => {
                self.wish(station, place, None, clock).await
            }
            Act::Start if car => Err(Refused::Charges),
            Act::Start if by_register => Err(Refused::NoCar),
            Act::Start => {
                let token = token.ok_or(Refused::NoToken)?.to_owned();
                self.ask(place, Asking::Start { token }).await
            }
            Act::NotFirst => Err(Refused::NotFirst),
        }
    }

    /// Returns when it is on the disk.
    async fn wish(
        self: &Arc<Self>,
        station: &AssetKey,
        place: usize,
        want: Option<Want>,
        clock: &Clock,
    ) -> Result<(), Refused> {
        let transaction = self.board.transaction(place).map(|open| open.id);
        let times = (clock.boot, clock.now_us(), clock.wall_us());
        let (control, station) = (Arc::clone(self), station.clone());
        let done = tokio::task::spawn_blocking(move || {
            // The loop that decides never waits for the disk.
            let keeper = lock(&control.keeper);
            let mut new = lock(&control.wishes).clone();
            new.set(&station, want, transaction.clone(), times);
            keeper.wishes(&new)?;
            lock(&control.wishes).set(&station, want, transaction, times);
            Ok::<_, std::io::Error>(())
        });
        let done = done.await.map_err(std::io::Error::other).flatten();
        done.map_err(|error| Refused::Disk(error.to_string()))?;
        // Whoever waits for it sees it at once.
        self.board.news.notify_one();
        Ok(())
    }

    async fn ask(&self, place: usize, asking: Asking) -> Result<(), Refused> {
        let (answer, answered) = oneshot::channel();
        self.board.ask(place, Ask { asking, answer });
        match timeout(ANSWER, answered).await {
            Ok(Ok(done)) => done,
            // Whoever spoke with the station is gone, or it takes too long.
            Ok(Err(_)) | Err(_) => Err(Refused::Silent),
        }
    }
}
