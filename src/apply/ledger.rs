//! The owner of the books: the one thread that decides, so that no two decisions can miss one another.
//!
//! In: requests, through `store::commit`. Out: rulings, each only once what it says is on stable storage, and the click
//! that it refers to as well.
//! Keeps: the evidence is in the journal before what was decided on it; what is in the journal is all that a restart
//! needs to decide as if nothing had happened.
//! Not here: what is decided (`decide`), reading requests and finding clicks (`ingest`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::about::About;
use super::claim::{Effect, Evidence, Refusal, Request, Subject, Submission};
use super::decide::{self, Case, Decided, decide};
use super::key::{Facts, Mode, conversion_key};
use super::parked::Parked;
use super::past::{Newest, Past};
use super::reason::Reason;
use super::rules::Terms;
use super::start::Gauges;
use crate::clock::Clock;
use crate::event::click::Click;
use crate::event::codec::{Encoded, Encoder, TooLong};
use crate::event::conversion::{Conversion, Standing, Status};
use crate::event::decision::{Decision, Verdict};
use crate::event::money::{Micros, Money};
use crate::event::params::ParamsRef;
use crate::event::postback::PARTITIONS;
use crate::store::clicks::Clicks;
use crate::store::commit::{self, Stage};
use crate::store::dedupe::{DedupeKey, Table};
use crate::store::{Error, LaneWriter, Position};

/// Brings requests before the owner. Cheap to clone.
pub type Handle = commit::Handle<Ledger>;

/// What the catalog in use says, for decisions that no request with its own rules has brought about.
pub trait Rulebook: Send + Sync {
    /// Of a click, for a postback of this network: the terms, and `Submission::offer`.
    fn terms(&self, click: &Click<'_>, network: &str) -> (Terms, String);

    /// How this network's repeats are treated.
    fn mode(&self, network: &str) -> Mode;
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// What.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// Of a test or a dry run: what it would have been.
    pub would: Option<(Verdict, Reason)>,
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
    /// Of a test or a dry run: the decision that it would have been.
    pub imagined: Option<Box<Imagined>>,
}

/// A decision that was not made, as its record would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imagined {
    /// Which layout.
    pub schema: u16,
    /// The archive; to be read it must be aligned.
    pub payload: Vec<u8>,
}

/// See the module.
pub struct Ledger {
    pub(super) past: Past,
    clicks: Clicks,
    rulebook: Arc<dyn Rulebook>,
    clock: Clock,
    gauges: Arc<Gauges>,
    shown: Option<Duration>,
    pub(super) parked: Parked,
    encoder: Encoder,
    keys: Keys,
    params: Vec<u8>,
    /// By lane, clicks that decisions refer to and that may not be on stable storage yet.
    unsynced: Vec<(u8, Position)>,
}

/// The keys of a conversion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// Its own; empty for one that is its own and has no postback in the journal.
    pub(super) whole: Vec<u8>,
    /// That of its transaction, where several make one conversion.
    pub(super) part: Vec<u8>,
}

/// How often the numbers that it shows are brought up to date.
const SHOW_EVERY: Duration = Duration::from_secs(1);

/// In front of a part's key: no key of a conversion begins so, because an id is not that long.
const PART: [u8; 4] = [0xff, 0xff, 0xff, 0xfe];
/// The same, of a conversion that is its own: its postback's place follows. So it is found again when it is released or
/// read by another mapping.
const OWN: [u8; 4] = [0xff, 0xff, 0xff, 0xfd];

impl Keys {
    pub(super) fn fill(&mut self, submission: &Submission, about: &About<'_>) {
        let Submission { network, claim, .. } = submission;
        let facts = Facts {
            network: &network.id,
            click_id: &about.name,
            offer: about.click.map_or("", |click| click.offer),
            event: &claim.event,
            transaction_id: claim.transaction_id.as_deref(),
        };
        if !conversion_key(network.mode, network.scope, &facts, &mut self.whole) {
            self.whole.clear();
        }
        self.part.clear();
        if network.mode == Mode::Add && facts.transaction_id.is_some() {
            conversion_key(Mode::ByTransaction, network.scope, &facts, &mut self.part);
            self.part.splice(0..0, PART);
        }
    }

