//! Open files of sealed segments: as many as the limit says, the oldest closed first.
//!
//! A year of hourly segments in four lanes is 35,000 files; a process may have 1,024 open by default.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::error::{Error, Result};
use super::layout::Identity;

/// See the module.
#[derive(Debug)]
pub struct OpenFiles {
    files_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    files: HashMap<Identity, Arc<File>>,
    by_age: VecDeque<Identity>,
}

impl OpenFiles {
    /// Keeps at most `files_max` open, and at least one.
    pub fn new(files_max: usize) -> Self {
        Self { files_max: files_max.max(1), open: Mutex::default() }
    }

    /// The file, if it is open.
    pub fn get(&self, identity: &Identity) -> Option<Arc<File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).files.get(identity).cloned()
    }

    /// Closes the file once nobody uses it.
    pub fn forget(&self, identity: &Identity) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.files.remove(identity).is_some() {
            open.by_age.retain(|known| known != identity);
        }
    }

    /// The file; opened if it is not, for which another may be closed once nobody uses it.
    ///
    /// # Errors
    /// What opening says.
    pub fn open(&self, identity: &Identity, path: &Path) -> Result<Arc<File>> {
        if let Some(file) = self.get(identity) {
            return Ok(file);
        }
        let file = Arc::new(File::open(path).map_err(Error::io("open", path))?);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.files.insert(*identity, Arc::clone(&file)).is_none() {
            open.by_age.push_back(*identity);
        }
        if open.files.len() > self.files_max
            && let Some(oldest) = open.by_age.pop_front()
        {
            open.files.remove(&oldest);
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Journal;

    #[test]
    fn the_oldest_is_closed_when_one_too_many_is_opened() {
        let root = tempfile::tempdir().unwrap();
        let files = OpenFiles::new(2);
        let identity = |segment| Identity {
            store: [0; 16],
            journal: Journal::Clicks,
            node: 0,
            lane: 0,
            segment,
            generation: 0,
        };
        let path = root.path().join("segment");
        std::fs::write(&path, "x").unwrap();
        for segment in [1, 2, 2, 3] {
            files.open(&identity(segment), &path).unwrap();
        }
        let open: Vec<_> = (1..=3).map(|segment| files.get(&identity(segment)).is_some()).collect();
        assert_eq!(open, [false, true, true]);
    }
}
