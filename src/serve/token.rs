//! The admin token of an installation that was given none: made once, kept in the data folder, for its owner alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::admin::Token;
use crate::event::hex;

/// Its name in the data folder.
pub const FILE: &str = "admin-token";
/// 128 bits cannot be guessed.
const BYTES: usize = 16;
/// Letters of a token that is given, below which whoever reaches the operators' door may guess it.
const LETTERS_MIN: usize = 16;

/// What is wrong with a token that was given.
pub(super) fn warning(token: &str) -> Option<String> {
    (token.len() < LETTERS_MIN).then(|| {
        format!(
            "the admin token has {} letters and can be guessed: give it {LETTERS_MIN} at least, by chance",
            token.len()
        )
    })
}

/// Reads the token, or makes one.
pub(super) fn keep(path: &Path) -> io::Result<Token> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => return Ok(Token::new(text.trim())),
        // A stop between making the file and writing it.
        Ok(_) => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut random = [0; BYTES];
    getrandom::fill(&mut random).map_err(io::Error::other)?;
    let text = hex(&random);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(format!("{text}\n").as_bytes())?;
    file.sync_all()?;
    Ok(Token::new(&text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_that_can_be_guessed_is_warned_of() {
        assert!(warning("hush").is_some_and(|told| told.contains("has 4 letters") && !told.contains("hush")));
        assert_eq!(warning(&"x".repeat(LETTERS_MIN)), None);
    }

    #[test]
    fn a_token_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        keep(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim().len(), 2 * BYTES);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        keep(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        fs::write(&path, "").unwrap();
        keep(&path).unwrap();
        assert_ne!(fs::read_to_string(&path).unwrap(), text, "an empty token is no token");
    }
}
