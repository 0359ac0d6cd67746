//! The folder of a day takes another's place, at once.
//!
//! In: what is to be in it, and what is not. Out: a folder that readers see instead of the one before.
//! Keeps: whoever lists the day sees the files of before or those of after, never both, none or a part. What nobody spoke
//! of is carried over as it is, under a second name.
//! Refuses: a file system that cannot exchange two names (`NoExchange`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::store::directory::{make_folder, sync_folder};

use super::error::{Error, Result};

/// An empty folder at `staged`, whatever was there.
pub(super) fn begin(staged: &Path) -> Result<()> {
    remove(staged)?;
    make_folder(staged)?;
    Ok(())
}

/// Puts those of the day's files into `staged` that are to stay, and makes all names in it durable.
pub(super) fn carry_over(day: &Path, staged: &Path, stays: impl Fn(&str) -> bool) -> Result<()> {
    for name in names(day)?.iter().filter(|name| stays(name)) {
        let to = staged.join(name);
        fs::hard_link(day.join(name), &to).map_err(Error::io("link", &to))?;
    }
    Ok(sync_folder(staged)?)
}

/// Exchanges both, durably. From then on `staged` has what readers saw before.
pub(super) fn exchange(day: &Path, staged: &Path) -> Result<()> {
    make_folder(day)?;
    match renameat_with(CWD, day, CWD, staged, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            return Err(Error::NoExchange { path: day.to_owned() });
        }
        Err(errno) => return Err(Error::io("exchange", day)(errno.into())),
    }
    for folder in [day, staged] {
        sync_folder(folder.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Puts by what was replaced, below `old`: whoever has opened the folder goes on listing it, and must find it whole.
pub(super) fn put_by(staged: &Path, old: &Path) -> Result<()> {
    make_folder(old)?;
    let name = staged.file_name().unwrap_or_default().to_string_lossy();
    let free = (1_u64..).map(|number| old.join(format!("{name}-{number}"))).find(|path| !path.exists());
    let to = free.unwrap_or_else(|| old.join(&*name));
    fs::rename(staged, &to).map_err(Error::io("rename to", &to))
}

/// The names in a folder, in order; a missing one has none.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read", folder)(error)),
    };
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().to_string_lossy().into_owned()));
    let mut names: Vec<String> = names.collect::<io::Result<_>>().map_err(Error::io("read", folder))?;
    names.sort_unstable();
    Ok(names)
}

/// Removes a folder and all that is in it, if it is there.
pub(super) fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", folder)(error)),
        _gone => Ok(()),
    }
}

/// The folders of days below that of a table, whatever they hold.
pub(super) fn days(table: &Path) -> Result<Vec<PathBuf>> {
    let names = names(table)?.into_iter().filter(|name| name.starts_with("dt="));
    Ok(names.map(|name| table.join(name)).collect())
}
