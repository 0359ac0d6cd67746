//! What a postback must say, and what it says.
//!
//! In: the parameters of a caller who may call, and its network's mapping. Out: a `Claim`, or what is wrong with it, said so
//! that whoever sent it can mend it: each missing field under the names that it may have, and a name that looks like one.
//! Not here: how a mapping reads (`apply::reading`), what a claim is worth (`apply`).

use std::fmt::Write;

use super::body::BadBody;
use super::evidence::Places;
use super::network::Network;
use crate::apply::claim::{Claim, Refusal};
use crate::apply::reading::{Reading, Role};
use crate::event::nearest::nearest;
use crate::event::params::Params;

/// Letters of a field's name from which on another name may be meant to be it: in shorter ones everything is alike.
const NAME_LETTERS_MIN: usize = 3;
/// Bytes of a value that are shown to whoever sent it.
const SHOWN_BYTES_MAX: usize = 64;

/// Why a request is refused, for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) refusal: Refusal,
    pub(super) message: String,
    /// A parameter that may be meant to be one that is missing.
    pub(super) nearest: Option<String>,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, message: refusal.text().to_owned(), nearest: None }
    }
}

impl From<BadBody> for Fault {
    fn from(bad: BadBody) -> Self {
        Self { message: bad.to_string(), ..Refusal::BadBody.into() }
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) claim: Result<Claim, Fault>,
    /// Values that were placeholders which nobody filled.
    pub(super) placeholders: u32,
}

/// Reads parameters. `found` is the click's id where it is known by other means.
pub(super) fn read(network: &Network, places: Places<'_>, params: &Params, found: Option<&str>) -> Read {
    let reading = network.rules.mapping.read(params);
    let placeholders = reading.placeholders;
    let claim = match check(network, &reading, params, found.is_some()) {
        Err(fault) => Err(fault),
        Ok(()) => claim(&reading, places, params, found),
    };
    Read { claim, placeholders }
}

fn claim(
    reading: &Reading<'_>,
    places: Places<'_>,
    params: &Params,
    found: Option<&str>,
) -> Result<Claim, Fault> {
    let payout = reading.payout.transpose().map_err(|_| Refusal::BadPayout)?;
    let currency = reading.currency.map_err(|_| Refusal::BadCurrency)?;
    Ok(Claim {
        // A secret does not belong in any of these, and is written down nowhere.
        click_id: places.hidden(reading.click_id.or(found).unwrap_or_default()),
        transaction_id: reading.transaction_id.map(|id| places.hidden(id)),
        event: places.hidden(reading.event),
        status: reading.status,
        original_status: places.hidden(reading.original_status),
        payout,
        currency,
        params: places.kept(params),
    })
}

fn check(network: &Network, reading: &Reading<'_>, params: &Params, is_found: bool) -> Result<(), Fault> {
    if params.dropped() > 0 {
        return Err(Refusal::TooLong.into());
    }
    if reading.is_ignored {
        return Err(Refusal::IgnoredStatus.into());
    }
    let missing: Vec<Role> =
        Role::ALL.into_iter().filter(|role| is_missing(network, reading, params, is_found, *role)).collect();
    if let Some(first) = missing.first() {
        return Err(absent(network, params, refusal(*first), &missing));
    }
    let shown = |role| {
        let said = network.rules.mapping.names(role).iter().find_map(|name| params.get_ignore_case(name));
        shortened(said.unwrap_or_default().trim(), SHOWN_BYTES_MAX).to_owned()
    };
    if let Some(Err(error)) = reading.payout {
        let message = format!("the payout \"{}\" is no amount: {error}", shown(Role::Payout));
        return Err(Fault { message, ..Refusal::BadPayout.into() });
    }
    if let Err(error) = reading.currency {
        let message = format!("the currency \"{}\" is none: {error}", shown(Role::Currency));
        return Err(Fault { message, ..Refusal::BadCurrency.into() });
    }
    Ok(())
}

fn is_missing(network: &Network, reading: &Reading<'_>, params: &Params, is_found: bool, role: Role) -> bool {
    let is_said = match role {
        // Without it nothing else helps.
        Role::ClickId => return reading.click_id.is_none() && !is_found,
        Role::Payout => reading.payout.is_some(),
        Role::TransactionId => reading.transaction_id.is_some(),
        Role::Status => !reading.original_status.is_empty(),
        Role::Event => !reading.event.is_empty(),
        // One that nobody said is read as the network's own.
        Role::Currency => {
            let mut names = network.rules.mapping.names(role).iter();
            names.any(|name| params.get_ignore_case(name).is_some_and(|said| !said.trim().is_empty()))
        }
    };
    network.rules.required.contains(&role) && !is_said
}

const fn refusal(role: Role) -> Refusal {
    match role {
        Role::ClickId => Refusal::MissingClickId,
        Role::Payout => Refusal::MissingPayout,
        Role::TransactionId => Refusal::MissingTransactionId,
        Role::Status => Refusal::MissingStatus,
        Role::Event => Refusal::MissingEvent,
        Role::Currency => Refusal::MissingCurrency,
    }
}

/// Names what is missing, and what may be meant to be it.
fn absent(network: &Network, params: &Params, refusal: Refusal, missing: &[Role]) -> Fault {
    let mapping = &network.rules.mapping;
    let is_known = |name: &str| {
        let mut all = Role::ALL.into_iter().flat_map(|role| mapping.names(role));
        all.any(|known| known.eq_ignore_ascii_case(name))
    };
    let strangers: Vec<&str> =
        params.iter().map(|(name, _)| name).filter(|name| !name.is_empty() && !is_known(name)).collect();
    let (mut message, mut meant) = (String::new(), None);
    for role in missing {
        let separator = if message.is_empty() { "" } else { "; " };
        let names = mapping.names(*role);
        let listed = names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
        let _infallible = write!(message, "{separator}missing {} (as {listed})", role.name());
        let long = names.iter().filter(|name| name.len() >= NAME_LETTERS_MIN);
        let alike = long.filter_map(|name| nearest(name, strangers.iter().copied())).next();
        if let Some(alike) = alike {
            let alike = shortened(alike, SHOWN_BYTES_MAX);
            let _infallible = write!(message, ", perhaps sent as \"{alike}\"");
            meant = meant.or(Some(alike.to_owned()));
        }
    }
    Fault { refusal, message, nearest: meant }
}

/// The beginning of a text, cut between two letters.
pub(super) fn shortened(text: &str, bytes_max: usize) -> &str {
    text.get(..text.floor_char_boundary(bytes_max)).unwrap_or(text)
}