    /// Names a conversion that is its own by its postback.
    pub(super) fn name_by(&mut self, postback: Position) {
        if self.whole.is_empty() {
            self.whole.extend(OWN);
            self.whole.extend(postback.to_u64().to_le_bytes());
        }
    }

    /// Before its postback has a place, one that is its own has no key.
    fn partition(&self, name: &str) -> u8 {
        let is_own = self.whole.is_empty() || self.whole.starts_with(&OWN);
        let text = if is_own { name.as_bytes() } else { &self.whole };
        u8::try_from(crc32c::crc32c(text) % u32::from(PARTITIONS)).unwrap_or(0)
    }

    pub(super) fn is_of_parts(&self) -> bool {
        !self.part.is_empty()
    }
}

/// How the conversion stands before a decision.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Before {
    pub(super) newest: Option<Newest>,
    pub(super) part: Standing,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("parked", &self.parked.len()).finish_non_exhaustive()
    }
}

impl Ledger {
    /// An owner that knows these transactions.
    pub(super) fn new(
        past: Past,
        clicks: Clicks,
        rulebook: Arc<dyn Rulebook>,
        clock: Clock,
        gauges: Arc<Gauges>,
    ) -> Self {
        Self {
            past,
            clicks,
            rulebook,
            clock,
            gauges,
            shown: None,
            parked: Parked::default(),
            encoder: Encoder::default(),
            keys: Keys::default(),
            params: Vec::new(),
            unsynced: Vec::new(),
        }
    }

    /// Every transaction that it knows, and the key that they are hashed with.
    pub(super) fn transactions(&self) -> (&Table, &DedupeKey) {
        self.past.table()
    }

    pub(super) fn mode_of(&self, network: &str) -> Mode {
        self.rulebook.mode(network)
    }

    fn keep(
        &mut self,
        evidence: &Evidence,
        partition: u8,
        refused: Option<Refusal>,
        journal: &mut LaneWriter,
    ) -> Result<Position, Error> {
        let postback = evidence.as_postback(partition, refused);
        let encoded = self.encoder.postback(&postback).map_err(too_long)?;
        Ok(journal.append(&encoded)?.position())
    }

    /// Decides on a postback, and keeps it and the decision.
    fn rule(&mut self, submission: Submission, journal: &mut LaneWriter) -> Result<Ruling, Error> {
        let about = About::of(&submission);
        let mut keys = std::mem::take(&mut self.keys);
        keys.fill(&submission, &about);
        let partition = keys.partition(&about.name);
        let is_kept = submission.effect != Effect::DryRun;
        let done = self.past.make_room(2).and_then(|()| {
            let evidence = &submission.evidence;
            let postback = if is_kept { Some(self.keep(evidence, partition, None, journal)?) } else { None };
            postback.iter().for_each(|postback| keys.name_by(*postback));
            self.stay(&mut keys)?;
            let before = self.before(&keys)?;
            let draft = Draft { submission: &submission, about: &about, keys: &keys, postback, before };
            self.decide_and_keep(&draft, Reason::None, journal)
        });
        self.keys = keys;
        let ruling = done?;
        if let (Reason::Parked, Some(postback)) = (ruling.reason, ruling.postback) {
            self.parked.add(submission, postback);
        }
        Ok(ruling)
    }

    /// Where several transactions make one conversion: lets one stay with the conversion that it was first told of, also
    /// where its reversal does not say which event or click it was.
    ///
    /// # Errors
    /// `Unreadable`.
    pub(super) fn stay(&self, keys: &mut Keys) -> Result<(), Error> {
        if keys.is_of_parts()
            && let Some(whole) = self.past.conversion_of(&keys.part)?
        {
            keys.whole = whole;
        }
        Ok(())
    }

