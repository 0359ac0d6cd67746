//! A click: a visitor followed our link.
//!
//! In: what the edge knows of the request, after the campaign's address policy. Out: the same, from a record.
//! Not here: its id. A click's id is where its record lies (`click_id`).

use std::net::{IpAddr, Ipv6Addr};

use super::money::Money;
use super::params::ParamsRef;
use crate::clock::Timestamp;

/// How a click came to us.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ClickKind {
    /// A visitor followed a campaign link and was redirected.
    #[default]
    Redirect = 0,
    /// A landing page's script announced the visitor; nobody was redirected.
    Script = 1,
    /// A visitor went on from a lander to an offer; `parent` is the first click.
    Through = 2,
    /// Brought over from another tracker, whose id for it is `foreign_id`.
    Imported = 3,
}

impl ClickKind {
    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Redirect),
            1 => Some(Self::Script),
            2 => Some(Self::Through),
            3 => Some(Self::Imported),
            _ => None,
        }
    }
}

impl Click<'_> {
    /// Whether it leads from a lander to an offer, here or in the store of ours that it was imported from: it is no click of
    /// its own then, and no sum counts it as one.
    pub fn is_through(&self) -> bool {
        self.kind == ClickKind::Through || self.labels.contains(Labels::THROUGH)
    }

    /// How it came, as analysts are told.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            _ if self.is_through() => "through",
            ClickKind::Redirect => "redirect",
            ClickKind::Script => "script",
            ClickKind::Through => "through",
            ClickKind::Imported => "imported",
        }
    }
}

/// Why a click is left out of net counts: a set of bits. An empty set is a plain human click.
///
/// Labels never remove anything: gross counts include every click.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels(u32);

impl Labels {
    /// The user agent or address is on the bot list.
    pub const BOT: Self = Self(1);
    /// The address belongs to a data centre.
    pub const DATA_CENTRE: Self = Self(1 << 1);
    /// The same visitor clicked the same campaign within its window.
    pub const DUPLICATE: Self = Self(1 << 2);
    /// There was no user agent.
    pub const NO_USER_AGENT: Self = Self(1 << 3);

    /// Nothing against it, but that it was imported and was a way through a lander in the store of ours that it comes from.
    pub const THROUGH: Self = Self(1 << 31);

    /// All that are known against a click, with their names in metrics and reports.
    pub const NAMED: [(Self, &'static str); 4] = [
        (Self::BOT, "bot"),
        (Self::DATA_CENTRE, "data_centre"),
        (Self::DUPLICATE, "duplicate"),
        (Self::NO_USER_AGENT, "no_user_agent"),
    ];

    /// The set as bits, for storage.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set of these bits; bits that this build does not know are kept.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the click counts as net.
    pub const fn is_net(self) -> bool {
        self.0 & !Self::THROUGH.0 == 0
    }
}

/// An address as far as the campaign's policy lets us keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptAddress {
    /// The address, zeros beyond `bits`.
    pub address: IpAddr,
    /// How many leading bits are kept: of 32 or of 128.
    pub bits: u8,
}

impl KeptAddress {
    /// The whole address.
    pub const fn full(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// As 16 bytes (v4-mapped for IPv4) and the number of kept bits of those 16 bytes; zero bits is no address.
    pub(super) fn to_parts(kept: Option<Self>) -> ([u8; 16], u8) {
        match kept {
            None => ([0; 16], 0),
            Some(Self { address: IpAddr::V4(address), bits }) => {
                (address.to_ipv6_mapped().octets(), bits.min(32) + 96)
            }
            Some(Self { address: IpAddr::V6(address), bits }) => (address.octets(), bits.min(128)),
        }
    }

    pub(super) fn from_parts(bytes: [u8; 16], bits: u8) -> Option<Option<Self>> {
        let address = Ipv6Addr::from(bytes);
        match (address.to_ipv4_mapped(), bits) {
            (_, 0) => Some(None),
            (Some(address), 96..=128) => Some(Some(Self { address: address.into(), bits: bits - 96 })),
            (_, 1..=128) => Some(Some(Self { address: address.into(), bits })),
            _ => None,
        }
    }
}

/// One click, as the record holds it. Texts that are absent are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Click<'a> {
    /// When the request was read.
    pub time: Timestamp,
    /// How it came.
    pub kind: ClickKind,
    /// Version of the catalog that decided where it went; for `Imported` the chunk of the import that brought it.
    pub config_version: u64,
    /// For `Through`: where the record of the first click lies (`click_id::Place`, packed); else 0.
    pub parent: u64,
    /// What it cost us.
    pub cost: Option<Money>,
    /// Where it came from, as far as it is kept.
    pub address: Option<KeptAddress>,
    /// ISO 3166-1 alpha-2, or two zeros.
    pub country: [u8; 2],
    /// Number of the autonomous system, or 0.
    pub asn: u32,
    /// What is known against it.
    pub labels: Labels,
    /// Whether the request carried `Sec-GPC: 1`.
    pub global_privacy_control: bool,
    /// Campaign id.
    pub campaign: &'a str,
    /// Source id.
    pub source: &'a str,
    /// Offer id.
    pub offer: &'a str,
    /// Lander, as its place in the campaign's list.
    pub lander: &'a str,
    /// The traffic source's own id of this click.
    pub external_id: &'a str,
    /// The id it had in the tracker that it was imported from.
    pub foreign_id: &'a str,
    /// Host that was asked.
    pub host: &'a str,
    /// `Referer` header.
    pub referrer: &'a str,
    /// `User-Agent` header.
    pub user_agent: &'a str,
    /// `Accept-Language` header.
    pub language: &'a str,
    /// Client hint headers, as they came.
    pub client_hints: &'a str,
    /// Every query parameter.
    pub params: ParamsRef<'a>,
}

/// `en` of `en-GB,en;q=0.9`.
pub fn first_language(accepted: &str) -> &str {
    let end = accepted.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(accepted.len());
    &accepted[..end]
}
