//! Trackers over UDP. A datagram that cannot be dealt with now is dropped: the tracker sends it again.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{net::UdpSocket, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::Shared;
use crate::{Datagram, Packet, metrics};

/// Datagrams in hand at a time; one of each tracker.
const MOST: usize = 256;
/// Longest datagram that IPv4 and IPv6 carry.
const LONGEST: usize = 65_536;

pub(super) async fn serve(
    socket: UdpSocket,
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let socket = Arc::new(socket);
    let room = Arc::new(Semaphore::new(MOST));
    let busy: Arc<Mutex<HashSet<crate::Imei>>> = Arc::default();
    let mut buffer = vec![0; LONGEST];
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        // An error belongs to an answer that could not be delivered.
        let Ok((length, from)) = received else {
            continue;
        };
        let datagram = match Datagram::read(&buffer[..length]) {
            Ok(datagram) => datagram,
            Err(error) => {
                tracing::debug!(%from, %error, "a datagram is refused");
                metrics::packet("refused");
                continue;
            }
        };
        let Ok(place) = Arc::clone(&room).try_acquire_owned() else {
            metrics::turned_away("full");
            continue;
        };
        let imei = datagram.imei;
        if !busy
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(imei)
        {
            metrics::turned_away("full");
            continue;
        }
        let (shared, socket, busy) = (Arc::clone(&shared), Arc::clone(&socket), Arc::clone(&busy));
        tasks.spawn(async move {
            if let Some(answer) = deal(&shared, &datagram).await {
                // Lost, it is sent again, and answered again.
                let _ = socket.send_to(&answer, from).await;
            }
            busy.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&imei);
            drop(place);
        });
    }
}

/// The answer to a datagram; `None`: it gets none.
async fn deal(shared: &Shared, datagram: &Datagram) -> Option<[u8; 7]> {
    let Ok(device) = shared.device(datagram.imei).await else {
        return None;
    };
    let Some(device) = device else {
        tracing::warn!(imei = %datagram.imei, "an unknown tracker is refused; `cloud-ingest device add` registers it");
        metrics::turned_away("unknown");
        return None;
    };
    match &datagram.content {
        Packet::Records(_, records) => {
            if !shared.store(&device, records).await {
                return None;
            }
            metrics::packet("stored");
            Some(datagram.answer(records.len() as u8))
        }
        Packet::Message(message) => {
            metrics::packet("message");
            shared.answered(&device, None, message).await;
            None
        }
    }
}