    /// How a conversion stands.
    ///
    /// # Errors
    /// `Unreadable`.
    pub(super) fn before(&self, keys: &Keys) -> Result<Before, Error> {
        let newest = |key: &[u8]| if key.is_empty() { Ok(None) } else { self.past.newest(key) };
        let part = newest(&keys.part)?.map_or(Standing::default(), |newest| newest.part);
        Ok(Before { newest: newest(&keys.whole)?, part })
    }

    /// Decides, and keeps the decision unless it is a dry run. `because` stands in where there is nothing else to explain.
    pub(super) fn decide_and_keep(
        &mut self,
        draft: &Draft<'_>,
        because: Reason,
        journal: &mut LaneWriter,
    ) -> Result<Ruling, Error> {
        let mut decided = decide(&draft.case());
        let counts = decided.verdict.is_remembered();
        if decided.reason == Reason::None {
            decided.reason = because;
        }
        let mut ruling = draft.ruling(&decided);
        if draft.submission.effect != Effect::Counts {
            let would = Some((decided.verdict, decided.reason));
            (ruling.verdict, ruling.reason, ruling.would) = (Verdict::Test, Reason::Test, would);
            ruling.imagined =
                Some(Box::new(self.imagine(draft, &decided, (ruling.conversion_id, counts))?));
            if draft.submission.effect == Effect::Test {
                let tested = Decided {
                    verdict: Verdict::Test,
                    reason: Reason::Test,
                    entry: Micros::new(0),
                    ..decided
                };
                let id = ruling.conversion_id;
                ruling.decision = Some(self.append(draft, &tested, (id, false), journal)?);
            }
            return Ok(ruling);
        }
        let position = self.append(draft, &decided, (ruling.conversion_id, counts), journal)?;
        if counts {
            for key in [&draft.keys.whole, &draft.keys.part].into_iter().filter(|key| !key.is_empty()) {
                self.past.note(key, position);
            }
        }
        if let Subject::Click { click, parent } = &draft.submission.subject {
            for found in std::iter::once(click).chain(parent) {
                self.unsynced.push((found.place.lane(), found.position));
            }
        }
        Ok(Ruling { decision: Some(position), ..ruling })
    }

    fn append(
        &mut self,
        draft: &Draft<'_>,
        decided: &Decided,
        of: ([u8; 16], bool),
        journal: &mut LaneWriter,
    ) -> Result<Position, Error> {
        let encoded = self.encode(draft, decided, of)?;
        Ok(journal.append(&encoded)?.position())
    }

    fn imagine(
        &mut self,
        draft: &Draft<'_>,
        decided: &Decided,
        of: ([u8; 16], bool),
    ) -> Result<Imagined, Error> {
        let encoded = self.encode(draft, decided, of)?;
        Ok(Imagined { schema: encoded.schema, payload: encoded.payload.to_vec() })
    }

