//! How do clients come in, and who are they?

use super::address::Address;
use super::exports::Peer;
use super::limits::Limits;
use super::wire::Wire;
use crate::node::failure::Failure;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::{FileType, Mode, chmod, lstat};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{set_socket_keepalive, set_tcp_keepidle};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

/// Connections that wait to be let in.
const BACKLOG: i32 = 128;

/// How long a TCP client may be silent until it is asked whether it is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);

/// How often somebody who waits for bytes looks whether he has waited for too long, at most.
const TICK: Duration = Duration::from_secs(5);

/// A way in that is open.
pub struct Listener {
    socket: Socket,
    /// Becomes readable when nobody is to be let in any more. The socket itself may belong to others too, who listen on.
    closed: OwnedFd,
    /// Where it is.
    pub address: Address,
    /// A socket that was made here, to be removed in the end.
    _made: Option<Made>,
}

enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

struct Made {
    path: PathBuf,
    inode: u64,
}

impl Drop for Made {
    fn drop(&mut self) {
        // Somebody may have put another one there.
        if lstat(&self.path).is_ok_and(|found| found.st_ino == self.inode) {
            fs::remove_file(&self.path).unwrap_or_default();
        }
    }
}

impl Listener {
    /// Opens a way in. A socket in the file system is for its owner alone.
    ///
    /// # Errors
    /// `AlreadyExists` if somebody listens there, or the path is something else; `Io`.
    pub fn open(address: &Address) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::io(format!("listen on {address}"), error);
        match address {
            Address::Unix(path) => {
                let (listener, inode) = listen_at(path).map_err(failed)?;
                let made = Made { path: path.clone(), inode };
                Ok(Self { _made: Some(made), ..Self::on_unix(listener).map_err(failed)? })
            }
            Address::Tcp(wanted) => Self::on_tcp(TcpListener::bind(wanted).map_err(failed)?).map_err(failed),
        }
    }

    /// A socket that whoever started the process opened.
    ///
    /// # Errors
    /// If it has no address.
    pub fn on_tcp(listener: TcpListener) -> io::Result<Self> {
        let address = Address::Tcp(listener.local_addr()?);
        listener.set_nonblocking(true)?;
        Ok(Self { socket: Socket::Tcp(listener), closed: waker()?, address, _made: None })
    }

    /// As [`Listener::on_tcp`].
    ///
    /// # Errors
    /// If it has no address.
    pub fn on_unix(listener: UnixListener) -> io::Result<Self> {
        let path = listener.local_addr()?.as_pathname().map(Path::to_owned).unwrap_or_default();
        listener.set_nonblocking(true)?;
        Ok(Self { socket: Socket::Unix(listener), closed: waker()?, address: Address::Unix(path), _made: None })
    }

    /// Waits until a client is there; false if nobody is to be let in any more.
    ///
    /// # Errors
    /// If the system cannot wait.
    pub fn wait(&self) -> io::Result<bool> {
        let socket = match &self.socket {
            Socket::Unix(listener) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        };
        let mut awaited = [PollFd::from_borrowed_fd(socket, PollFlags::IN), PollFd::new(&self.closed, PollFlags::IN)];
        retry_on_intr(|| poll(&mut awaited, None))?;
        Ok(awaited[1].revents().is_empty())
    }

    /// Lets the next client in; `number` tells him from others if nothing else does.
    ///
    /// # Errors
    /// If there is none, or he cannot be let in.
    pub fn accept(&self, limits: &Limits, number: u64) -> io::Result<(Arc<dyn Wire>, Peer)> {
        match &self.socket {
            Socket::Unix(listener) => {
                let stream = listener.accept()?.0;
                stream.set_read_timeout(Some(tick(limits)))?;
                stream.set_write_timeout(Some(limits.stall))?;
                let peer = process_behind(&stream).map_or(Peer::Connection(number), Peer::Process);
                Ok((Arc::new(stream), peer))
            }
            Socket::Tcp(listener) => {
                let stream: TcpStream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(tick(limits)))?;
                stream.set_write_timeout(Some(limits.stall))?;
                set_socket_keepalive(&stream, true)?;
                set_tcp_keepidle(&stream, KEEPALIVE_IDLE)?;
                Ok((Arc::new(stream), Peer::Connection(number)))
            }
        }
    }

    /// Lets nobody in any more: [`Listener::wait`] says so from now on.
    pub fn close(&self) {
        // It fails only when it was said very many times already.
        rustix::io::write(&self.closed, &1_u64.to_ne_bytes()).unwrap_or_default();
    }
}

/// What [`Listener::close`] wakes the waiting with.
fn waker() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}

/// How long a wait for bytes lasts until limits are looked at.
pub fn tick(limits: &Limits) -> Duration {
    TICK.min(limits.handshake / 2).min(limits.stall / 2).max(Duration::from_millis(1))
}

/// The process on the other side, if it is one of this machine that can be seen from here.
fn process_behind(stream: &UnixStream) -> Option<u32> {
    let credentials = nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    u32::try_from(credentials.pid()).ok().filter(|pid| *pid != 0)
}

/// A listening socket at `path` and its inode. What an earlier process left there is replaced.
fn listen_at(path: &Path) -> io::Result<(UnixListener, u64)> {
    match lstat(path) {
        Err(rustix::io::Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
        Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::Socket => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there"));
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "somebody listens there already")),
        },
    }
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Nobody can connect before it listens, so nobody slips in before the mode is set.
    chmod(path, Mode::RUSR | Mode::WUSR)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok((socket.into(), lstat(path)?.st_ino))
}
