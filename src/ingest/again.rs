//! A postback of the journal, read once more by the catalog in use.
//!
//! In: the record. Out: what it says today, ready to be decided on; or why it would be refused.
//! Keeps: who called was checked when it came, and is not asked again; what was masked then stays so; what was a test stays
//! one.

use std::sync::Arc;

use super::catalog::Catalog;
use super::entrance::is_test;
use super::examine::reread;
use super::look_up;
use crate::apply::claim::{Effect, Evidence, Refusal, Submission};
use crate::event::postback::Postback;
use crate::store::clicks::Clicks;

/// In the place of its method, what a made-up postback is kept with: no request that gets this far has it.
pub const MADE_UP: &str = "TEST";

/// Reads a postback of this network once more; waits for the disk where its click is cold. `known` is the click that it
/// was found to be about before, for one that does not say.
///
/// # Errors
/// Why it would be refused.
pub fn read_again(
    catalog: &Catalog,
    clicks: &Clicks,
    postback: &Postback<'_>,
    known: Option<&str>,
) -> Result<Submission, Refusal> {
    let network = catalog.network(postback.network).ok_or(Refusal::UnknownNetwork)?;
    let evidence = evidence(postback, catalog.version());
    let claim = reread(catalog, network, &evidence, known).map_err(|refused| refused.refusal)?;
    let subject = look_up::subject(clicks, &claim.click_id);
    let (terms, offer) = look_up::terms(catalog, &network.rules.id, &subject);
    let was_test = postback.method == MADE_UP || is_test(&claim.params);
    Ok(Submission {
        evidence,
        claim,
        network: Arc::clone(&network.rules),
        terms,
        offer,
        subject,
        effect: if was_test { Effect::Test } else { Effect::Counts },
    })
}

fn evidence(postback: &Postback<'_>, version: u64) -> Evidence {
    Evidence {
        time: postback.time,
        config_version: version,
        address: postback.address,
        network: postback.network.to_owned(),
        method: postback.method.to_owned(),
        host: postback.host.to_owned(),
        path: postback.path.to_owned(),
        query: postback.query.to_owned(),
        content_type: postback.content_type.to_owned(),
        headers: postback.headers.to_owned(),
        body: postback.body.to_vec(),
    }
}