    fn encode(
        &mut self,
        draft: &Draft<'_>,
        decided: &Decided,
        (conversion_id, has_keys): ([u8; 16], bool),
    ) -> Result<Encoded<'_>, Error> {
        self.params.clear();
        draft.submission.claim.params.encode_into(&mut self.params);
        let decision = draft.decision(decided, (conversion_id, has_keys), &self.params);
        self.encoder.decision(&decision).map_err(too_long)
    }

    /// Appends a decision that no postback has brought about just now.
    pub(super) fn append_decision(
        &mut self,
        decision: &Decision<'_>,
        journal: &mut LaneWriter,
    ) -> Result<Position, Error> {
        // What an erasure has left of keys leads nowhere, but for a transaction's that was a key of its own.
        let leads = |key: &&[u8]| {
            !key.is_empty()
                && (!decision.dedupe_key.is_empty() || matches!(self.past.newest(key), Ok(Some(_))))
        };
        let keys = [decision.dedupe_key, decision.part_key].into_iter().filter(leads).collect::<Vec<_>>();
        let encoded = self.encoder.decision(decision).map_err(too_long)?;
        let position = journal.append(&encoded)?.position();
        keys.into_iter().for_each(|key| self.past.note(key, position));
        Ok(position)
    }

    /// Shows its numbers, once a second: to add them up takes some microseconds.
    fn show(&mut self) {
        let now = self.clock.monotonic();
        if self.shown.is_some_and(|shown| now < shown + SHOW_EVERY) {
            return;
        }
        self.shown = Some(now);
        let table = self.past.table().0;
        let counts = [table.len(), table.memory_bytes(), self.parked.len()];
        let gauges = [&self.gauges.transactions, &self.gauges.transactions_bytes, &self.gauges.parked];
        for (gauge, count) in gauges.into_iter().zip(counts) {
            gauge.store(count as u64, Ordering::Relaxed);
        }
        self.gauges.transactions_gone.store(self.past.gone(), Ordering::Relaxed);
    }

    /// Decides on parked postbacks whose click has come; says whether there were any. What cannot be appended now stays
    /// parked, and the next who asks is told why.
    fn look_for_parked(&mut self, journal: &mut LaneWriter) -> bool {
        let mut has_any = false;
        for (submission, postback) in self.parked.found(&self.clicks, self.clock.now()) {
            match self.decide_late(&submission, postback, journal) {
                Ok(()) => has_any = true,
                Err(_) => self.parked.put_back(submission, postback),
            }
        }
        has_any
    }

    fn decide_late(
        &mut self,
        submission: &Submission,
        postback: Position,
        journal: &mut LaneWriter,
    ) -> Result<(), Error> {
        let click = About::of(submission).click;
        let (terms, offer) = match click {
            Some(click) => self.rulebook.terms(&click, &submission.network.id),
            None => (submission.terms, String::new()),
        };
        let submission = &Submission { terms, offer, ..submission.clone() };
        let about = About::of(submission);
        let mut keys = Keys::default();
        keys.fill(submission, &about);
        keys.name_by(postback);
        self.stay(&mut keys)?;
        self.past.make_room(2)?;
        let before = self.before(&keys)?;
        let draft = Draft { submission, about: &about, keys: &keys, postback: Some(postback), before };
        self.decide_and_keep(&draft, Reason::ClickCame, journal).map(|_ruling| ())
    }
}

/// A decision about to be made.
pub(super) struct Draft<'a> {
    pub(super) submission: &'a Submission,
    pub(super) about: &'a About<'a>,
    pub(super) keys: &'a Keys,
    pub(super) postback: Option<Position>,
    pub(super) before: Before,
}

