//! Whether a connection's file is still the one at its path.
//!
//! SQLite keeps a file open by its inode. A file that was deleted, or replaced by another one (a backup that was put
//! in its place), goes on taking writes that nobody will ever find. So a connection looks before it starts something,
//! at most once in [`INTERVAL`], and is given up for a new one when the path leads elsewhere. What was written in
//! between is where it would be had the file been deleted a moment later.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A look costs a microsecond or two, about as much as a tenth of a write.
const INTERVAL: Duration = Duration::from_millis(10);

/// What a path led to when the connection was opened.
#[derive(Debug)]
pub(crate) struct Place {
    file: FileId,
    looked: Instant,
    moved: bool,
}

/// Names a file whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    #[cfg(unix)]
    device_and_inode: (u64, u64),
}

impl FileId {
    /// `None` if there is no file.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            Some(Self {
                device_and_inode: (metadata.dev(), metadata.ino()),
            })
        }
        // Elsewhere an open file can be neither deleted nor replaced.
        #[cfg(not(unix))]
        {
            let _ = metadata;
            Some(Self {})
        }
    }
}

impl Place {
    /// Of a connection that was opened just now.
    pub(crate) fn new(path: &Path) -> Option<Self> {
        Some(Self {
            file: FileId::at(path)?,
            looked: Instant::now(),
            moved: false,
        })
    }

    /// Whether the path leads elsewhere now; asks the file system if that was not done lately.
    pub(crate) fn has_moved(&mut self, path: &Path) -> bool {
        let now = Instant::now();
        if !self.moved && now.saturating_duration_since(self.looked) >= INTERVAL {
            self.looked = now;
            self.moved = FileId::at(path) != Some(self.file);
        }
        self.moved
    }
}
