//! What a look-up shows of each record: owned, for people and programs alike. Fields that are empty are left out.

use std::net::IpAddr;

use serde::Serialize;

use crate::apply::claim::Refusal;
use crate::apply::reason::Reason;
use crate::event::click::{Click, ClickKind, KeptAddress, Labels};
use crate::event::click_id::Place;
use crate::event::conversion::Standing;
use crate::event::decision::Decision;
use crate::event::delivery::{DeliveryOutcome, DestinationChange, DestinationEvent, OutcomeClass};
use crate::event::hex;
use crate::event::money::Money;
use crate::event::params::ParamsRef;
use crate::event::postback::Postback;
use crate::store::Position;

/// An amount, exact, as text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How much.
    pub amount: String,
    /// Of what; empty if nobody said.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub currency: String,
}

/// A click.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClickRow {
    /// Its id.
    pub click_id: String,
    /// How it came: `redirect`, `script`, `through`, `imported`.
    pub kind: &'static str,
    /// When.
    pub time: String,
    /// What its id says, in clear.
    pub place: PlaceRow,
    /// The first click, for a way through a lander.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// The id that another tracker gave it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub foreign_id: String,
    /// Campaign id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub campaign: String,
    /// Source id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// Offer id.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub offer: String,
    /// Lander, as its place in the campaign's list.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lander: String,
    /// The source's own id of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub external_id: String,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Amount>,
    /// What is known against it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<&'static str>,
    /// The visitor's address, as far as it is kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The visitor's country.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub country: String,
    /// Host that was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// `Referer` header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub referrer: String,
    /// `User-Agent` header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user_agent: String,
    /// `Accept-Language` header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub language: String,
    /// Its parameters, in their order; a name may be there twice.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<(String, String)>,
}

/// Where the record of a click lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlaceRow {
    /// The node that recorded it.
    pub node: u16,
    /// The lane.
    pub lane: u8,
    /// The segment.
    pub segment: u32,
    /// Its number in that.
    pub ordinal: u32,
}

/// An inbound request, secrets masked as they are in the record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PostbackRow {
    /// Where it lies in its journal.
    pub position: String,
    /// When it was read.
    pub time: String,
    /// Network id; empty when none was recognised.
    pub network: String,
    /// Why it was refused; empty if it was not.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refused: String,
    /// Who called.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// HTTP method.
    pub method: String,
    /// Host that was asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Path.
    pub path: String,
    /// Query.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// `Content-Type` header.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub content_type: String,
    /// The other headers, one a line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub headers: String,
    /// Body; bytes that are no text as U+FFFD.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
}

/// What was concluded from a postback.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecisionRow {
    /// Where it lies in its journal.
    pub position: String,
    /// When it was made.
    pub time: String,
    /// Where its postback lies.
    pub postback: String,
    /// `accepted`, `updated`, `duplicate`, …
    pub verdict: &'static str,
    /// Why; empty when there is nothing to explain.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The conversion that it is about.
    pub conversion_id: String,
    /// Its how manieth decision.
    pub sequence: u32,
    /// Network id.
    pub network: String,
    /// The click id as it came.
    pub click_id: String,
    /// The network's own id of the conversion.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub transaction_id: String,
    /// What kind of conversion.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub event: String,
    /// What the postback said of where it stands.
    pub status: &'static str,
    /// In the network's word.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub original_status: String,
    /// What it pays, or takes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payout: Option<Amount>,
    /// What this added to the books, in the payout's currency.
    pub entry: String,
    /// How the conversion stands after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<StandingRow>,
    /// Campaign that it counts for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub campaign: String,
    /// Offer that it counts for.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub offer: String,
}

/// How a conversion stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StandingRow {
    /// `pending`, `approved`, `reversed`, `unknown`.
    pub status: &'static str,
    /// What it comes to.
    pub net: String,
    /// What waits for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// The currency of these.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub currency: String,
}

/// One attempt at telling a destination of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeliveryRow {
    /// Where it lies in its journal.
    pub position: String,
    /// When it ended.
    pub time: String,
    /// The same for all attempts.
    pub delivery_id: String,
    /// Where the decision lies that owes it.
    pub decision: String,
    /// Destination id.
    pub destination: String,
    /// 1 for the first.
    pub attempt: u16,
    /// `ok`, `server`, `ambiguous`, …
    pub result: &'static str,
    /// Nothing more will be tried.
    pub is_final: bool,
    /// Status of the answer; 0 when there was none.
    pub http_status: u16,
    /// How long it took.
    pub duration_micros: u32,
    /// When the next one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt: Option<String>,
    /// When an operator had it tried again after this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reopened: Option<String>,
    /// The first bytes of the answer, or what went wrong.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

impl Amount {
    pub(in crate::batch) fn of(money: Money) -> Self {
        Self { amount: money.amount.to_string(), currency: money.currency.to_string() }
    }
}

impl ClickRow {
    /// `id_of` makes the id of another click.
    pub(super) fn of(click: &Click<'_>, place: Place, id_of: impl Fn(Place) -> String) -> Self {
        let parent = Place::from_packed(click.parent);
        Self {
            click_id: id_of(place),
            kind: kind_name(click.kind),
            time: click.time.to_string(),
            place: PlaceRow {
                node: place.node(),
                lane: place.lane(),
                segment: place.segment(),
                ordinal: place.ordinal(),
            },
            // Its id needs its time: who finds the record puts it in.
            parent: parent.map_or_else(String::new, |_| "not found".to_owned()),
            foreign_id: click.foreign_id.to_owned(),
            campaign: click.campaign.to_owned(),
            source: click.source.to_owned(),
            offer: click.offer.to_owned(),
            lander: click.lander.to_owned(),
            external_id: click.external_id.to_owned(),
            cost: click.cost.map(Amount::of),
            labels: label_names(click.labels),
            address: address(click.address),
            country: country(click.country),
            host: click.host.to_owned(),
            referrer: click.referrer.to_owned(),
            user_agent: click.user_agent.to_owned(),
            language: click.language.to_owned(),
            params: pairs(click.params),
        }
    }
}

