//! The style sheet and the script, served from the binary under names that say what they hold.
//!
//! Keeps: what a name once held it holds for good, so browsers may keep it.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use crate::event::hex;

/// One file.
pub(super) struct Asset {
    /// Below `/console/`.
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) bytes: &'static str,
}

/// How pages look.
pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("style", "css", "text/css; charset=utf-8", include_str!("style.css")));
/// What copies and refreshes.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("script", "js", "text/javascript; charset=utf-8", include_str!("script.js")));
/// What a tab shows.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")));

impl Asset {
    fn new(name: &str, ending: &str, content_type: &'static str, bytes: &'static str) -> Self {
        let sum = hex(&Sha256::digest(bytes.as_bytes()));
        let short = sum.get(..16).unwrap_or(&sum);
        Self { name: format!("{name}-{short}.{ending}"), content_type, bytes }
    }
}

/// The file of this name.
pub(super) fn named(name: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.name == name)
}