impl Draft<'_> {
    pub(super) fn case(&self) -> Case {
        let Submission { claim, network, terms, evidence, .. } = self.submission;
        let is_parked = !network.park.is_zero() && self.submission.effect == Effect::Counts;
        Case {
            time: evidence.time,
            click: match self.about.known {
                decide::Click::Unknown { .. } => decide::Click::Unknown { is_parked },
                known => known,
            },
            status: claim.status,
            payout: claim.payout,
            currency: claim.currency,
            network_currency: network.mapping.currency,
            limits: network.limits,
            terms: *terms,
            mode: network.mode,
            standing: self.before.newest.map_or(Standing::default(), |newest| newest.standing),
            part: self.keys.is_of_parts().then_some(self.before.part),
        }
    }

    fn conversion_id(&self) -> [u8; 16] {
        match &*self.keys.whole {
            [] => [0; 16],
            // Positions are alike on other nodes; clicks are not.
            own if own.starts_with(&OWN) => {
                let click = self.about.place.to_le_bytes();
                id_of(&self.submission.network.id, &[own, &click].concat())
            }
            key => id_of("", key),
        }
    }

    fn sequence(&self, has_keys: bool) -> u32 {
        match self.before.newest {
            Some(newest) if has_keys => newest.sequence.saturating_add(1),
            Some(newest) => newest.sequence,
            None => 0,
        }
    }

    pub(super) fn ruling(&self, decided: &Decided) -> Ruling {
        Ruling {
            verdict: decided.verdict,
            reason: decided.reason,
            would: None,
            conversion_id: self.conversion_id(),
            sequence: self.sequence(decided.verdict.is_remembered()),
            postback: self.postback,
            decision: None,
            status: decided.standing.status(),
            payout: decided.payout,
            entry: decided.entry,
            imagined: None,
        }
    }

    /// Without keys nobody will find it as the newest one of its conversion.
    fn decision<'b>(
        &'b self,
        decided: &Decided,
        (conversion_id, has_keys): ([u8; 16], bool),
        params: &'b [u8],
    ) -> Decision<'b> {
        let Submission { claim, network, evidence, .. } = self.submission;
        let click = self.about.click.unwrap_or_default();
        let newest = self.before.newest;
        let key = |key: &'b [u8]| if has_keys { key } else { &[] };
        Decision {
            time: evidence.time,
            postback: self.postback.unwrap_or_default().to_u64(),
            config_version: evidence.config_version,
            verdict: decided.verdict,
            reason: decided.reason.code(),
            partition: self.keys.partition(&self.about.name),
            conversion_id,
            sequence: self.sequence(has_keys),
            conversion: Conversion {
                network: &network.id,
                click_id: &claim.click_id,
                transaction_id: claim.transaction_id.as_deref().unwrap_or_default(),
                event: &claim.event,
                status: claim.status,
                original_status: &claim.original_status,
                payout: decided.payout,
            },
            entry: decided.entry,
            click_time: self.about.click.map(|click| click.time),
            cost: click.cost,
            campaign: click.campaign,
            offer: click.offer,
            source: click.source,
            lander: click.lander,
            external_id: click.external_id,
            dedupe_key: key(&self.keys.whole),
            click_params: click.params,
            postback_params: ParamsRef::check(params).unwrap_or_default(),
            previous: newest.map_or(0, |newest| newest.position.to_u64()),
            standing: decided.standing,
            part_key: key(&self.keys.part),
            part: decided.part.unwrap_or_default(),
            click: self.about.place,
            labels: click.labels,
            address: click.address,
            country: click.country,
            user_agent: click.user_agent,
            referrer: click.referrer,
            language: click.language,
        }
    }
}

/// The same for the same key, on every node.
fn id_of(space: &str, key: &[u8]) -> [u8; 16] {
    let digest = Sha256::new().chain_update(space).chain_update([0]).chain_update(key).finalize();
    let mut id = [0; 16];
    id.copy_from_slice(digest.get(..16).unwrap_or(&[0; 16]));
    id
}

fn too_long(long: TooLong) -> Error {
    Error::RecordLength { len: long.bytes, max: u32::MAX }
}

impl Stage for Ledger {
    type Request = Request;
    type Reply = Ruling;

    fn apply(&mut self, request: Request, journal: &mut LaneWriter) -> Result<Ruling, Error> {
        match request {
            Request::Postback(submission) => self.rule(*submission, journal),
            Request::Refused(evidence, refusal) => {
                let postback = self.keep(&evidence, 0, Some(refusal), journal)?;
                Ok(Ruling { verdict: Verdict::Rejected, postback: Some(postback), ..Ruling::default() })
            }
            Request::Costs(costs) => {
                for cost in &costs {
                    let encoded = self.encoder.cost_update(&cost.as_update()).map_err(too_long)?;
                    journal.append(&encoded)?;
                }
                Ok(Ruling::default())
            }
            Request::Roll => {
                journal.roll_now();
                Ok(Ruling::default())
            }
            Request::Settle { held, is_release, time, newest } => {
                self.settle((held, newest), is_release, time, journal)
            }
            Request::Reapply { postback, decisions, submission, assumed } => {
                self.reapply(postback, &decisions, &submission, assumed.as_deref(), journal)
            }
        }
    }

    fn before_sync(&mut self) -> Result<(), Error> {
        self.unsynced.drain(..).try_for_each(|(lane, position)| self.clicks.sync_past(lane, position))
    }

    fn idle(&mut self, journal: &mut LaneWriter) -> bool {
        self.past.let_go();
        self.show();
        !self.parked.is_empty() && self.look_for_parked(journal)
    }
}
