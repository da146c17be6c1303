//! What is done with a socket without its transport.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

/// The socket below a plain transport, used between the transport's creation and its end.
pub struct Socket {
    descriptor: i32,
    /// Only the transport may read and write.
    encrypted: bool,
}

impl Socket {
    pub fn new(descriptor: i32, encrypted: bool) -> Option<Self> {
        (descriptor >= 0).then_some(Self {
            descriptor,
            encrypted,
        })
    }

    fn borrow(&self) -> BorrowedFd<'_> {
        // SAFETY: a loop closes the descriptor after it has told us that the connection is lost, and then we
        // have no `Socket` any more.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }

    /// Whether there is an end, an error, or anything else to read.
    pub fn is_dead(&self) -> bool {
        let mut byte = [0u8; 1];
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        !matches!(
            recv(self.borrow(), &mut byte[..], flags),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
        )
    }

    pub fn shut_down(&self) {
        // It may be shut down already, by the peer.
        let _ = shutdown(self.borrow(), Shutdown::Both);
    }

    /// How many bytes were sent; none through TLS.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.encrypted {
            return Ok(0);
        }
        #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        // Elsewhere Python ignores SIGPIPE and sockets of a loop do not block.
        #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
        let flags = SendFlags::DONTWAIT;
        Ok(send(self.borrow(), bytes, flags)?)
    }
}

/// Tells a descriptor from a later one with the same number.
pub struct Identity {
    descriptor: i32,
    device: u64,
    inode: u64,
}

impl Identity {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the types differ between platforms"
    )]
    pub fn of(descriptor: i32) -> Option<Self> {
        if descriptor < 0 {
            return None;
        }
        // SAFETY: only asked about; a number that is no open descriptor is an error of `fstat`.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let stat = rustix::fs::fstat(borrowed).ok()?;
        Some(Self {
            descriptor,
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        })
    }

    fn is_unchanged(&self) -> bool {
        Self::of(self.descriptor)
            .is_some_and(|now| now.device == self.device && now.inode == self.inode)
    }
}

/// Puts an unconnected socket in the place of each inherited one: the copy is closed without a word on the
/// network, and whoever still uses the number gets an error.
pub fn cover<'a>(inherited: impl Iterator<Item = &'a Identity>) {
    use rustix::net::{AddressFamily, SocketType, socket};
    use std::os::fd::{FromRawFd, OwnedFd};

    let Ok(cover) = socket(AddressFamily::UNIX, SocketType::STREAM, None) else {
        return;
    };
    for identity in inherited.filter(|identity| identity.is_unchanged()) {
        // SAFETY: the number is open, it is the inherited socket. The owner is forgotten, so that the objects
        // that were inherited with it close the number like any other.
        let mut target = unsafe { OwnedFd::from_raw_fd(identity.descriptor) };
        let _ = rustix::io::dup2(&cover, &mut target);
        std::mem::forget(target);
    }
}
