//! Lines and conversions brought together: which are of each other, and what differs.
//!
//! In: lines of a file, conversions of ours. Out: a pair for each line, and one for each conversion of ours that has none.
//! Keeps: a conversion is of one line at most. It is found by the transaction's id, else by the click's, where one side has
//! no transaction.

use std::collections::HashMap;

use serde::Serialize;

use super::{Line, Options, Ours, Standing, WHOLE};
use crate::batch::report::exact::{money, quotient};
use crate::clock::Timestamp;
use crate::event::conversion::Status;
use crate::event::money::Currency;

/// What a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The network pays for it, and our books do not have it.
    Missing,
    /// Our books have it as approved, and the file does not.
    Extra,
    /// Both have it, and the amounts differ.
    PayoutDiffers,
    /// Both have it, and it stands elsewhere.
    StatusDiffers,
    /// Both say the same.
    Matched,
}

impl Class {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::PayoutDiffers => "payout_differs",
            Self::StatusDiffers => "status_differs",
            Self::Matched => "matched",
        }
    }
}

/// A line and what we have of it, or one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// What it is.
    pub class: Class,
    /// The line's number in the file; nothing without a line.
    pub line: Option<u64>,
    /// The network's own id of the conversion.
    pub transaction_id: String,
    /// The click id as the network has it.
    pub click_id: String,
    /// The network's time, or ours without a line.
    pub time: String,
    /// Where it stands for the network.
    pub their_status: String,
    /// What the network pays for it.
    pub their_amount: String,
    /// And in which currency.
    pub their_currency: String,
    /// How it stands here; why not, if we know of it and it does not count.
    pub our_status: String,
    /// What it comes to here.
    pub our_amount: String,
    /// And in which currency.
    pub our_currency: String,
    /// Its id here, for `clicklog lookup`.
    pub conversion_id: String,
    /// For the sums: what counts on each side, in millionths.
    #[serde(skip)]
    pub(super) counted: [Option<(Currency, i128)>; 2],
}

/// How many pairs there are of each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// `Class::Matched`.
    pub matched: u64,
    /// `Class::Missing`.
    pub missing: u64,
    /// `Class::Extra`.
    pub extra: u64,
    /// `Class::PayoutDiffers`.
    pub payout_differs: u64,
    /// `Class::StatusDiffers`.
    pub status_differs: u64,
    /// Lines that said again what another had said.
    pub doubled: u64,
    /// Lines that could not be understood.
    pub bad: u64,
}

impl Counts {
    pub(super) fn add(&mut self, class: Class) {
        *match class {
            Class::Matched => &mut self.matched,
            Class::Missing => &mut self.missing,
            Class::Extra => &mut self.extra,
            Class::PayoutDiffers => &mut self.payout_differs,
            Class::StatusDiffers => &mut self.status_differs,
        } += 1;
    }

    /// All pairs.
    pub(super) const fn all(&self) -> u64 {
        self.matched + self.missing + self.extra + self.payout_differs + self.status_differs
    }
}

/// Money of both sides in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Which.
    pub currency: String,
    /// What the network says.
    pub theirs: String,
    /// What our books say.
    pub ours: String,
    /// Ours less theirs.
    pub difference: String,
    /// That of theirs, without its sign, in millionths.
    pub discrepancy: i128,
}

/// Brings them together; `period` is that of the file.
pub(super) fn pair(
    lines: Vec<Line>,
    ours: Vec<Ours>,
    (from, to): (Timestamp, Timestamp),
    options: &Options,
) -> Vec<Pair> {
    let mut index = Index::of(ours);
    // By transactions first: a line that has only a click must not take what another is surely of.
    let (with, without): (Vec<Line>, Vec<Line>) =
        lines.into_iter().partition(|line| !line.transaction_id.is_empty());
    let mut pairs = Vec::new();
    let mut rest = Vec::new();
    for line in with {
        match index.by_transaction(&line) {
            Some(place) => pairs.push(judged(&line, index.take(place), options)),
            None => rest.push(line),
        }
    }
    for line in rest.into_iter().chain(without) {
        let place = index.by_click(&line);
        let ours = place.map(|place| index.take(place));
        pairs.push(match ours {
            Some(ours) => judged(&line, ours, options),
            None => unknown(&line),
        });
    }
    for (ours, _) in index.ours.iter().filter(|(_, is_taken)| !is_taken) {
        if ours.is_approved() && ours.time >= from && ours.time < to {
            pairs.push(extra(ours, options));
        }
    }
    pairs.sort_by_key(|pair| (pair.class, pair.line));
    pairs
}

/// Ours by their ids, each with whether it is of a line already.
struct Index {
    ours: Vec<(Ours, bool)>,
    by_transaction: HashMap<String, Vec<usize>>,
    by_click: HashMap<String, Vec<usize>>,
}

impl Index {
    fn of(mut ours: Vec<Ours>) -> Self {
        // What counts is found before what does not.
        ours.sort_by_key(|it| match it.standing {
            Standing::Counts(_) => 0,
            Standing::Held => 1,
            Standing::CountsNot(_) => 2,
        });
        let (mut by_transaction, mut by_click) = (HashMap::new(), HashMap::new());
        let note = |map: &mut HashMap<String, Vec<usize>>, id: &str, place| {
            if !id.is_empty() {
                map.entry(id.to_ascii_lowercase()).or_default().push(place);
            }
        };
        for (place, it) in ours.iter().enumerate() {
            note(&mut by_transaction, &it.transaction_id, place);
            note(&mut by_click, &it.click_id, place);
        }
        let ours = ours.into_iter().map(|it| (it, false)).collect();
        Self { ours, by_transaction, by_click }
    }

