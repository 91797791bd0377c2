//! Decision records of a simulation, in one file for all its routers.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A file of decision records, one after the other. A clone writes to the same file.
#[derive(Clone, Debug)]
pub struct Decisions(Arc<Mutex<BufWriter<File>>>);

impl Decisions {
    /// An empty file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        Ok(Self(Arc::new(Mutex::new(file))))
    }

    /// Adds a record. What fails here fails again in [`Self::finish`].
    pub(super) fn add(&self, record: &[u8]) {
        if let Ok(mut file) = self.0.lock() {
            let _ = file.write_all(record);
        }
    }

    /// Writes out what is held back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self) -> io::Result<()> {
        match self.0.lock() {
            Ok(mut file) => file.flush(),
            Err(_) => Err(io::Error::other("a writer of decision records has failed")),
        }
    }
}
