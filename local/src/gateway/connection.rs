//! Connections that can be broken on purpose: a caller then sees a reset, not an answer.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// The connection that a request came by.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    /// Who is at its other end.
    pub(super) peer: SocketAddr,
    broken: Arc<AtomicBool>,
}

impl Connection {
    fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            broken: Arc::default(),
        }
    }

    /// From now on nothing is written to it: whatever is answered, the other end sees a reset.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Breakable>> for Connection {
    fn connect_info(stream: IncomingStream<'_, Breakable>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A listener whose connections can be broken.
pub(super) struct Breakable(pub(super) TcpListener);

impl Listener for Breakable {
    type Io = Stream;
    type Addr = Connection;

    async fn accept(&mut self) -> (Stream, Connection) {
        // Not `TcpListener`'s own: this one waits out what accepting may fail by.
        let (io, peer) = Listener::accept(&mut self.0).await;
        let connection = Connection::new(peer);
        let broken = Arc::clone(&connection.broken);
        (Stream { io, broken }, connection)
    }

    fn local_addr(&self) -> io::Result<Connection> {
        self.0.local_addr().map(Connection::new)
    }
}

/// A connection's bytes.
pub(super) struct Stream {
    io: TcpStream,
    broken: Arc<AtomicBool>,
}

impl Stream {
    /// Closed without lingering, a connection ends with a reset.
    fn check(&self) -> io::Result<()> {
        if !self.broken.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.io.set_zero_linger()?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.io).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
