//! Secrets: never in a file that people pass around, but in the environment or in a file of their own.
//!
//! Keeps: a `Secret` is never shown, neither by `Debug` nor in any message.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", expecting = "{ env = \"NAME\" } or { file = \"PATH\" }")]
pub enum SecretRef {
    /// In this environment variable.
    Env(String),
    /// In this file; blanks and line ends around it do not belong to it.
    File(PathBuf),
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

/// Why there is no secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or not text.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// The file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
}

/// How environment variables are looked up: the process's own, or a test's.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl SecretRef {
    /// Fetches it.
    pub(super) fn fetch(&self, environment: Environment<'_>) -> Result<Secret, SecretError> {
        let text = match self {
            Self::Env(name) => environment(name).ok_or_else(|| SecretError::NotSet(name.clone()))?,
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| SecretError::Unreadable { path: path.clone(), why: error.to_string() })?,
        };
        match text.trim() {
            "" => Err(SecretError::Empty),
            text => Ok(Secret(text.into())),
        }
    }
}

impl Secret {
    /// The secret itself, for whoever must compare or send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_fetched_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "  hush\n").unwrap();
        std::fs::write(folder.path().join("empty"), " \n").unwrap();
        let environment = |name: &str| (name == "KEY").then(|| "quiet".to_owned());
        let fetch = |reference: SecretRef| reference.fetch(&environment);
        let found = fetch(SecretRef::File(folder.path().join("key"))).unwrap();
        assert_eq!(found.reveal(), "hush");
        assert_eq!(format!("{found:?}"), "Secret(***)");
        assert_eq!(fetch(SecretRef::Env("KEY".to_owned())).unwrap().reveal(), "quiet");
        assert_eq!(fetch(SecretRef::Env("NO".to_owned())), Err(SecretError::NotSet("NO".to_owned())));
        assert_eq!(fetch(SecretRef::File(folder.path().join("empty"))), Err(SecretError::Empty));
        assert!(matches!(
            fetch(SecretRef::File(folder.path().join("no"))),
            Err(SecretError::Unreadable { .. })
        ));
    }
}
