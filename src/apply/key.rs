//! What makes two postbacks speak of one conversion.
//!
//! | mode | one conversion is | what it pays |
//! |---|---|---|
//! | `by_transaction` (default) | a transaction within the scope; without a transaction id, the scope's click and event | what was told first with each status |
//! | `first_wins` | the scope, whatever the transaction | the same |
//! | `replace` | the scope | what was told last |
//! | `add` | the scope; one transaction adds once | the sum |
//! | `each` | a transaction; without an id, each postback | what it says |
//!
//! | scope | two are told apart by |
//! |---|---|
//! | `click` | the click |
//! | `click+event` | the click and the kind of event |
//! | `offer+event` | the offer and the kind of event; for networks whose transaction ids count per offer |
//! | `network` (default) | nothing more: the network's transaction ids are its own |
//!
//! Keeps: two keys are equal only if all of their parts are, whatever bytes a network sends: each part has its length in
//! front. A part that is not there is another than one that is empty.

use serde::Deserialize;

/// How repeats are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A transaction is one conversion.
    #[default]
    ByTransaction,
    /// The first one counts.
    FirstWins,
    /// The last one counts.
    Replace,
    /// All count together.
    Add,
    /// Each is a conversion of its own.
    Each,
}

/// Within what a conversion is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
pub enum Scope {
    /// A click.
    #[serde(rename = "click")]
    Click,
    /// A click and a kind of event.
    #[serde(rename = "click+event")]
    ClickEvent,
    /// An offer and a kind of event.
    #[serde(rename = "offer+event")]
    OfferEvent,
    /// The network.
    #[default]
    #[serde(rename = "network")]
    Network,
}

/// What keys are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// Network id.
    pub network: &'a str,
    /// The click id as the network says it.
    pub click_id: &'a str,
    /// The click's offer.
    pub offer: &'a str,
    /// Kind of event; empty for the only one.
    pub event: &'a str,
    /// The network's id of the conversion, if it sends one.
    pub transaction_id: Option<&'a str>,
}

/// Writes the key of the conversion that a postback is about; nothing is written, and it says so, for one that is its own.
pub fn conversion_key(mode: Mode, scope: Scope, facts: &Facts<'_>, key: &mut Vec<u8>) -> bool {
    key.clear();
    let by_transaction = match (mode, facts.transaction_id) {
        (Mode::Each, None) => return false,
        (Mode::ByTransaction | Mode::Each, transaction_id) => transaction_id,
        (Mode::FirstWins | Mode::Replace | Mode::Add, _) => None,
    };
    // Without a transaction the network alone would make all of its conversions one.
    let scope = if by_transaction.is_none() && scope == Scope::Network { Scope::ClickEvent } else { scope };
    part(key, Some(facts.network));
    match scope {
        Scope::Network => key.push(0),
        Scope::Click => {
            key.push(1);
            part(key, Some(facts.click_id));
        }
        Scope::ClickEvent => {
            key.push(2);
            part(key, Some(facts.click_id));
            part(key, Some(facts.event));
        }
        Scope::OfferEvent => {
            key.push(3);
            part(key, Some(facts.offer));
            part(key, Some(facts.event));
        }
    }
    part(key, by_transaction);
    true
}

fn part(key: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => key.extend([0xff; 4]),
        Some(text) => {
            key.extend(u32::try_from(text.len()).unwrap_or(u32::MAX - 1).to_le_bytes());
            key.extend(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const MODES: [Mode; 5] = [Mode::ByTransaction, Mode::FirstWins, Mode::Replace, Mode::Add, Mode::Each];
    const SCOPES: [Scope; 4] = [Scope::Click, Scope::ClickEvent, Scope::OfferEvent, Scope::Network];

    fn key(mode: Mode, scope: Scope, facts: &Facts<'_>) -> Option<Vec<u8>> {
        let mut key = vec![1, 2, 3];
        conversion_key(mode, scope, facts, &mut key).then_some(key)
    }

    const FACTS: Facts<'_> =
        Facts { network: "n", click_id: "c", offer: "o", event: "e", transaction_id: Some("t") };

    #[test]
    fn every_mode_and_scope_tells_apart_what_it_should() {
        for mode in MODES {
            for scope in SCOPES {
                let base = key(mode, scope, &FACTS);
                let differs = |facts: Facts<'_>| key(mode, scope, &facts) != base;
                let counts_transactions = matches!(mode, Mode::ByTransaction | Mode::Each);
                assert!(differs(Facts { network: "m", ..FACTS }), "{mode:?} {scope:?}");
                assert_eq!(
                    differs(Facts { transaction_id: Some("u"), ..FACTS }),
                    counts_transactions,
                    "{mode:?} {scope:?}"
                );
                let (click, event, offer) = match scope {
                    Scope::Click => (true, false, false),
                    Scope::ClickEvent => (true, true, false),
                    Scope::OfferEvent => (false, true, true),
                    // Where transactions do not count, a click and its event do.
                    Scope::Network => (!counts_transactions, !counts_transactions, false),
                };
                assert_eq!(differs(Facts { click_id: "d", ..FACTS }), click, "{mode:?} {scope:?}");
                assert_eq!(differs(Facts { event: "f", ..FACTS }), event, "{mode:?} {scope:?}");
                assert_eq!(differs(Facts { offer: "p", ..FACTS }), offer, "{mode:?} {scope:?}");
            }
        }
    }

    #[test]
    fn without_a_transaction_a_click_converts_once_for_each_event_or_each_postback_counts() {
        let facts = Facts { transaction_id: None, ..FACTS };
        for scope in SCOPES {
            assert_eq!(key(Mode::Each, scope, &facts), None);
        }
        let base = key(Mode::ByTransaction, Scope::Network, &facts);
        assert_ne!(base, key(Mode::ByTransaction, Scope::Network, &Facts { click_id: "d", ..facts }));
        assert_ne!(base, key(Mode::ByTransaction, Scope::Network, &Facts { event: "f", ..facts }));
        let empty = Facts { transaction_id: Some(""), ..FACTS };
        assert_ne!(base, key(Mode::ByTransaction, Scope::ClickEvent, &empty), "empty is not missing");
    }

    #[test]
    fn parts_never_run_into_one_another() {
        let mut seen = HashSet::new();
        for (network, click_id, event) in
            [("ab", "c", ""), ("a", "bc", ""), ("a", "b", "c"), ("", "abc", ""), ("abc", "", "")]
        {
            let facts = Facts { network, click_id, event, ..FACTS };
            assert!(
                seen.insert(key(Mode::FirstWins, Scope::ClickEvent, &facts)),
                "{network} {click_id} {event}"
            );
        }
    }
}
