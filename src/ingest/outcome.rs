//! What became of a request: each ends in exactly one `Outcome`, and each is counted.
//!
//! Not here: counting (`counts`), what is answered (`reply`).

use crate::apply::claim::Refusal;
use crate::event::decision::Verdict;

macro_rules! outcomes {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// What became of a request.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Outcome {
            $($(#[$doc])* $name,)*
        }

        impl Outcome {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in metrics.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

outcomes! {
    /// A click was recorded and its visitor redirected to a lander or an offer.
    Redirected = "redirected",
    /// A click was recorded; its campaign had nowhere to go, so its fallback was used.
    FellBack = "fell_back",
    /// A click was recorded, and there was nowhere to go at all: 404.
    NoDestination = "no_destination",
    /// A visitor was redirected and the click is lost: there was no room for its record.
    Unrecorded = "unrecorded",
    /// A visitor went on from a lander to an offer; recorded.
    WentThrough = "went_through",
    /// A visitor asked for an offer with no click that we know; sent to the fallback, or 404.
    ThroughUnknown = "through_unknown",
    /// The second page of a double meta refresh.
    SecondPage = "second_page",
    /// A landing page's script announced a click; recorded.
    Tracked = "tracked",
    /// The landing pages' script was handed out.
    Script = "script",
    /// A postback was decided on: a new conversion.
    Accepted = "accepted",
    /// A postback changed a conversion.
    Updated = "updated",
    /// A postback said nothing new.
    Duplicate = "duplicate",
    /// A postback's payout waits for a person.
    Held = "held",
    /// A postback is of a click that nobody knows.
    Unmatched = "unmatched",
    /// A postback is of a click that is lost.
    Orphan = "orphan",
    /// A postback came after the attribution window.
    Late = "late",
    /// A postback was only a test.
    Tested = "test",
    /// No network could be told for a postback: 404.
    UnknownNetwork = "unknown_network",
    /// A postback's caller did not show who it is: 403.
    Denied = "denied",
    /// A network called too often: 429.
    RateLimited = "rate_limited",
    /// A postback lacks something, or it cannot be read: 400.
    Unreadable = "unreadable",
    /// No campaign goes by that name: 404.
    UnknownCampaign = "unknown_campaign",
    /// A browser fetched ahead of a click that may never come: 503, to be asked again.
    Prefetch = "prefetch",
    /// Answered as a GET would be, and nothing recorded.
    Head = "head",
    /// A browser asked what it may do.
    Options = "options",
    /// An authority that is to give us a certificate was answered.
    Challenged = "challenged",
    /// `robots.txt`, `favicon.ico`.
    Noise = "noise",
    /// No such path: 404.
    NotFound = "not_found",
    /// Not a method that we know, or not one for this path: 405.
    Method = "method",
    /// No Host, more than one, or none that can be: 400.
    Host = "host",
    /// A Host that is not served on this connection, whose peer asked TLS for another name: 421.
    Misdirected = "misdirected",
    /// A body framed in two ways, or in one that we do not read: 400.
    Framing = "framing",
    /// Something else about the request that cannot be: 400.
    Malformed = "malformed",
    /// The target is too long: 414.
    UriTooLong = "uri_too_long",
    /// The head is too long: 431.
    HeadTooLong = "head_too_long",
    /// The body is too long: 413.
    BodyTooLong = "body_too_long",
    /// The head did not arrive in time.
    HeadTimeout = "head_timeout",
    /// The body did not arrive in time: 408.
    BodyTimeout = "body_timeout",
    /// The peer went away before its request was complete.
    Aborted = "aborted",
    /// One connection too many, over all or from one address: 503.
    Shed = "shed",
    /// The store takes nothing any more: 503.
    Unavailable = "unavailable",
}

/// Kinds of requests whose durations are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// Clicks that are sent on.
    Click,
    /// From a lander to an offer.
    Through,
    /// Clicks that a script announces.
    Track,
    /// Conversions that a server reports, refused ones too.
    Postback,
    /// Conversions that a browser reports, refused ones too.
    Pixel,
    /// Everything else, other refusals too.
    Other,
}

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: &'static [Self] =
        &[Self::Click, Self::Through, Self::Track, Self::Postback, Self::Pixel, Self::Other];

    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Click => "click",
            Self::Through => "through",
            Self::Track => "track",
            Self::Postback => "postback",
            Self::Pixel => "pixel",
            Self::Other => "other",
        }
    }
}

impl Outcome {
    /// What a decision on a postback is counted as.
    pub const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Accepted => Self::Accepted,
            Verdict::Updated => Self::Updated,
            Verdict::Duplicate => Self::Duplicate,
            Verdict::Held => Self::Held,
            Verdict::Unmatched => Self::Unmatched,
            Verdict::Orphan => Self::Orphan,
            Verdict::Late => Self::Late,
            Verdict::Test => Self::Tested,
            Verdict::Rejected => Self::Unreadable,
        }
    }

    /// What a refused postback is counted as; the counts by reason are apart.
    pub const fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnknownNetwork => Self::UnknownNetwork,
            Refusal::Secret
            | Refusal::Signature
            | Refusal::Stale
            | Refusal::Address
            | Refusal::RequireHttps
            | Refusal::ClientCertificate
            | Refusal::Pixel => Self::Denied,
            Refusal::RateLimit => Self::RateLimited,
            _ => Self::Unreadable,
        }
    }

    /// What kind of request ends so; a pixel's says so itself, it ends as a postback does.
    pub const fn class(self) -> Class {
        match self {
            Self::Redirected | Self::FellBack | Self::NoDestination | Self::Unrecorded => Class::Click,
            Self::WentThrough | Self::ThroughUnknown => Class::Through,
            Self::Tracked => Class::Track,
            Self::Accepted
            | Self::Updated
            | Self::Duplicate
            | Self::Held
            | Self::Unmatched
            | Self::Orphan
            | Self::Late
            | Self::Tested
            | Self::UnknownNetwork
            | Self::Denied
            | Self::RateLimited
            | Self::Unreadable => Class::Postback,
            _ => Class::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn labels_are_told_apart() {
        let labels: HashSet<_> = Outcome::ALL.iter().map(|outcome| outcome.label()).collect();
        assert_eq!(labels.len(), Outcome::ALL.len());
        let labels: HashSet<_> = Class::ALL.iter().map(|class| class.label()).collect();
        assert_eq!(labels.len(), Class::ALL.len());
    }
}
