//! A slow link, which can turn into a black hole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt as _,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// 1 Mbit/s each way, and 25 ms.
pub(crate) const BYTES_PER_SECOND: f64 = 125_000.0;
const DELAY: Duration = Duration::from_millis(25);

/// A link to some port of this machine; what does not fit on it waits in the kernel's buffers, as in a modem's.
pub(crate) struct Link {
    pub(crate) port: u16,
    hole: Arc<AtomicBool>,
    connections: Arc<AtomicUsize>,
}

impl Link {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = listener.local_addr().unwrap().port();
        let hole = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(AtomicUsize::new(0));
        let (swallows, count) = (hole.clone(), connections.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                near.set_nodelay(true).unwrap();
                far.set_nodelay(true).unwrap();
                let ((near_in, near_out), (far_in, far_out)) =
                    (near.into_split(), far.into_split());
                tokio::spawn(carry(near_in, far_out, swallows.clone()));
                tokio::spawn(carry(far_in, near_out, swallows.clone()));
            }
        });
        Self {
            port: own,
            hole,
            connections,
        }
    }

    /// From now on it swallows what it is given, and no connection is closed.
    pub(crate) fn becomes_a_hole(&self) {
        self.hole.store(true, Ordering::Relaxed);
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn carry(from: OwnedReadHalf, mut to: OwnedWriteHalf, hole: Arc<AtomicBool>) {
    let (enter, mut leave) = mpsc::channel::<(Instant, Vec<u8>)>(1000);
    tokio::spawn(async move {
        while let Some((at, bytes)) = leave.recv().await {
            sleep_until(at).await;
            if !hole.load(Ordering::Relaxed) && to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // A hole says no farewell either.
        if hole.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    });
    let mut free_at = Instant::now();
    let mut packet = [0; 1460];
    loop {
        let length = match from.try_read(&mut packet) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if from.readable().await.is_err() {
                    return;
                }
                // Only a link on which nothing waited has been idle; a late timer has not kept it so.
                free_at = free_at.max(Instant::now());
                continue;
            }
            Ok(length @ 1..) => length,
            _ => return,
        };
        free_at += Duration::from_secs_f64(length as f64 / BYTES_PER_SECOND);
        sleep_until(free_at).await;
        let packet = (free_at + DELAY, packet[..length].to_vec());
        if enter.send(packet).await.is_err() {
            return;
        }
    }
}
