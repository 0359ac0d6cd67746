//! Whose clicks and conversions a command is about: what is left out otherwise.

use clap::Args;

/// Of several values of one of them any; of several of them all.
#[derive(Debug, Args)]
pub(super) struct Whose {
    /// Only of this campaign; may be given several times, as all of these
    #[arg(long, value_name = "ID")]
    campaign: Vec<String>,
    /// Only of this offer
    #[arg(long, value_name = "ID")]
    offer: Vec<String>,
    /// Only of this source
    #[arg(long, value_name = "ID")]
    source: Vec<String>,
    /// Only of this network
    #[arg(long, value_name = "ID")]
    network: Vec<String>,
}

impl Whose {
    /// What each is called, and what it is to be.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let named = [
            ("campaign", &self.campaign),
            ("offer", &self.offer),
            ("source", &self.source),
            ("network", &self.network),
        ];
        named.into_iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)))
    }
}
