//! What is about to go is summed up first: reports have it ever after, whoever publishes or not.
//!
//! In: a segment of which records are to go. Out: its roll-up, if there was none.
//! Not here: what a roll-up is (`rollup`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use super::Company;
use crate::compactor::error::{Error, Result};
use crate::compactor::rollup::{Rollups, SegmentId};
use crate::store::Journal;
use crate::store::layout::Footer;
use crate::store::reader::Reader;

/// See the module. Looks when it is first asked.
#[derive(Debug, Default)]
pub(super) struct Unsummed(Option<(Rollups, BTreeSet<SegmentId>)>);

impl Unsummed {
    /// Sums a segment up, unless that was done. What this build cannot read is in no report, and does not keep it.
    pub(super) fn settle(
        &mut self,
        reader: &Reader,
        footer: &Footer,
        company: &mut dyn Company,
    ) -> Result<ControlFlow<()>> {
        let identity = footer.identity;
        if identity.journal == Journal::Deliveries || footer.summary.records == 0 {
            return Ok(ControlFlow::Continue(()));
        }
        if self.0.is_none() {
            let Some(rollups) = Rollups::open(reader)? else { return Ok(ControlFlow::Continue(())) };
            let missing = rollups.missing()?.into_iter().collect();
            self.0 = Some((rollups, missing));
        }
        let id = SegmentId { journal: identity.journal, lane: identity.lane, segment: identity.segment };
        let Some((rollups, missing)) = self.0.as_mut().filter(|(_, missing)| missing.contains(&id)) else {
            return Ok(ControlFlow::Continue(()));
        };
        let flow = company.reads(footer.summary.end.into());
        if flow.is_continue() {
            match rollups.make(id) {
                Ok(()) | Err(Error::Record { .. }) => {}
                Err(error) => return Err(error),
            }
            missing.remove(&id);
        }
        Ok(flow)
    }
}
