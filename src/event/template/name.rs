//! Placeholder names: ours, and what other trackers call the same.
//!
//! In: the word between the braces. Out: a `Name`, or the nearest one that is known.
//! Keeps: a name that nobody can fill is an error when the template is read, not a gap in a URL later.

use std::collections::BTreeSet;

/// What a placeholder stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// One of ours.
    Known(Known),
    /// A stored click parameter, by the name that it is stored under.
    Param(Box<str>),
    /// An extra parameter of the postback.
    Postback(Box<str>),
    /// A secret of the catalog.
    Secret(Box<str>),
}

macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Our own placeholders.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Known {
            $($(#[$doc])* $name,)*
        }

        impl Known {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// How it is written.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

known! {
    /// Id of the click.
    ClickId = "click_id",
    /// Id of the campaign.
    Campaign = "campaign",
    /// Id of the offer.
    Offer = "offer",
    /// The lander, as its place in the campaign.
    Lander = "lander",
    /// Id of the source.
    Source = "source",
    /// Id of the network.
    Network = "network",
    /// The source's own id of the click.
    ExternalId = "external_id",
    /// What the click cost.
    Cost = "cost",
    /// ISO 4217 code of the payout, or else of the cost.
    Currency = "currency",
    /// What the conversion pays.
    Payout = "payout",
    /// The same, as most traffic sources call it.
    Revenue = "revenue",
    /// The network's id of the conversion.
    TransactionId = "transaction_id",
    /// Kind of conversion.
    Event = "event",
    /// Status of the conversion, in our words.
    Status = "status",
    /// The same, in the network's words.
    OriginalStatus = "original_status",
    /// Our id of the conversion.
    ConversionId = "conversion_id",
    /// Id of the delivery, the same for every attempt.
    DeliveryId = "delivery_id",
    /// The visitor's address, as far as it is kept.
    Ip = "ip",
    /// The visitor's user agent.
    UserAgent = "user_agent",
    /// Where the visitor came from.
    Referrer = "referrer",
    /// The visitor's languages.
    Language = "language",
    /// The visitor's country.
    Country = "country",
    /// When the click happened.
    ClickTime = "click_time",
    /// When the conversion happened.
    ConversionTime = "conversion_time",
    /// The present moment.
    Now = "now",
    /// A number that differs each time.
    Random = "random",
}

/// What other trackers call ours. Compared without regard to case; ours come first, so none of these hides one.
const ALIASES: &[(&str, Known)] = &[
    ("clickid", Known::ClickId),
    ("cid", Known::ClickId),
    ("subid", Known::ClickId),
    ("sub_id", Known::ClickId),
    ("uclick", Known::ClickId),
    ("reqid", Known::ClickId),
    ("campaign.id", Known::Campaign),
    ("campaignid", Known::Campaign),
    ("campaign_id", Known::Campaign),
    ("campaign_key", Known::Campaign),
    ("offer.id", Known::Offer),
    ("offerid", Known::Offer),
    ("offer_id", Known::Offer),
    ("lander.id", Known::Lander),
    ("lander_id", Known::Lander),
    ("trafficsource.id", Known::Source),
    ("source_id", Known::Source),
    ("sourceid", Known::Source),
    ("affiliate_network", Known::Network),
    ("externalid", Known::ExternalId),
    ("tscode", Known::ExternalId),
    ("ref_id", Known::ExternalId),
    ("refid", Known::ExternalId),
    ("clickcost", Known::Cost),
    ("cpc", Known::Cost),
    ("cpc2", Known::Cost),
    ("sum", Known::Payout),
    ("amount", Known::Payout),
    ("profit", Known::Payout),
    ("cnv_currency", Known::Currency),
    ("tid", Known::TransactionId),
    ("txid", Known::TransactionId),
    ("tx_id", Known::TransactionId),
    ("transactionid", Known::TransactionId),
    ("et", Known::Event),
    ("goal", Known::Event),
    ("cnv_status", Known::Status),
    ("cnv_status2", Known::OriginalStatus),
    ("useragent", Known::UserAgent),
    ("user-agent", Known::UserAgent),
    ("referer", Known::Referrer),
    ("referrerurl", Known::Referrer),
    ("lang", Known::Language),
    ("country_code", Known::Country),
    ("countrycode", Known::Country),
    ("click_datetime", Known::ClickTime),
    ("datetime", Known::ConversionTime),
    ("timestamp", Known::Now),
    ("date", Known::Now),
    ("rand", Known::Random),
];

/// Numbered gaps of other trackers, and the parameter that stands behind each: `{var3}`, `{t3}`, `[[c3]]`, `#s3#` and
/// `{sub_id_3}` are all the third sub id.
const NUMBERED: &[&str] = &["sub_id_", "aff_sub", "subid", "sub", "var", "t", "c", "s"];

/// Parameters that networks and platforms send, known without being mapped (COMPAT, "Click-id parameters").
const PARAMS: &[&str] = &[
    "awc",
    "cjevent",
    "click-id",
    "creative",
    "dclid",
    "epik",
    "fbclid",
    "gbraid",
    "gclid",
    "gdpr",
    "gdpr_consent",
    "gpp",
    "gpp_sid",
    "irclickid",
    "keyword",
    "li_fat_id",
    "msclkid",
    "ob_click_id",
    "obclid",
    "placement",
    "rdt_cid",
    "ScCid",
    "tblci",
    "ttclid",
    "twclid",
    "us_privacy",
    "utm_campaign",
    "utm_content",
    "utm_medium",
    "utm_source",
    "utm_term",
    "wbraid",
    "yclid",
    "zone",
];

/// Highest number of a numbered sub id.
const SUB_MAX: u32 = 30;

/// The names that a template may use.
#[derive(Clone, Debug, Default)]
pub struct Names {
    params: BTreeSet<Box<str>>,
    secrets: BTreeSet<Box<str>>,
}

impl Names {
    /// Ours, the well-known parameters, and these: what the sources of the catalog store, and its secrets.
    pub fn with<'a>(
        params: impl IntoIterator<Item = &'a str>,
        secrets: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        Self {
            params: params.into_iter().map(Box::from).collect(),
            secrets: secrets.into_iter().map(Box::from).collect(),
        }
    }

    /// What the word stands for.
    pub(super) fn find(&self, word: &str) -> Option<Name> {
        if let Some(name) = word.strip_prefix("param.") {
            return (!name.is_empty()).then(|| Name::Param(name.into()));
        }
        if let Some(name) = word.strip_prefix("postback.") {
            return (!name.is_empty()).then(|| Name::Postback(name.into()));
        }
        if let Some(name) = word.strip_prefix("secret:") {
            return self.secrets.contains(name).then(|| Name::Secret(name.into()));
        }
        if self.params.contains(word) {
            return Some(Name::Param(word.into()));
        }
        if let Some(known) = Known::ALL.iter().find(|known| known.text().eq_ignore_ascii_case(word)) {
            return Some(Name::Known(*known));
        }
        if PARAMS.contains(&word) {
            return Some(Name::Param(word.into()));
        }
        if let Some(number) = numbered(word) {
            return Some(Name::Param(format!("sub{number}").into()));
        }
        let alias = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(word));
        alias.map(|(_, known)| Name::Known(*known))
    }

    /// The name that looks most like `word`, if any does.
    pub(super) fn nearest(&self, word: &str) -> Option<String> {
        let ours = Known::ALL.iter().map(|known| known.text());
        let all = ours.chain(PARAMS.iter().copied()).chain(self.params.iter().map(AsRef::as_ref));
        let secrets = self.secrets.iter().map(|name| format!("secret:{name}"));
        let all = all.map(str::to_owned).chain(secrets);
        let all: Vec<String> = all.collect();
        crate::event::nearest::nearest(word, all.iter().map(String::as_str)).map(str::to_owned)
    }
}

fn numbered(word: &str) -> Option<u32> {
    let word = word.to_ascii_lowercase();
    let digits = NUMBERED.iter().find_map(|prefix| {
        word.strip_prefix(prefix).filter(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    })?;
    digits.parse().ok().filter(|number| (1..=SUB_MAX).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_trackers_words_mean_ours() {
        let names = Names::default();
        for (word, known) in ALIASES {
            assert_eq!(names.find(word), Some(Name::Known(*known)), "{word}");
            assert_eq!(names.find(&word.to_ascii_uppercase()), Some(Name::Known(*known)), "{word}");
        }
        for known in Known::ALL {
            assert_eq!(names.find(known.text()), Some(Name::Known(*known)));
        }
        for word in ["sub3", "var3", "t3", "c3", "s3", "sub_id_3", "aff_sub3", "subid3"] {
            assert_eq!(names.find(word), Some(Name::Param("sub3".into())), "{word}");
        }
        assert_eq!(names.find("sub31"), None);
        assert_eq!(names.find("sub0"), None);
    }

    #[test]
    fn parameters_and_secrets_are_known_once_they_are_named() {
        let names = Names::with(["zone_x"], ["meta"]);
        assert_eq!(names.find("zone_x"), Some(Name::Param("zone_x".into())));
        assert_eq!(Names::default().find("zone_x"), None);
        assert_eq!(Names::default().find("param.zone_x"), Some(Name::Param("zone_x".into())));
        assert_eq!(names.find("postback.adv1"), Some(Name::Postback("adv1".into())));
        assert_eq!(names.find("secret:meta"), Some(Name::Secret("meta".into())));
        assert_eq!(names.find("secret:other"), None);
        assert_eq!(names.find("param."), None);
    }

    #[test]
    fn a_slip_of_the_keys_is_told_apart_from_nonsense() {
        let names = Names::with(["zone_x"], ["meta"]);
        for (word, nearest) in [
            ("clik_id", Some("click_id")),
            ("click-id_", Some("click-id")),
            ("externl_id", Some("external_id")),
            ("zonex", Some("zone")),
            ("secret:mata", Some("secret:meta")),
            ("qqqqqqqq", None),
        ] {
            assert_eq!(names.nearest(word).as_deref(), nearest, "{word}");
        }
    }
}
