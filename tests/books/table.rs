//! Every mode in every scope, along every way that a conversion goes: against an oracle that remembers what was told and
//! works all of it out anew each time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clicklog::apply::key::{Mode, Scope};
use clicklog::apply::rules::Network;
use clicklog::event::conversion::Status;
use clicklog::event::decision::Verdict;
use clicklog::event::money::Micros;

use crate::desk::{Desk, Said, decisions, plain};
use Status::{Approved, Pending, Reversed, Unknown};

const MODES: [Mode; 5] = [Mode::ByTransaction, Mode::FirstWins, Mode::Replace, Mode::Add, Mode::Each];
const SCOPES: [Scope; 4] = [Scope::Click, Scope::ClickEvent, Scope::OfferEvent, Scope::Network];

/// Ways through the statuses, each with what the postback says that it pays or takes back.
const WAYS: &[&[(Status, Option<i64>)]] = &[
    &[(Pending, Some(5))],
    &[(Approved, Some(5))],
    &[(Approved, None)],
    &[(Reversed, None)],
    &[(Unknown, Some(5)), (Approved, Some(5))],
    &[(Pending, Some(5)), (Pending, Some(9))],
    &[(Pending, Some(5)), (Approved, Some(5))],
    &[(Approved, Some(5)), (Pending, Some(5))],
    &[(Approved, Some(5)), (Approved, Some(5))],
    &[(Approved, Some(5)), (Approved, Some(9))],
    &[(Approved, Some(5)), (Approved, Some(5)), (Approved, Some(5))],
    &[(Approved, Some(5)), (Reversed, None)],
    &[(Approved, Some(5)), (Reversed, Some(-5))],
    &[(Approved, Some(5)), (Reversed, Some(2))],
    &[(Approved, Some(5)), (Reversed, Some(9))],
    &[(Approved, Some(5)), (Reversed, Some(2)), (Reversed, Some(2))],
    &[(Approved, Some(5)), (Reversed, Some(2)), (Reversed, None)],
    &[(Approved, Some(5)), (Reversed, None), (Approved, Some(5))],
    &[(Reversed, None), (Approved, Some(5))],
    &[(Reversed, Some(2)), (Approved, Some(5))],
    &[(Pending, Some(5)), (Reversed, None), (Approved, Some(5))],
    &[(Pending, Some(5)), (Approved, Some(5)), (Reversed, Some(2)), (Approved, Some(9)), (Reversed, Some(2))],
];

/// In what the last step of a way differs from those before it.
const OTHERS: [&str; 6] = ["nothing", "transaction", "event", "click", "all", "no transactions at all"];

/// One postback.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Step {
    click: usize,
    event: &'static str,
    transaction: Option<&'static str>,
    status: Status,
    payout: Option<i64>,
}

/// What an oracle knows of one transaction: pending, what the approvals pay, how much is taken back (`i64::MAX` is all).
type Told = (bool, bool, Option<i64>, Option<i64>);

fn steps(way: &[(Status, Option<i64>)], other: &str) -> Vec<Step> {
    let step = |(n, (status, payout)): (usize, &(Status, Option<i64>))| {
        let is_other = |what: &str| n + 1 == way.len() && n > 0 && (other == what || other == "all");
        Step {
            click: usize::from(is_other("click")),
            event: if is_other("event") { "reg" } else { "ftd" },
            transaction: match other {
                "no transactions at all" => None,
                _ => Some(if is_other("transaction") { "u" } else { "t" }),
            },
            status: *status,
            payout: *payout,
        }
    };
    way.iter().enumerate().map(step).collect()
}

/// Which conversion a step is about. Both clicks have the same offer.
fn name(mode: Mode, scope: Scope, place: usize, step: &Step) -> String {
    let counts_transactions = matches!(mode, Mode::ByTransaction | Mode::Each);
    let transaction = step.transaction.filter(|_| counts_transactions);
    match (mode, transaction, scope) {
        (Mode::Each, None, _) => format!("each {place}"),
        (_, None, Scope::Network) | (_, None, Scope::ClickEvent) => format!("{} {}", step.click, step.event),
        (_, Some(transaction), Scope::Network) => transaction.to_owned(),
        (_, _, Scope::Click) => format!("{} {transaction:?}", step.click),
        (_, _, Scope::ClickEvent) => format!("{} {} {transaction:?}", step.click, step.event),
        (_, _, Scope::OfferEvent) => format!("{} {transaction:?}", step.event),
    }
}

