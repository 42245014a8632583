//! One tracker over TCP.

use std::{sync::Arc, time::Duration};

use devices::{Device, command};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Shared, crowd::Seat};
use crate::{Arrival, Packet, Stream, metrics};

/// How much is read at a time.
const PIECE: usize = 4096;
/// How long an answer may take to leave.
const WRITE: Duration = Duration::from_secs(10);
/// How long an answer to a command is waited for before the next one goes out.
const ANSWER: Duration = Duration::from_mins(1);

/// Who has logged in.
struct Guest {
    device: Arc<Device>,
    seat: Seat,
    /// The command that was sent last and not answered yet.
    order: Option<(i64, Instant)>,
}

/// Serves a connection to its end, and says why it ended.
pub(super) async fn serve(
    mut stream: TcpStream,
    shared: &Shared,
    stop: &CancellationToken,
) -> &'static str {
    let mut guest = None;
    let ended = converse(&mut stream, shared, stop, &mut guest).await;
    if let Some(guest) = guest {
        shared.crowd.leave(&guest.seat);
    }
    ended.unwrap_or_else(|reason| reason)
}

async fn converse(
    stream: &mut TcpStream,
    shared: &Shared,
    stop: &CancellationToken,
    guest: &mut Option<Guest>,
) -> Result<&'static str, &'static str> {
    let mut arrivals = Stream::default();
    let mut piece = [0; PIECE];
    let settings = &shared.settings;
    // A login, and a frame that has begun, have to be whole by then, however slowly their bytes drip.
    let mut deadline = Instant::now() + settings.patience;
    let mut within = true;
    loop {
        loop {
            match arrivals.next() {
                Ok(Some(arrival)) => {
                    take(arrival, stream, shared, guest).await?;
                    within = false;
                }
                Ok(None) => break,
                Err(error) => {
                    let key = guest.as_ref().map_or("", |guest| guest.device.key.as_str());
                    tracing::warn!(device = key, %error, "a tracker's bytes are refused");
                    metrics::packet("refused");
                    return Err("what it sent is refused");
                }
            }
        }
        let patience = match guest {
            Some(_) if !arrivals.is_within() => settings.silence,
            _ => settings.patience,
        };
        if !within || (guest.is_some() && !arrivals.is_within()) {
            deadline = Instant::now() + patience;
            within = arrivals.is_within();
        } else if !within && arrivals.is_within() {
            within = true;
        }
        let bell = guest.as_ref().map(|guest| Arc::clone(&guest.seat.bell));
        let replaced = guest.as_ref().map(|guest| guest.seat.replaced.clone());
        let was_within = arrivals.is_within();
        tokio::select! {
            () = stop.cancelled() => return Ok("the server stops"),
            () = async { match &replaced {
                Some(token) => token.cancelled().await,
                None => std::future::pending().await,
            } } => return Ok("the tracker has dialled again"),
            () = async { match &bell {
                Some(bell) => bell.notified().await,
                None => std::future::pending().await,
            } } => {
                if let Some(guest) = guest {
                    order(stream, shared, guest).await?;
                }
            }
            read = timeout_at(deadline, stream.read(&mut piece)) => match read {
                Err(_) => {
                    metrics::turned_away("slow");
                    return Err("it was too slow, or silent for too long");
                }
                Ok(Err(_)) => return Err("it broke"),
                Ok(Ok(0)) => return Ok("the tracker ended it"),
                Ok(Ok(length)) => {
                    if guest.is_some() && !was_within {
                        deadline = Instant::now() + settings.patience;
                    }
                    within = true;
                    arrivals.push(&piece[..length]);
                }
            },
        }
    }
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), &'static str> {
    match timeout(WRITE, stream.write_all(bytes)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err("an answer could not be sent"),
    }
}

async fn take(
    arrival: Arrival,
    stream: &mut TcpStream,
    shared: &Shared,
    guest: &mut Option<Guest>,
) -> Result<(), &'static str> {
    match (arrival, guest.as_mut()) {
        (Arrival::Login(imei), _) => match shared.device(imei).await {
            Ok(Some(device)) => {
                let seat = shared.crowd.enter(device.id);
                *guest = Some(Guest {
                    device,
                    seat,
                    order: None,
                });
                write(stream, &[1]).await
            }
            Ok(None) => {
                tracing::warn!(%imei, "an unknown tracker is refused; `cloud-ingest device add` registers it");
                metrics::turned_away("unknown");
                write(stream, &[0]).await?;
                Err("nobody knows the tracker")
            }
            Err(error) => {
                tracing::warn!(%imei, %error, "the register cannot be asked");
                Err("the register cannot be asked")
            }
        },
        (Arrival::Packet(Packet::Records(_, records)), Some(guest)) => {
            if !shared.store(&guest.device, &records).await {
                return Err("the database does not store");
            }
            metrics::packet("stored");
            write(stream, &(records.len() as u32).to_be_bytes()).await
        }
        (Arrival::Packet(Packet::Message(message)), Some(guest)) => {
            metrics::packet("message");
            let order = guest.order.take().map(|(id, _)| id);
            shared.answered(&guest.device, order, &message).await;
            self::order(stream, shared, guest).await
        }
        // A stream begins with its login.
        (Arrival::Ping | Arrival::Packet(_), _) => Ok(()),
    }
}

/// Sends the next command, when none waits for its answer.
async fn order(
    stream: &mut TcpStream,
    shared: &Shared,
    guest: &mut Guest,
) -> Result<(), &'static str> {
    if guest
        .order
        .is_some_and(|(_, since)| since.elapsed() < ANSWER)
    {
        return Ok(());
    }
    let now = shared.sink.clock().now();
    match command::next(shared.sink.db(), guest.device.id, now).await {
        Ok(Some(order)) => {
            guest.order = Some((order.id, Instant::now()));
            write(stream, &shared.command(&guest.device, &order.text).frame()).await
        }
        Ok(None) => Ok(()),
        Err(error) => {
            tracing::warn!(device = guest.device.key, %error, "its commands cannot be read");
            Ok(())
        }
    }
}
