//! The local socket of a node: `control.sock` in its directory, where its operator talks to it.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

/// Name of the socket in a node's directory.
pub const NAME: &str = "control.sock";
/// Longest path that fits into a socket address (sockaddr_un, with its closing zero).
const PATH_MAX: usize = 107;

/// A path to the socket that fits into an address, and what keeps it valid: a longer one leads
/// through a descriptor of the directory, as long as that is open.
pub struct Socket {
    path: PathBuf,
    _directory: Option<File>,
}

impl Socket {
    pub fn of(dir: &Path) -> io::Result<Socket> {
        let path = dir.join(NAME);
        if path.as_os_str().len() <= PATH_MAX {
            return Ok(Socket { path, _directory: None });
        }
        let directory = File::open(dir)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{NAME}", directory.as_raw_fd()));
        Ok(Socket { path, _directory: Some(directory) })
    }

    /// Valid as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_node_in_a_deep_directory_can_be_reached() {
        let root = tempfile::tempdir().unwrap();
        for name in ["short", &"long".repeat(60)] {
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let (here, there) = (Socket::of(&dir).unwrap(), Socket::of(&dir).unwrap());
            let _listener = UnixListener::bind(here.path()).unwrap();
            UnixStream::connect(there.path()).unwrap();
            assert!(dir.join(NAME).exists());
        }
    }
}