impl PostbackRow {
    pub(super) fn of(position: Position, postback: &Postback<'_>) -> Self {
        let refused = match postback.refused {
            0 => String::new(),
            code => {
                Refusal::from_code(code).map_or_else(|| code.to_string(), |known| known.name().to_owned())
            }
        };
        Self {
            position: position.to_string(),
            time: postback.time.to_string(),
            network: postback.network.to_owned(),
            refused,
            address: address(postback.address),
            method: postback.method.to_owned(),
            host: postback.host.to_owned(),
            path: postback.path.to_owned(),
            query: postback.query.to_owned(),
            content_type: postback.content_type.to_owned(),
            headers: postback.headers.to_owned(),
            body: String::from_utf8_lossy(postback.body).into_owned(),
        }
    }
}

impl DecisionRow {
    pub(super) fn of(position: Position, decision: &Decision<'_>) -> Self {
        let said = &decision.conversion;
        let is_told = decision.standing != Standing::default();
        Self {
            position: position.to_string(),
            time: decision.time.to_string(),
            postback: place_in_journal(decision.postback),
            verdict: decision.verdict.name(),
            reason: reason_name(decision.reason),
            conversion_id: hex(&decision.conversion_id),
            sequence: decision.sequence,
            network: said.network.to_owned(),
            click_id: said.click_id.to_owned(),
            transaction_id: said.transaction_id.to_owned(),
            event: said.event.to_owned(),
            status: said.status.name(),
            original_status: said.original_status.to_owned(),
            payout: said.payout.map(Amount::of),
            entry: decision.entry.to_string(),
            standing: is_told.then(|| StandingRow::of(&decision.standing)),
            campaign: decision.campaign.to_owned(),
            offer: decision.offer.to_owned(),
        }
    }
}

impl StandingRow {
    fn of(standing: &Standing) -> Self {
        Self {
            status: standing.status().name(),
            net: standing.net().to_string(),
            held: standing.held.map(|held| held.to_string()),
            currency: standing.currency.map_or_else(String::new, |code| code.to_string()),
        }
    }
}

impl DeliveryRow {
    pub(in crate::batch) fn of(position: Position, outcome: &DeliveryOutcome<'_>) -> Self {
        Self {
            position: position.to_string(),
            time: outcome.time.to_string(),
            delivery_id: hex(&outcome.delivery_id),
            decision: place_in_journal(outcome.decision),
            destination: outcome.destination.to_owned(),
            attempt: outcome.attempt,
            result: outcome.class.name(),
            is_final: outcome.is_final,
            http_status: outcome.http_status,
            duration_micros: outcome.duration_micros,
            next_attempt: outcome.next_attempt.map(|time| time.to_string()),
            reopened: None,
            detail: String::from_utf8_lossy(outcome.detail).into_owned(),
        }
    }

    /// Notes with the last attempt of the delivery that was opened again that it was.
    pub(in crate::batch) fn note_reopening(rows: &mut [Self], event: &DestinationEvent<'_>) {
        let decision = place_in_journal(event.decision);
        let is_its = |row: &&mut Self| row.decision == decision && row.destination == event.destination;
        if event.change == DestinationChange::Reopened
            && let Some(last) = rows.iter_mut().rev().find(is_its)
        {
            last.reopened = Some(event.time.to_string());
        }
    }

    /// How its delivery stands if this is the last attempt: `delivered`, `dead`, `retrying`, `reopened`.
    pub fn leaves(&self) -> &'static str {
        match (&self.reopened, self.result == OutcomeClass::Ok.name(), self.is_final) {
            (Some(_), ..) => "reopened",
            (None, true, _) => "delivered",
            (None, false, true) => "dead",
            (None, false, false) => "retrying",
        }
    }
}

/// The name of a reason, or the number of one that this build does not know.
pub(in crate::batch) fn reason_name(code: u16) -> String {
    Reason::from_code(code).map_or_else(|| code.to_string(), |reason| reason.name().to_owned())
}

fn place_in_journal(number: u64) -> String {
    Position::from_u64(number).unwrap_or_default().to_string()
}

fn kind_name(kind: ClickKind) -> &'static str {
    match kind {
        ClickKind::Redirect => "redirect",
        ClickKind::Script => "script",
        ClickKind::Through => "through",
        ClickKind::Imported => "imported",
    }
}

fn label_names(labels: Labels) -> Vec<&'static str> {
    let held = Labels::NAMED.into_iter().filter(|(label, _)| labels.contains(*label));
    held.map(|(_, name)| name).collect()
}

/// Zeros beyond what is kept are shown as such: `203.0.113.0/24`.
fn address(kept: Option<KeptAddress>) -> String {
    match kept {
        None => String::new(),
        Some(KeptAddress { address: IpAddr::V4(address), bits: 32 }) => address.to_string(),
        Some(KeptAddress { address: IpAddr::V6(address), bits: 128 }) => address.to_string(),
        Some(KeptAddress { address, bits }) => format!("{address}/{bits}"),
    }
}

fn country(code: [u8; 2]) -> String {
    if code == [0; 2] { String::new() } else { String::from_utf8_lossy(&code).into_owned() }
}

fn pairs(params: ParamsRef<'_>) -> Vec<(String, String)> {
    params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
