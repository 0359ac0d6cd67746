//! One job: its decisions read, its request made and sent, its answer judged.
//!
//! In: a job's deliveries, the destinations in use. Out: what became of each.
//! Keeps: a delivery that cannot be made spoils it for no other of its batch; nothing is sent of what is no longer of use.
//! Not here: whose turn it is, what follows (`desk`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;

use super::batch::Bisect;
use super::class::class_of;
use super::client::Clients;
use super::desk::{Ended, ItemEnded, JobItem, Tried, UNREADABLE};
use super::destinations::Destinations;
use super::follow::{read_decision, try_decision};
use super::kept::Kept;
use super::mask::Mask;
use super::outbound::Outbound;
use super::owed::delivery_id;
use super::request::{self, Item, Moment, Unmade};
use super::token::Tokens;
use super::verdict::{Answered, Came, Judge, Outcome, Verdict};
use crate::clock::Clock;
use crate::event::decision::Decision;
use crate::event::delivery::OutcomeClass;
use crate::store::lane::Lane;
use crate::store::sealed::Tried as Looked;
use crate::store::{Error, Position};

/// Tokens that are in use at once, more or less.
const TOKEN_MASKS_MAX: usize = 64;

/// What every attempt needs.
pub(super) struct Tools {
    pub(super) clients: Clients,
    pub(super) tokens: Tokens,
    /// The journal of postbacks and decisions.
    pub(super) lane: Arc<Lane>,
    pub(super) clock: Clock,
    pub(super) token_masks: TokenMasks,
}

/// What hides tokens, by the token. To make one takes longer than a request does.
#[derive(Default)]
pub(super) struct TokenMasks(RefCell<Vec<(HeaderValue, Rc<Mask>)>>);

impl TokenMasks {
    fn of(&self, value: &HeaderValue) -> Rc<Mask> {
        let mut all = self.0.borrow_mut();
        if let Some((_, mask)) = all.iter().find(|(known, _)| known == value) {
            return Rc::clone(mask);
        }
        if all.len() >= TOKEN_MASKS_MAX {
            all.clear();
        }
        let mask = Rc::new(Mask::of_token(bearer(value).unwrap_or_default()));
        all.push((value.clone(), Rc::clone(&mask)));
        mask
    }
}

fn bearer(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()?.strip_prefix("Bearer ")
}

/// The destinations in use, and what of them nobody may see.
pub(super) struct Snapshot {
    pub(super) all: Arc<Destinations>,
    pub(super) mask: Mask,
}

impl Snapshot {
    pub(super) fn of(all: Arc<Destinations>) -> Self {
        Self { mask: Mask::new(&all.secrets), all }
    }
}

/// One delivery that goes into the request.
struct Member<'a> {
    /// Its number in the job.
    index: usize,
    item: Item<'a>,
}

/// What became of the deliveries of a job so far.
struct Ends<'a> {
    outbound: &'a Outbound,
    all: Vec<Option<ItemEnded>>,
}

impl Ends<'_> {
    fn set(&mut self, index: usize, ended: ItemEnded) {
        if let Some(slot) = self.all.get_mut(index) {
            *slot = Some(ended);
        }
    }

    fn tried(&mut self, member: &Member<'_>, class: OutcomeClass, verdict: &Verdict) {
        let tried = Tried {
            delivery_id: member.item.delivery_id,
            class,
            http_status: verdict.http_status,
            retry_after: verdict.wait,
            detail: verdict.detail.clone(),
            patience: self.outbound.patience,
        };
        self.set(member.index, ItemEnded::Tried(tried));
    }
}

