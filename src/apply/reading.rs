//! What a postback says, read by its network's mapping.
//!
//! In: the parameters as they came, and which of them means what. Out: a `Reading`; what is missing, malformed or left
//! unfilled is said, not guessed.
//! Keeps: an unfilled placeholder counts as absent, never as a value and never as a key; names and status words are the
//! same in any case; of several names for one thing the first that has a value counts. What a request itself says about
//! its network's words comes before what we know of them.
//! Not here: whether the caller may say it, what it means for the books.

use serde::Deserialize;

use crate::event::conversion::Status;
use crate::event::money::{Currency, Micros, MoneyError};
use crate::event::params::Params;

/// What a parameter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Which click.
    ClickId,
    /// What it pays.
    Payout,
    /// The network's own id of the conversion.
    TransactionId,
    /// Where it stands.
    Status,
    /// What kind of conversion.
    Event,
    /// In which currency it pays.
    Currency,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::ClickId, Self::Payout, Self::TransactionId, Self::Status, Self::Event, Self::Currency];

    /// Its name in catalogs and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClickId => "click_id",
            Self::Payout => "payout",
            Self::TransactionId => "transaction_id",
            Self::Status => "status",
            Self::Event => "event",
            Self::Currency => "currency",
        }
    }
}

/// Which parameter means what, for one network.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// For each role its names, the first before the others.
    names: [Vec<Box<str>>; Role::ALL.len()],
    /// The network's words for where a conversion stands; they come before `STATUS_WORDS`.
    words: Vec<(Box<str>, Status)>,
    /// Parameters that hold words, parted by commas, and what these mean; the first before the others.
    word_params: Vec<(Box<str>, Meaning)>,
    /// Where one stands that says nothing.
    pub default_status: Status,
    /// In which currency it pays if it does not say.
    pub currency: Currency,
}

/// What a network's word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Meaning {
    /// Nothing happened that counts.
    Ignored,
    /// Where the conversion stands.
    Status(Status),
}

/// Words that networks use (COMPAT sections 1 and 2, rows 18).
pub const STATUS_WORDS: &[(Status, &[&str])] = &[
    (
        Status::Approved,
        &[
            "approved",
            "approve",
            "accepted",
            "confirmed",
            "completed",
            "paid",
            "sale",
            "success",
            "valid",
            "rebill",
        ],
    ),
    (
        Status::Pending,
        &["pending", "hold", "on_hold", "onhold", "lead", "new", "open", "waiting", "processing"],
    ),
    (
        Status::Reversed,
        &[
            "reversed",
            "reversal",
            "rejected",
            "reject",
            "declined",
            "decline",
            "cancelled",
            "canceled",
            "chargeback",
            "refund",
            "refunded",
            "invalid",
            "scrubbed",
            "trash",
            "fraud",
        ],
    ),
];

/// What one postback says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    /// Which click, as it came.
    pub click_id: Option<&'a str>,
    /// The network's own id of the conversion.
    pub transaction_id: Option<&'a str>,
    /// What kind of conversion; empty for the only one.
    pub event: &'a str,
    /// Where it stands.
    pub status: Status,
    /// The network's word for that; empty if it said none.
    pub original_status: &'a str,
    /// The request itself says that this word is to be passed over.
    pub is_ignored: bool,
    /// What it pays, if it says; or why that is no amount.
    pub payout: Option<Result<Micros, MoneyError>>,
    /// In which currency; or why that is none.
    pub currency: Result<Currency, MoneyError>,
    /// How many of the values that were looked for were placeholders that nobody filled.
    pub placeholders: u32,
}

impl Mapping {
    /// A mapping without any names.
    pub fn new(default_status: Status, currency: Currency) -> Self {
        let (words, word_params) = (Vec::new(), Vec::new());
        Self { names: Default::default(), words, word_params, default_status, currency }
    }

    /// Names that networks agree on. `tid` and `transaction_id` are the click's id for some of them, so a mapping must say
    /// so itself (COMPAT section 1, rule 2).
    pub fn generic() -> Self {
        Self::new(Status::Approved, Currency::USD)
            .with_names(
                Role::ClickId,
                &["click_id", "clickid", "cid", "subid", "sub_id", "cnv_id", "sid", "c"],
            )
            .with_names(Role::Payout, &["payout", "sum", "revenue", "amount", "cnv_payout"])
            .with_names(Role::TransactionId, &["transaction_id", "txid", "tx_id", "txn_id", "conversion_id"])
            .with_names(Role::Status, &["status", "cnv_status"])
            .with_names(Role::Event, &["event", "et", "goal", "type"])
            .with_names(Role::Currency, &["currency", "cur", "cnv_currency"])
    }

    /// The same, with these names for a role instead of those that it had.
    #[must_use]
    pub fn with_names(mut self, role: Role, names: &[&str]) -> Self {
        if let Some(place) = self.names.get_mut(role as usize) {
            *place = names.iter().map(|name| Box::from(*name)).collect();
        }
        self
    }

