//! The folder of a day takes another's place, at once.
//!
//! In: what is to be in it, and what is not. Out: a folder that readers see instead of the one before.
//! Keeps: whoever lists the day sees the files of before or those of after, never both, none or a part. What nobody spoke
//! of is carried over as it is, under a second name.
//! Where the file system cannot exchange two names, the old folder goes aside first: for a moment there is no such day, which
//! the log says once. Who dies in that moment has it put back at the next start (`restore`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::store::directory::{make_folder, sync_folder};

use super::error::{Error, Result};

/// In front of the name of a day that is aside.
const ASIDE: &str = "aside-";

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
    exchange_by(day, staged, || renameat_with(CWD, day, CWD, staged, RenameFlags::EXCHANGE))?;
    for folder in [day, staged] {
        sync_folder(folder.parent().unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

/// Puts days back that were aside when the process died, before what is staged is removed.
pub(super) fn restore(table: &Path, staged: &Path) -> Result<()> {
    for name in names(staged)? {
        let Some(day) = name.strip_prefix(ASIDE).map(|day| table.join(day)) else { continue };
        if !day.exists() {
            let aside = staged.join(&name);
            fs::rename(&aside, &day).map_err(Error::io("rename to", &day))?;
            sync_folder(table)?;
        }
    }
    Ok(())
}

fn exchange_by(day: &Path, staged: &Path, exchange: impl FnOnce() -> rustix::io::Result<()>) -> Result<()> {
    match exchange() {
        Ok(()) => Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            say_once(day);
            one_after_the_other(day, staged)
        }
        Err(errno) => Err(Error::io("exchange", day)(errno.into())),
    }
}

fn one_after_the_other(day: &Path, staged: &Path) -> Result<()> {
    let aside = aside(staged);
    remove(&aside)?;
    let parent = aside.parent().unwrap_or(Path::new("."));
    fs::rename(day, &aside).map_err(Error::io("rename to", &aside))?;
    // The old one must be found before its own name can be seen to lead elsewhere.
    let moved = sync_folder(parent).map_err(Error::from);
    let moved = moved.and_then(|()| fs::rename(staged, day).map_err(Error::io("rename to", day)));
    if let Err(error) = moved {
        // Readers get back what they had; if that fails too, the next start tries again.
        let _tried = fs::rename(&aside, day);
        return Err(error);
    }
    sync_folder(day.parent().unwrap_or(Path::new(".")))?;
    fs::rename(&aside, staged).map_err(Error::io("rename to", staged))
}

fn aside(staged: &Path) -> PathBuf {
    let name = staged.file_name().unwrap_or_default().to_string_lossy();
    staged.with_file_name(format!("{ASIDE}{name}"))
}

#[cfg(feature = "daemon")]
fn say_once(day: &Path) {
    static SAID: std::sync::Once = std::sync::Once::new();
    SAID.call_once(|| {
        let day = day.display();
        tracing::warn!(
            "the file system of {day} cannot exchange folders: a day is missing while its files are replaced"
        );
    });
}

#[cfg(not(feature = "daemon"))]
fn say_once(_: &Path) {}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// A day with an old file, and what is to take its place.
    fn world() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (day, staged) =
            (root.path().join("export/dt=2026-11-20"), root.path().join("staging/dt=2026-11-20"));
        for (folder, name) in [(&day, "old"), (&staged, "new")] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(name), name).unwrap();
        }
        (root, day, staged)
    }

    #[test]
    fn where_nothing_can_be_exchanged_the_new_day_takes_the_place_of_the_old_all_the_same() {
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
            let (_root, day, staged) = world();
            exchange_by(&day, &staged, || Err(errno)).unwrap();
            assert_eq!(
                (names(&day).unwrap(), names(&staged).unwrap()),
                (vec!["new".into()], vec!["old".into()])
            );
            assert_eq!(names(staged.parent().unwrap()).unwrap(), ["dt=2026-11-20"], "nothing is left aside");
        }
        let (_root, day, staged) = world();
        assert!(exchange_by(&day, &staged, || Err(Errno::IO)).is_err());
        assert_eq!(names(&day).unwrap(), ["old"]);
    }

    #[test]
    fn a_day_that_cannot_be_replaced_is_there_as_before() {
        let (_root, day, staged) = world();
        fs::remove_dir_all(&staged).unwrap();
        assert!(exchange_by(&day, &staged, || Err(Errno::INVAL)).is_err());
        assert_eq!(names(&day).unwrap(), ["old"]);
    }

    #[test]
    fn who_dies_between_both_names_has_the_old_day_back_and_who_dies_later_has_the_new_one() {
        let (_root, day, staged) = world();
        let (table, below) = (day.parent().unwrap(), staged.parent().unwrap());
        restore(table, &below.join("none")).unwrap();
        fs::rename(&day, aside(&staged)).unwrap();
        restore(table, below).unwrap();
        assert_eq!(
            (names(&day).unwrap(), names(below).unwrap()),
            (vec!["old".into()], vec!["dt=2026-11-20".into()])
        );
        fs::rename(&day, aside(&staged)).unwrap();
        fs::rename(&staged, &day).unwrap();
        restore(table, below).unwrap();
        assert_eq!(names(&day).unwrap(), ["new"]);
    }
}