/// Makes one attempt at the deliveries of a job.
pub(super) async fn attempt(
    tools: &Tools,
    snapshot: &Snapshot,
    destination: &str,
    items: &[JobItem],
) -> Ended {
    let mut kept = Vec::with_capacity(items.len());
    for item in items {
        match read(tools, item.at).await {
            Ok(found) => kept.push(found),
            Err(error) => {
                tracing::error!("a decision cannot be read, and is tried again later: {error}");
                return Ended { request: None, items: vec![ItemEnded::Unread; items.len()] };
            }
        }
    }
    let decisions: Vec<Option<Decision<'_>>> =
        kept.iter().map(|kept| kept.as_ref().and_then(Kept::decision)).collect();
    let now = tools.clock.now();
    let (mut all, mut members, mut outbound) = (vec![None; items.len()], Vec::new(), None::<&Arc<Outbound>>);
    for (index, (item, decision)) in items.iter().zip(&decisions).enumerate() {
        let Some(decision) = decision else {
            all[index] = Some(ItemEnded::Dropped { delivery_id: [0; 16], why: UNREADABLE });
            continue;
        };
        let delivery_id = delivery_id(decision.conversion_id, decision.sequence, destination);
        let Some(destination) = snapshot.all.find(decision, destination) else {
            all[index] = Some(ItemEnded::Absent { delivery_id });
            continue;
        };
        let owed = destination.owes(decision);
        let ended = if now > item.delivery.until {
            ItemEnded::Dropped { delivery_id, why: "it is older than its destination takes" }
        } else if outbound.is_some_and(|outbound| !Arc::ptr_eq(outbound, &destination.outbound)) {
            ItemEnded::PutBack
        } else {
            outbound = Some(&destination.outbound);
            let item = Item { decision, delivery_id, payout: owed.payout };
            members.push(Member { index, item });
            continue;
        };
        all[index] = Some(ended);
    }
    let request = match outbound {
        Some(outbound) => {
            let mut ends = Ends { outbound, all };
            let call = Call { tools, snapshot, outbound };
            let class = call.tell(&mut ends, members).await;
            all = ends.all;
            class
        }
        None => None,
    };
    Ended { request, items: all.into_iter().map(|ended| ended.unwrap_or(ItemEnded::PutBack)).collect() }
}

/// The decision, or that it cannot be read just now.
async fn read(tools: &Tools, at: Position) -> Result<Option<Kept>, Error> {
    match try_decision(&tools.lane.view(), at)? {
        Looked::Done(kept) => Ok(kept),
        Looked::WouldBlock => {
            let lane = Arc::clone(&tools.lane);
            let read = tokio::task::spawn_blocking(move || read_decision(&lane.view(), at));
            // It neither panics nor is aborted.
            read.await.unwrap_or(Ok(None))
        }
    }
}

/// Requests of one job, all made alike.
struct Call<'a> {
    tools: &'a Tools,
    snapshot: &'a Snapshot,
    outbound: &'a Arc<Outbound>,
}

