//! A line of text to an adapter: a serial port or a TCP connection.

use std::{io, pin::Pin};

use firmware_config::gateway::Port;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_serial::SerialPortBuilderExt as _;

use super::BusError;

trait Transport: AsyncRead + AsyncWrite + Send + Sync {}
impl<T: AsyncRead + AsyncWrite + Send + Sync> Transport for T {}

/// An open line.
pub(super) struct TextLine {
    transport: Pin<Box<dyn Transport>>,
    what: String,
}

impl std::fmt::Debug for TextLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

impl TextLine {
    pub(super) async fn open(port: &Port) -> Result<Self, BusError> {
        let (transport, what): (io::Result<Pin<Box<dyn Transport>>>, _) = match port {
            Port::Tcp(address) => {
                let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
                let stream = stream.and_then(|stream| {
                    stream.set_nodelay(true)?;
                    Ok(Box::pin(stream) as Pin<Box<dyn Transport>>)
                });
                (stream, format!("the adapter at {address}"))
            }
            Port::Serial { path, baud } => {
                let stream = tokio_serial::new(path, *baud).open_native_async();
                let stream = stream
                    .map(|stream| Box::pin(stream) as Pin<Box<dyn Transport>>)
                    .map_err(io::Error::from);
                (stream, format!("the adapter at {path}"))
            }
        };
        Ok(Self {
            transport: transport.map_err(BusError::io(what.clone()))?,
            what,
        })
    }

    /// What came, at least one byte. Nothing is taken when it is dropped before it is ready.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, BusError> {
        match self.transport.read(buffer).await {
            Ok(0) => Err(BusError::Peer(format!("{} has gone", self.what))),
            Ok(count) => Ok(count),
            Err(error) => Err(BusError::io(self.what.clone())(error)),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), BusError> {
        let written = async {
            self.transport.write_all(bytes).await?;
            self.transport.flush().await
        };
        written.await.map_err(BusError::io(self.what.clone()))
    }
}
