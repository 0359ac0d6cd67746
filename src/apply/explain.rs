//! What is known and decided about a postback, in words, for whoever tries a network out.

use super::claim::{Claim, Subject};
use super::ledger::Ruling;

/// What it says, but for its payout.
pub fn claim(claim: &Claim) -> String {
    format!(
        "click {}, transaction {}, event \"{}\", status {}",
        claim.click_id,
        claim.transaction_id.as_deref().unwrap_or("none"),
        claim.event,
        claim.status.name(),
    )
}

/// Which click it is about.
pub fn subject(subject: &Subject) -> String {
    match subject {
        Subject::Unknown => "nobody knows it".to_owned(),
        Subject::Lost(_) => "it was ours and is lost".to_owned(),
        Subject::Click { click, .. } => click.click().map_or_else(
            || "it cannot be read".to_owned(),
            |click| format!("of {}, campaign \"{}\", offer \"{}\"", click.time, click.campaign, click.offer),
        ),
    }
}

/// What is decided, or would be.
pub fn ruling(ruling: &Ruling) -> String {
    let (verdict, reason) = ruling.would.unwrap_or((ruling.verdict, ruling.reason));
    let reason = if reason.name().is_empty() { "nothing to explain" } else { reason.name() };
    let adds = ruling.payout.map_or_else(String::new, |payout| {
        format!(", would add {} {} to the books", ruling.entry, payout.currency)
    });
    format!("{}: {reason}{adds}", verdict.name())
}
