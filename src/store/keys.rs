//! The secrets of a store: what its click IDs are enciphered with, and what its dedupe table hashes with.
//!
//! ```text
//! DATA/keys/click-id-VV.key   16 bytes, version VV of the ids it makes (00 to 15); the highest is current
//! DATA/keys/dedupe.key        16 bytes
//! ```
//!
//! Keeps: files of mode 0600, made on the first start, never changed and never removed here: a removed
//! click-id key makes every id of its version unreadable. A lost dedupe key costs a rebuild.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::dedupe::DedupeKey;
use super::directory::{Directory, make_folder, write_whole};
use super::error::{Error, Result};
use crate::event::click_id::Keys;

const KEY_BYTES: usize = 16;

/// Reads the click-id keys, and makes the first one if there is none.
///
/// # Errors
/// `Key` if a file does not hold a key.
pub fn click_id_keys(directory: &Directory, is_new: bool) -> Result<Keys> {
    make_folder(&directory.keys())?;
    let mut keys = read_keys(directory)?;
    if keys.is_empty() {
        let path = key_path(directory, 0);
        if !is_new {
            return Err(Error::Key { path, what: "no click-id key is there, but the store has clicks" });
        }
        keys.push((0, make_key(&path)?));
    }
    of_versions(directory, keys)
}

/// Reads the click-id keys and makes nothing: for who reads a store from outside. Nothing if there are none.
///
/// # Errors
/// `Key` if a file does not hold a key.
pub fn read_click_id_keys(directory: &Directory) -> Result<Option<Keys>> {
    let keys = read_keys(directory)?;
    if keys.is_empty() { Ok(None) } else { of_versions(directory, keys).map(Some) }
}

fn read_keys(directory: &Directory) -> Result<Vec<(u8, [u8; KEY_BYTES])>> {
    let mut keys = Vec::new();
    for version in 0..=Keys::VERSION_MAX {
        if let Some(key) = read_key(&key_path(directory, version))? {
            keys.push((version, key));
        }
    }
    Ok(keys)
}

/// The last version is current.
fn of_versions(directory: &Directory, keys: Vec<(u8, [u8; KEY_BYTES])>) -> Result<Keys> {
    let current = keys.last().map_or(0, |(version, _)| *version);
    let what = "the versions do not fit together";
    Keys::new(current, keys).map_err(|_| Error::Key { path: directory.keys(), what })
}

/// The versions whose key files are there, whatever they hold.
pub fn existing_versions(directory: &Directory) -> Vec<u8> {
    (0..=Keys::VERSION_MAX).filter(|version| key_path(directory, *version).exists()).collect()
}

fn key_path(directory: &Directory, version: u8) -> PathBuf {
    directory.keys().join(format!("click-id-{version:02}.key"))
}

/// Adds a click-id key of the next version; ids made from the next start on use it. Gives its version.
///
/// # Errors
/// `Key` when all sixteen versions are used.
pub fn rotate_click_id_key(directory: &Directory) -> Result<u8> {
    let next = click_id_keys(directory, false)?.current() + 1;
    let path = key_path(directory, next);
    if next > Keys::VERSION_MAX {
        return Err(Error::Key { path, what: "all versions are used; remove one whose ids are all expired" });
    }
    make_key(&path)?;
    Ok(next)
}

/// Reads the dedupe key, and makes one if there is none.
///
/// # Errors
/// `Key` if the file does not hold a key.
pub fn dedupe_key(directory: &Directory) -> Result<DedupeKey> {
    make_folder(&directory.keys())?;
    let path = directory.keys().join("dedupe.key");
    let key = match read_key(&path)? {
        Some(key) => key,
        None => make_key(&path)?,
    };
    Ok(DedupeKey::new(&key))
}

fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>> {
    match fs::read(path) {
        Ok(bytes) => match bytes.try_into() {
            Ok(key) => Ok(Some(key)),
            Err(_) => Err(Error::Key { path: path.to_owned(), what: "it is not 16 bytes long" }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn make_key(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let key = random(path)?;
    write_whole(path, &key, 0o600)?;
    Ok(key)
}

/// 16 random bytes from the system, for the file at `path`.
///
/// # Errors
/// What the system says.
pub fn random(path: &Path) -> Result<[u8; KEY_BYTES]> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::io("get random bytes for", path)(io::Error::other(error)))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_privately_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::new(root.path());
        assert!(read_click_id_keys(&directory).unwrap().is_none());
        assert!(!directory.keys().exists(), "who only reads makes nothing");
        let made = click_id_keys(&directory, true).unwrap();
        let path = root.path().join("keys/click-id-00.key");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let place = crate::event::click_id::Place::new(1, 2, 3, 4, 5).unwrap();
        let id = made.encode(place);
        assert_eq!(rotate_click_id_key(&directory).unwrap(), 1);
        assert_eq!(read_click_id_keys(&directory).unwrap().unwrap().decode(&id), Some(place));
        let rotated = click_id_keys(&directory, false).unwrap();
        assert_eq!(rotated.current(), 1);
        assert_eq!(rotated.decode(&id), Some(place), "ids of the old key live on");
        fs::write(&path, "short").unwrap();
        assert!(matches!(click_id_keys(&directory, false), Err(Error::Key { .. })));
    }

    #[test]
    fn a_store_with_clicks_never_gets_a_new_first_key() {
        let root = tempfile::tempdir().unwrap();
        assert!(matches!(click_id_keys(&Directory::new(root.path()), false), Err(Error::Key { .. })));
    }
}