    /// The same, with one more word of the network's own.
    #[must_use]
    pub fn with_word(mut self, word: &str, status: Status) -> Self {
        self.words.push((word.into(), status));
        self
    }

    /// The same, with one more parameter by which a request says what words of its network's mean:
    /// `sale_status=paid,confirmed`.
    #[must_use]
    pub fn with_word_param(mut self, name: &str, meaning: Meaning) -> Self {
        self.word_params.push((name.into(), meaning));
        self
    }

    /// The names of a role.
    pub fn names(&self, role: Role) -> &[Box<str>] {
        self.names.get(role as usize).map_or(&[], Vec::as_slice)
    }

    /// Reads a postback.
    pub fn read<'a>(&self, params: &'a Params) -> Reading<'a> {
        let mut placeholders = 0;
        let mut value = |role: Role| {
            let values = self.names(role).iter().filter_map(|name| params.get_ignore_case(name));
            let mut filled = values.map(str::trim).filter(|value| !value.is_empty()).filter(|value| {
                let is_placeholder = is_placeholder(value);
                placeholders += u32::from(is_placeholder);
                !is_placeholder
            });
            filled.next()
        };
        let click_id = value(Role::ClickId);
        let transaction_id = value(Role::TransactionId);
        let event = value(Role::Event).unwrap_or_default();
        let original_status = value(Role::Status).unwrap_or_default();
        let payout = value(Role::Payout).map(payout);
        let currency = value(Role::Currency).map_or(Ok(self.currency), str::parse);
        let meaning = self.said_meaning(params, original_status);
        let is_ignored = meaning == Some(Meaning::Ignored);
        let status = match meaning {
            Some(Meaning::Status(status)) => status,
            _ => self.status(original_status),
        };
        Reading {
            click_id,
            transaction_id,
            event,
            status,
            original_status,
            is_ignored,
            payout,
            currency,
            placeholders,
        }
    }

    /// What the request itself says that the word means.
    fn said_meaning(&self, params: &Params, word: &str) -> Option<Meaning> {
        let says = |(name, _): &&(Box<str>, Meaning)| {
            let words = params.get_ignore_case(name).unwrap_or_default();
            words.split(',').any(|said| said.trim().eq_ignore_ascii_case(word))
        };
        // A parameter that is empty names no word, not the empty one.
        let found = self.word_params.iter().filter(|_| !word.is_empty()).find(says);
        found.map(|(_, meaning)| *meaning)
    }

    fn status(&self, word: &str) -> Status {
        if word.is_empty() {
            return self.default_status;
        }
        let own = self.words.iter().find(|(known, _)| known.eq_ignore_ascii_case(word));
        let common = || {
            let mut all = STATUS_WORDS.iter();
            all.find(|(_, words)| words.iter().any(|known| known.eq_ignore_ascii_case(word)))
        };
        own.map(|(_, status)| *status)
            .or_else(|| common().map(|(status, _)| *status))
            .unwrap_or(Status::Unknown)
    }
}

fn payout(text: &str) -> Result<Micros, MoneyError> {
    let amount = Micros::parse(text)?.amount;
    // Sums and differences of what is told must fit, whoever tells it.
    let is_too_much = amount.get().unsigned_abs() > Micros::PAYOUT_MAX.get().unsigned_abs();
    if is_too_much { Err(MoneyError::BeyondPayout) } else { Ok(amount) }
}

