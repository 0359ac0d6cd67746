//! The owner of the books: the one thread that decides, so that no two decisions can miss one another.

use super::claim::{Evidence, Refusal, Request};
use super::reason::Reason;
use crate::event::codec::Encoder;
use crate::event::conversion::Status;
use crate::event::decision::Verdict;
use crate::event::money::{Micros, Money};
use crate::store::commit::{self, Stage};
use crate::store::{Error, LaneWriter, Position};

/// Brings requests before the owner. Cheap to clone.
pub type Handle = commit::Handle<Ledger>;

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Stable id of the conversion; zeros where there is none.
    pub conversion_id: [u8; 16],
    /// Its how manieth decision this is, from 0.
    pub sequence: u32,
    /// Where the postback lies, if it was kept.
    pub postback: Option<Position>,
    /// Where the decision lies, if it was kept.
    pub decision: Option<Position>,
    /// Where the conversion stands now.
    pub status: Status,
    /// What the postback pays by the rules, if it does.
    pub payout: Option<Money>,
    /// What this added to the books, in the currency of `payout`.
    pub entry: Micros,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Ledger {
    encoder: Encoder,
}

impl Stage for Ledger {
    type Request = Request;
    type Reply = Ruling;

    fn apply(&mut self, request: Request, journal: &mut LaneWriter) -> Result<Ruling, Error> {
        let (evidence, refused): (Evidence, Option<Refusal>) = match request {
            Request::Postback(submission) => (submission.evidence, None),
            Request::Refused(evidence, refusal) => (*evidence, Some(refusal)),
            _ => return Ok(Ruling::default()),
        };
        let postback = evidence.as_postback(0, refused);
        let encoded = self
            .encoder
            .postback(&postback)
            .map_err(|long| Error::RecordLength { len: long.bytes, max: u32::MAX })?;
        let at = journal.append(&encoded)?;
        let verdict = if refused.is_some() { Verdict::Rejected } else { Verdict::Unmatched };
        Ok(Ruling { verdict, postback: Some(at.position()), ..Ruling::default() })
    }
}