fn told(all: &[&Step], adds: bool) -> Told {
    let of = |status| all.iter().filter(move |step| step.status == status);
    let pays: Vec<i64> = of(Approved).map(|step| step.payout.unwrap_or(0)).collect();
    let approved =
        if adds { pays.iter().copied().reduce(|sum, more| sum + more) } else { pays.first().copied() };
    let back = of(Reversed).next().map(|step| match step.payout {
        None | Some(0) => i64::MAX,
        Some(part) => part.abs(),
    });
    (of(Pending).count() > 0, of(Unknown).count() > 0, approved, back)
}

/// What was told of a conversion, by transaction where these count together.
fn remembered(mode: Mode, all: &[&Step]) -> BTreeMap<Option<&'static str>, Told> {
    let of_last = all.len().saturating_sub(1);
    match mode {
        Mode::Replace => BTreeMap::from([(None, told(&all[of_last..], false))]),
        Mode::Add => {
            let names: BTreeSet<_> = all.iter().map(|step| step.transaction).collect();
            let part = |name: Option<&'static str>| {
                let own: Vec<&Step> = all.iter().copied().filter(|step| step.transaction == name).collect();
                (name, told(&own, name.is_none()))
            };
            names.into_iter().map(part).collect()
        }
        _ => BTreeMap::from([(None, told(all, false))]),
    }
}

fn worth(all: &BTreeMap<Option<&'static str>, Told>) -> i64 {
    let each = all.values().map(|(_, _, approved, back)| match (approved, back) {
        (None, _) => 0,
        (Some(approved), back) => (approved - back.unwrap_or(0)).max(0),
    });
    each.sum()
}

/// What comes of each step: its verdict and its entry; and how many conversions there are.
fn oracle(mode: Mode, scope: Scope, steps: &[Step]) -> (Vec<(Verdict, i64)>, usize) {
    let mut conversions: BTreeMap<String, Vec<&Step>> = BTreeMap::new();
    let mut expected = Vec::new();
    for (place, step) in steps.iter().enumerate() {
        let all = conversions.entry(name(mode, scope, place, step)).or_default();
        let before = remembered(mode, all);
        all.push(step);
        let after = remembered(mode, all);
        let verdict = match (all.len(), before == after) {
            (1, _) => Verdict::Accepted,
            (_, true) => Verdict::Duplicate,
            (_, false) => Verdict::Updated,
        };
        expected.push((verdict, worth(&after) - worth(&before)));
    }
    (expected, conversions.len())
}

#[test]
fn every_mode_in_every_scope_counts_every_way_as_an_oracle_does() {
    let root = tempfile::tempdir().unwrap();
    let desk = Desk::open(root.path());
    let mut writer = desk.store.click_writer(0).unwrap();
    let ids = desk.clicks(&mut writer, 2);
    let mut sum = 0;
    for (mode, scope) in MODES.iter().flat_map(|mode| SCOPES.map(|scope| (*mode, scope))) {
        for (number, way) in WAYS.iter().enumerate() {
            for other in OTHERS {
                // One transaction in two conversions: it adds to the first alone, which is not what this table is about.
                if (mode, scope) == (Mode::Add, Scope::Network) && matches!(other, "event" | "click") {
                    continue;
                }
                // A network of its own is a world of its own.
                let id = format!("{mode:?}-{scope:?}-{number}-{other}").into();
                let network = Arc::new(Network { id, ..plain(mode, scope) });
                let steps = steps(way, other);
                let (expected, conversions) = oracle(mode, scope, &steps);
                let mut found = Vec::new();
                let mut seen = BTreeSet::new();
                for step in &steps {
                    let said = Said {
                        transaction_id: step.transaction,
                        event: step.event,
                        status: step.status,
                        payout: step.payout,
                        ..Said::default()
                    };
                    let ruling = desk.tell(&network, &ids[step.click], said);
                    found.push((ruling.verdict, ruling.entry.get()));
                    seen.insert(ruling.conversion_id);
                }
                assert_eq!(found, expected, "{mode:?} {scope:?} {steps:?}");
                assert_eq!(seen.len(), conversions, "{mode:?} {scope:?} {steps:?}");
                sum += expected.iter().map(|(_, entry)| entry).sum::<i64>();
            }
        }
    }
    drop(writer);
    desk.close();
    let kept = decisions(root.path());
    assert_eq!(kept.iter().map(|kept| kept.entry).sum::<i64>(), sum, "the journal has what was answered");
    let last_of_each: BTreeMap<_, _> = kept.iter().map(|kept| (kept.conversion_id, kept.sequence)).collect();
    assert!(last_of_each.len() > MODES.len() * SCOPES.len() * WAYS.len());
    assert!(Micros::new(sum) > Micros::new(0));
}