/// Whether a value is what a template had in it before anybody filled it (COMPAT section 1, rule 3).
pub fn is_placeholder(value: &str) -> bool {
    const WORDS: &[&str] = &["OPTIONAL", "REPLACE", "TRANSACTION_ID", "CLICK_ID", "NETWORK_SUBID_TOKEN"];
    const BRACKETS: &[(&str, &str)] =
        &[("{", "}"), ("[", "]"), ("%", "%"), ("#", "#"), ("${", "}"), ("__", "__"), ("<", ">")];
    let value = value.trim();
    let is_wrapped = |(open, close): &(&str, &str)| {
        let inside = value.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
        inside.is_some_and(|inside| !inside.is_empty())
    };
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(value)) || BRACKETS.iter().any(is_wrapped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::params::Source;

    fn params(query: &str) -> Params {
        Params::parse(query.as_bytes(), Source::Query)
    }

    #[test]
    fn a_postback_is_read_by_its_names_in_any_case_and_order() {
        let params = params("Status=Sale&TXID=t%2B1&ClickID=abc&PAYOUT=%2412,50&cur=eur&et=ftd&extra=1");
        let reading = Mapping::generic().read(&params);
        assert_eq!((reading.click_id, reading.transaction_id), (Some("abc"), Some("t+1")));
        assert_eq!(
            (reading.status, reading.original_status, reading.event),
            (Status::Approved, "Sale", "ftd")
        );
        assert_eq!(reading.payout, Some(Ok(Micros::new(12_500_000))));
        assert_eq!(reading.currency.unwrap().to_string(), "EUR");
        assert_eq!(reading.placeholders, 0);
    }

    #[test]
    fn the_first_name_that_has_a_value_counts() {
        let mapping = Mapping::generic();
        let of = |query: &str| mapping.read(&params(query)).click_id.map(str::to_owned);
        assert_eq!(of("subid=b&click_id=a").as_deref(), Some("a"));
        assert_eq!(of("subid=b&click_id=").as_deref(), Some("b"));
        assert_eq!(of("subid=b&click_id={click_id}").as_deref(), Some("b"));
        assert_eq!(of("other=b"), None);
        let own = mapping.clone().with_names(Role::ClickId, &["tid"]);
        assert_eq!(own.read(&params("tid=x&click_id=a")).click_id, Some("x"));
    }

    #[test]
    fn a_status_is_the_network_s_own_word_first_and_an_unknown_one_is_kept() {
        let mapping = Mapping::generic().with_word("1", Status::Pending).with_word("SALE", Status::Reversed);
        for (word, status) in [
            ("1", Status::Pending),
            ("sale", Status::Reversed),
            ("Approved", Status::Approved),
            ("HOLD", Status::Pending),
            ("chargeback", Status::Reversed),
            ("maybe", Status::Unknown),
            ("", Status::Approved),
        ] {
            let params = params(&format!("status={word}"));
            let reading = mapping.read(&params);
            assert_eq!((reading.status, reading.original_status), (status, word), "{word}");
        }
    }

    #[test]
    fn a_request_may_say_itself_what_its_words_mean() {
        let mapping = Mapping::generic()
            .with_word("paid", Status::Pending)
            .with_word_param("ignore_status", Meaning::Ignored)
            .with_word_param("sale_status", Meaning::Status(Status::Approved))
            .with_word_param("lead_status", Meaning::Status(Status::Pending));
        let maps =
            "sale_status=lead, Paid&Lead_Status=hold,,paid&ignore_status=ping,test,hold&rejected_status=x";
        for (word, status, is_ignored) in [
            // Before the words that are known to us, and before the network's own.
            ("lead", Status::Approved, false),
            ("PAID", Status::Approved, false),
            ("ping", Status::Unknown, true),
            // Passed over before it means anything.
            ("hold", Status::Pending, true),
            ("sale", Status::Approved, false),
            ("x", Status::Unknown, false),
            ("lead, Paid", Status::Unknown, false),
            ("", Status::Approved, false),
            ("%7Bstatus%7D", Status::Approved, false),
        ] {
            let params = params(&format!("status={word}&{maps}"));
            let reading = mapping.read(&params);
            assert_eq!((reading.status, reading.is_ignored), (status, is_ignored), "{word}");
        }
        let params = params("status=&ignore_status=&sale_status");
        let reading = mapping.read(&params);
        assert_eq!((reading.status, reading.is_ignored), (Status::Approved, false));
    }

    #[test]
    fn a_word_means_one_thing() {
        let mut seen = std::collections::HashSet::new();
        for word in STATUS_WORDS.iter().flat_map(|(_, words)| *words) {
            assert!(seen.insert(word), "{word} stands there twice");
        }
    }

    #[test]
    fn what_nobody_filled_is_absent_and_counted() {
        for value in [
            "OPTIONAL",
            "optional",
            "REPLACE",
            "{payout}",
            "{{payout}}",
            "[payout]",
            "[[payout]]",
            "%payout%",
            "#s2#",
            "${payout}",
            "__PAYOUT__",
            "<payout>",
            " {payout} ",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["1.50", "%", "#", "{", "}", "{}", "a{b}", "__", "<>", "50%", "optional-1", ""] {
            assert!(!is_placeholder(value), "{value}");
        }
        let params = params("click_id=abc&payout={payout}&txid=%23txid%23&status=OPTIONAL&cur=[cur]");
        let reading = Mapping::generic().read(&params);
        assert_eq!((reading.payout, reading.transaction_id), (None, None));
        assert_eq!((reading.status, reading.original_status), (Status::Approved, ""));
        assert_eq!((reading.currency, reading.placeholders), (Ok(Currency::USD), 4));
    }

    #[test]
    fn what_is_no_amount_or_currency_is_said_so() {
        for payout in
            ["NaN", "inf", "1e9", "ten", "99999999999999999999", "10000000000.000001", "-10000000001"]
        {
            let params = params(&format!("payout={payout}"));
            assert!(matches!(Mapping::generic().read(&params).payout, Some(Err(_))), "{payout}");
        }
        for most in ["10000000000", "-10,000,000,000.00"] {
            let params = params(&format!("payout={most}"));
            assert!(matches!(Mapping::generic().read(&params).payout, Some(Ok(_))), "{most}");
        }
        assert!(Mapping::generic().read(&params("cur=Dollars")).currency.is_err());
    }
}