    fn by_transaction(&self, line: &Line) -> Option<usize> {
        let places = self.by_transaction.get(&line.transaction_id.to_ascii_lowercase());
        // The network may call events otherwise than we do, or not at all.
        let is_alike =
            |ours: &Ours| line.payout.is_some_and(|payout| i128::from(payout.get()) == ours.amount);
        self.free(places, |ours| ours.event.eq_ignore_ascii_case(&line.event))
            .or_else(|| self.free(places, is_alike))
            .or_else(|| self.free(places, |_| true))
    }

    fn by_click(&self, line: &Line) -> Option<usize> {
        // Two transactions of one click are two conversions.
        let fits = |ours: &Ours| line.transaction_id.is_empty() || ours.transaction_id.is_empty();
        self.free(self.by_click.get(&line.click_id.to_ascii_lowercase()), fits)
    }

    fn free(&self, places: Option<&Vec<usize>>, fits: impl Fn(&Ours) -> bool) -> Option<usize> {
        let is_free =
            |place: &&usize| self.ours.get(**place).is_some_and(|(ours, is_taken)| !is_taken && fits(ours));
        places?.iter().find(is_free).copied()
    }

    fn take(&mut self, place: usize) -> Ours {
        let (ours, is_taken) = &mut self.ours[place];
        *is_taken = true;
        ours.clone()
    }
}

/// What counts of a line.
fn theirs(line: &Line) -> Option<(Currency, i128)> {
    let amount = line.payout?.get().into();
    Some((line.currency, if line.status == Status::Approved { amount } else { 0 }))
}

/// A line and what is surely of it.
fn judged(line: &Line, ours: Ours, options: &Options) -> Pair {
    let their = theirs(line);
    let amount = match &ours.standing {
        Standing::Counts(_) => ours.amount,
        Standing::Held | Standing::CountsNot(_) => 0,
    };
    let our = (ours.currency.or(their.map(|(currency, _)| currency)).unwrap_or(options.currency), amount);
    let class = match (&ours.standing, their) {
        (Standing::CountsNot(_), _) if line.status == Status::Reversed => Class::Matched,
        // We know why we do not have it; but we do not.
        (Standing::CountsNot(_), _) => Class::Missing,
        (Standing::Held, _) => Class::StatusDiffers,
        (Standing::Counts(status), _) if *status != line.status => Class::StatusDiffers,
        (Standing::Counts(_), Some((currency, amount))) => {
            let is_near = (amount - our.1).abs() <= options.payout_tolerance.get().into();
            // Nothing is nothing in any currency.
            let is_same = currency == our.0 || (amount == 0 && our.1 == 0);
            if is_near && is_same { Class::Matched } else { Class::PayoutDiffers }
        }
        (Standing::Counts(_), None) => Class::Matched,
    };
    let counted = [their, their.is_some().then_some(our)];
    Pair {
        class,
        our_status: ours.said(),
        our_amount: money(our.1),
        our_currency: our.0.to_string(),
        conversion_id: ours.conversion_id,
        counted,
        ..of_line(line)
    }
}

/// A line of which we know nothing.
fn unknown(line: &Line) -> Pair {
    let class = if line.status == Status::Reversed { Class::Matched } else { Class::Missing };
    Pair { class, counted: [theirs(line), None], ..of_line(line) }
}

fn extra(ours: &Ours, options: &Options) -> Pair {
    let our = (ours.currency.unwrap_or(options.currency), ours.amount);
    Pair {
        class: Class::Extra,
        line: None,
        transaction_id: ours.transaction_id.clone(),
        click_id: ours.click_id.clone(),
        time: ours.time.to_string(),
        their_status: String::new(),
        their_amount: String::new(),
        their_currency: String::new(),
        our_status: ours.said(),
        our_amount: money(our.1),
        our_currency: our.0.to_string(),
        conversion_id: ours.conversion_id.clone(),
        counted: [None, Some(our)],
    }
}

fn of_line(line: &Line) -> Pair {
    Pair {
        class: Class::Matched,
        line: Some(line.number),
        transaction_id: line.transaction_id.clone(),
        click_id: line.click_id.clone(),
        time: line.time.map_or_else(String::new, |time| time.to_string()),
        their_status: line.status.name().to_owned(),
        their_amount: line.payout.map_or_else(String::new, |payout| payout.to_string()),
        their_currency: line.payout.map_or_else(String::new, |_| line.currency.to_string()),
        our_status: String::new(),
        our_amount: String::new(),
        our_currency: String::new(),
        conversion_id: String::new(),
        counted: [None, None],
    }
}

/// Both sides' money, by currency.
pub(super) fn sums(pairs: &[Pair]) -> Vec<Sums> {
    let mut by_currency: std::collections::BTreeMap<Currency, [i128; 2]> = Default::default();
    for pair in pairs {
        for (side, counted) in pair.counted.iter().enumerate() {
            if let Some((currency, amount)) = counted {
                by_currency.entry(*currency).or_default()[side] += amount;
            }
        }
    }
    by_currency.retain(|_, sides| *sides != [0, 0]);
    let sums = by_currency.into_iter().map(|(currency, [theirs, ours])| {
        let difference = ours - theirs;
        // Of nothing every difference is a whole one.
        let whole = if difference == 0 { 0 } else { WHOLE };
        Sums {
            currency: currency.to_string(),
            theirs: money(theirs),
            ours: money(ours),
            difference: money(difference),
            discrepancy: quotient(difference.abs(), theirs.abs(), 6).unwrap_or(whole),
        }
    });
    sums.collect()
}
