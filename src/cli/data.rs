//! The data folder of commands that read it, beside a daemon or without one.
//!
//! In: a path. Out: a reader of the store there; or why there is none, and where one is that may have been meant.

use std::io;
use std::path::{Path, PathBuf};

use super::Failure;
use crate::store::directory::Directory;
use crate::store::manifest::Manifest;
use crate::store::reader::Reader;

/// What `serve` makes where nothing else is said.
const DEFAULT: &str = "clicklog-data";

/// A reader of a folder that holds a store.
pub(super) fn open(data: &Path) -> Result<Reader, Failure> {
    let reader = suspect(data)?;
    reader.node()?;
    Ok(reader)
}

/// The same of one that may be damaged: whatever is there is to be looked at.
pub(super) fn suspect(data: &Path) -> Result<Reader, Failure> {
    if let Err(error) = std::fs::read_dir(data) {
        let nothing = format!("there is no store in {}", data.display());
        return Err(match error.kind() {
            io::ErrorKind::NotFound => elsewhere(format!("{nothing}: there is no such folder"), data),
            io::ErrorKind::NotADirectory => elsewhere(format!("{nothing}: it is a file"), data),
            _ => Failure::system(format!("cannot read {}", data.display()), &error),
        });
    }
    let reader = Reader::open(data);
    match reader.node() {
        Ok(None) => Err(elsewhere(
            format!("there is no store in {}: the folder has no manifest", data.display()),
            data,
        )),
        Ok(Some(_)) | Err(_) => Ok(reader),
    }
}

/// With where to look instead.
fn elsewhere(text: String, data: &Path) -> Failure {
    let near = near(data).map(|near| format!("did you mean --data {}?", near.display()));
    let here =
        std::env::current_dir().map_or_else(|_| "this folder".to_owned(), |path| path.display().to_string());
    let advice = match near {
        Some(near) => near,
        None if data.is_absolute() => {
            "say where it is with --data; `clicklog serve` makes it at its first start".to_owned()
        }
        None => format!(
            "say where it is, seen from {here}, with --data; `clicklog serve` makes it at its first start"
        ),
    };
    Failure::new(text).advise(advice)
}

/// A folder close by that holds a store: the one above, or one of the usual name in it or beside it.
fn near(data: &Path) -> Option<PathBuf> {
    let above = data.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let beyond = if data.is_absolute() { above } else { Path::new("..") };
    let places = [data.join(DEFAULT), above.to_owned(), above.join(DEFAULT), beyond.join(DEFAULT)];
    let is_store = |place: &PathBuf| matches!(Manifest::peek(&Directory::new(place)), Ok(Some(_)));
    let found = places.into_iter().find(is_store)?;
    Some(
        found.strip_prefix(".").ok().filter(|path| !path.as_os_str().is_empty()).unwrap_or(&found).to_owned(),
    )
}