impl Call<'_> {
    /// Sends all of them. What the request came to, if one was made.
    async fn tell(&self, ends: &mut Ends<'_>, members: Vec<Member<'_>>) -> Option<OutcomeClass> {
        let (verdict, members) = self.send(ends, members).await?;
        match &verdict.result {
            Outcome::All(class) => {
                members.iter().for_each(|member| ends.tried(member, *class, &verdict));
                Some(*class)
            }
            Outcome::Each(classes) => {
                members.iter().zip(classes).for_each(|(member, class)| ends.tried(member, *class, &verdict));
                Some(OutcomeClass::Ok)
            }
            // Rare, and large: in a box it is no part of every attempt.
            Outcome::Bisect => Some(Box::pin(self.take_apart(ends, members, verdict)).await),
        }
    }

    /// Finds out which of a batch spoil it for the others.
    async fn take_apart(
        &self,
        ends: &mut Ends<'_>,
        members: Vec<Member<'_>>,
        whole: Verdict,
    ) -> OutcomeClass {
        let mut bisect = Bisect::new(members.len());
        let (mut class, mut verdicts) = (OutcomeClass::Client, vec![None; members.len()]);
        while let Some(range) = bisect.next_part() {
            let part = members.get(range.clone()).unwrap_or_default();
            let again = part.iter().map(|member| Member { index: member.index, item: member.item }).collect();
            let Some((verdict, _)) = self.send(ends, again).await else {
                bisect.gave_up();
                continue;
            };
            match &verdict.result {
                Outcome::All(OutcomeClass::Ok) => bisect.taken(),
                Outcome::All(OutcomeClass::Client) | Outcome::Bisect => bisect.refused(),
                // Of each its own: those refused are put right below.
                Outcome::Each(classes) => {
                    for (member, class) in part.iter().zip(classes) {
                        ends.tried(member, *class, &verdict);
                    }
                    bisect.taken();
                }
                Outcome::All(other) => {
                    class = *other;
                    bisect.gave_up();
                }
            }
            verdicts.iter_mut().take(range.end).skip(range.start).for_each(|of| *of = Some(verdict.clone()));
        }
        let ended = bisect.end();
        for (numbers, class) in [
            (ended.taken, OutcomeClass::Ok),
            (ended.refused, OutcomeClass::Client),
            (ended.unresolved, class),
        ] {
            for number in numbers {
                let (Some(member), Some(verdict)) = (members.get(number), verdicts.get(number)) else {
                    continue;
                };
                if ends.all.get(member.index).is_some_and(Option::is_none) {
                    ends.tried(member, class, verdict.as_ref().unwrap_or(&whole));
                }
            }
        }
        class
    }

    /// Sends one request with as many of them as go into one; the others are put back, or cannot be made.
    async fn send<'m>(
        &self,
        ends: &mut Ends<'_>,
        mut members: Vec<Member<'m>>,
    ) -> Option<(Verdict, Vec<Member<'m>>)> {
        let Self { tools, outbound, .. } = self;
        let authorization = match &outbound.token {
            Some(source) => {
                let asked =
                    tools.tokens.authorization(source, &tools.clients, &outbound.route, outbound.timeout);
                match Box::pin(asked).await {
                    Ok(value) => Some(value),
                    Err(error) => {
                        let class = class_of(error.answer());
                        let result = Outcome::All(class);
                        let detail = error.to_string().into_bytes();
                        return Some((Verdict { result, http_status: 0, wait: None, detail }, members));
                    }
                }
            }
            None => None,
        };
        let token = authorization.as_ref().and_then(bearer);
        let mask = authorization.as_ref().map(|value| tools.token_masks.of(value));
        let mask = mask.as_deref();
        let request = loop {
            if members.is_empty() {
                return None;
            }
            let items: Vec<Item<'_>> = members.iter().map(|member| member.item).collect();
            let now = tools.clock.now();
            let moment = Moment { now, random: random(now.micros(), &items) };
            match request::make(outbound, &items, &self.snapshot.all.secrets, token, moment) {
                Ok(request) => break request,
                Err(Unmade::TooMany(fit)) => members.truncate(fit.max(1)),
                Err(Unmade::Items(bad)) => {
                    for (number, why) in bad.into_iter().rev() {
                        let verdict = self.judge(mask).unmade(&Unmade::Template(why));
                        let member = members.remove(number);
                        ends.tried(&member, OutcomeClass::Config, &verdict);
                    }
                }
                Err(why) => return Some((self.judge(mask).unmade(&why), members)),
            }
        };
        let sent = tools.clients.send(request, &outbound.route, outbound.timeout).await;
        let judge = self.judge(mask);
        let verdict = match &sent {
            Ok(received) => {
                let answered = Answered {
                    status: received.status,
                    retry_after: received.retry_after.as_ref().map(|value| value.as_bytes()),
                    body: &received.body,
                    is_whole: received.is_whole && !received.is_broken,
                };
                judge.judge(Came::Answer(answered), members.len())
            }
            Err(failed) => judge.judge(Came::Fault(failed.fault, &failed.detail), members.len()),
        };
        if let (Outcome::All(OutcomeClass::Auth), Some(source), Some(value)) =
            (&verdict.result, &outbound.token, &authorization)
        {
            tools.tokens.forget(source, value);
        }
        Some((verdict, members))
    }

    fn judge<'b>(&'b self, token: Option<&'b Mask>) -> Judge<'b> {
        let now = self.tools.clock.now();
        Judge { outbound: self.outbound, mask: &self.snapshot.mask, token, now }
    }
}

/// What `{random}` is: another number for each attempt, to keep caches out. It is no secret.
fn random(now: i64, items: &[Item<'_>]) -> u64 {
    use std::hash::Hasher;
    let mut hasher = siphasher::sip::SipHasher13::new();
    hasher.write_i64(now);
    items.iter().take(1).for_each(|item| hasher.write(&item.delivery_id));
    hasher.finish()
}
