//! One round trip: CONNECT, CONNACK, DISCONNECT. A listener that accepts proves nothing; rumqttd's goes on accepting
//! after its router is dead.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Always the same: rumqttd remembers every client id for ever.
const CLIENT_ID: &[u8] = b"patio-probe";
const DISCONNECT: [u8; 2] = [0xE0, 0];

/// Asks whether the broker at this address answers within a time.
pub async fn probe(address: SocketAddr, patience: Duration) -> io::Result<()> {
    timeout(patience, round_trip(address))
        .await
        .unwrap_or_else(|_| {
            let reason = format!("the broker did not answer within {patience:?}");
            Err(io::Error::new(io::ErrorKind::TimedOut, reason))
        })
}

async fn round_trip(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(&connect()).await?;
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    // MQTT 5, 3.2: packet type 2, length, flags, reason code (0 = success).
    if head[0] != 0x20 || head[3] != 0 {
        let reason = format!("the broker answers {}", hex::encode(head));
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    stream.write_all(&DISCONNECT).await?;
    stream.shutdown().await
}

/// MQTT 5, 3.1: clean start, keep-alive 10 s, no properties.
fn connect() -> Vec<u8> {
    let mut packet = vec![0x10, 0];
    packet.extend([0, 4]);
    packet.extend(b"MQTT");
    packet.extend([5, 2, 0, 10, 0]);
    packet.extend([0, CLIENT_ID.len() as u8]);
    packet.extend(CLIENT_ID);
    packet[1] = (packet.len() - 2) as u8;
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that reads what comes and answers with these bytes.
    async fn broker(answer: &'static [u8]) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut packet = [0; 64];
            let count = stream.read(&mut packet).await.unwrap();
            assert_eq!(usize::from(packet[1]), count - 2);
            stream.write_all(answer).await.unwrap();
            let _ = stream.read(&mut packet).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        address
    }

    #[tokio::test]
    async fn only_a_welcome_is_a_welcome() {
        let patience = Duration::from_millis(500);
        probe(broker(&[0x20, 3, 0, 0, 0]).await, patience)
            .await
            .unwrap();
        let refused = probe(broker(&[0x20, 3, 0, 0x88, 0]).await, patience).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let silent = probe(broker(&[]).await, patience).await;
        assert_eq!(silent.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let nobody = probe("127.0.0.1:1".parse().unwrap(), patience).await;
        assert_eq!(nobody.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
