//! Parts that rows of several layouts have: texts, amounts, how a conversion stands.
//!
//! In: a value, or a part of a row. Out: the other.
//! Keeps: a part is read back as what it was, or refused.
//! Not here: whole rows (`codec`).

use super::conversion::Standing;
use super::money::{Currency, Micros, Money};
use super::schema_v2::{ArchivedStandingV2, StandingV2};

pub(super) fn standing_parts(standing: Standing) -> StandingV2 {
    let (approved, reversed, held, currency, flags) = standing.to_parts();
    StandingV2 { approved, reversed, held, currency, flags }
}

pub(super) fn standing(row: &ArchivedStandingV2) -> Option<Standing> {
    let (approved, reversed) = (row.approved.to_native(), row.reversed.to_native());
    Standing::from_parts((approved, reversed, row.held.to_native(), row.currency, row.flags))
}

pub(super) fn strings<const N: usize>(fields: [&[u8]; N]) -> Option<[&str; N]> {
    let mut texts = [""; N];
    for (text, field) in texts.iter_mut().zip(fields) {
        *text = std::str::from_utf8(field).ok()?;
    }
    Some(texts)
}

/// Money as a number and a code; no money is a code of zeros.
pub(super) fn money_parts(money: Option<Money>) -> (i64, [u8; 3]) {
    money.map_or((0, [0; 3]), |money| (money.amount.get(), money.currency.code()))
}

pub(super) fn money(amount: i64, code: [u8; 3]) -> Option<Option<Money>> {
    if code == [0; 3] {
        return Some(None);
    }
    Some(Some(Money { amount: Micros::new(amount), currency: Currency::from_code(code).ok()? }))
}
