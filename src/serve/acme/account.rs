//! Our account with an authority: made once, kept in its folder for its owner alone.
//!
//! Keeps: one account for a directory and its contacts; other ones in the settings make another. What cannot be read is made
//! anew.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};

use super::order::OrderError;
use super::transport::Transport;
use crate::clock::Clock;
use crate::config::Authority;
use crate::store::directory::write_whole;

/// Its file.
const FILE: &str = "account.json";

/// What is kept of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    directory: String,
    contact: Vec<String>,
    credentials: AccountCredentials,
}

/// The account, made if there is none.
pub(super) async fn of(authority: &Authority, clock: &Clock) -> Result<Account, OrderError> {
    let transport =
        Transport::new(authority, clock).map_err(|error| OrderError::Unreachable(error.to_string()))?;
    let builder = Account::builder_with_http(Box::new(transport));
    let path = authority.folder.join(FILE);
    if let Some(kept) = read(&path)
        && kept.directory == authority.directory
        && kept.contact == authority.contact
    {
        return Ok(builder.from_credentials(kept.credentials).await?);
    }
    let contact: Vec<&str> = authority.contact.iter().map(String::as_str).collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let (account, credentials) = builder.create(&new, authority.directory.clone(), None).await?;
    let (directory, contact) = (authority.directory.clone(), authority.contact.clone());
    let text = serde_json::to_vec(&Kept { directory, contact, credentials });
    let text = text.map_err(|error| OrderError::Kept(error.to_string()))?;
    let kept = |error: &dyn std::fmt::Display| OrderError::Kept(error.to_string());
    let folder = DirBuilder::new().recursive(true).mode(0o700).create(&authority.folder);
    folder.map_err(|error| kept(&error))?;
    write_whole(&path, &text, 0o600).map_err(|error| kept(&error))?;
    tracing::info!("an account was made at {}", authority.directory);
    Ok(account)
}

fn read(path: &Path) -> Option<Kept> {
    let bytes = fs::read(path).ok()?;
    let kept = serde_json::from_slice(&bytes);
    kept.inspect_err(|_| tracing::warn!("{} is no account of ours; another one is made", path.display())).ok()
}

/// An authority that has forgotten us is asked for another account next time.
pub(super) fn forget_if_gone(authority: &Authority, error: &OrderError) {
    let is_gone = matches!(error, OrderError::Refused { kind, .. } if kind.ends_with(":accountDoesNotExist"));
    if is_gone {
        let _absent = fs::remove_file(authority.folder.join(FILE));
    }
}
