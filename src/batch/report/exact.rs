//! Numbers of a report as text, exact or rounded once.
//!
//! Keeps: no float. A ratio is rounded half to even from the whole fraction; without a denominator there is none.

/// Places behind the point that an amount has, in millionths.
const MONEY_PLACES: u32 = 6;

/// `numerator / denominator` in units of `10^-places`, rounded half to even; nothing if there is no such number, or none
/// that fits.
pub fn quotient(numerator: i128, denominator: i128, places: u32) -> Option<i128> {
    if denominator == 0 {
        return None;
    }
    let scaled = numerator.checked_mul(10_i128.checked_pow(places)?)?;
    let (scaled, denominator) = if denominator < 0 {
        (scaled.checked_neg()?, denominator.checked_neg()?)
    } else {
        (scaled, denominator)
    };
    let (floor, rest) = (scaled.div_euclid(denominator), scaled.rem_euclid(denominator));
    // The rest against what is missing to the next one, so that nothing is doubled.
    let up = match rest.cmp(&(denominator - rest)) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => floor.rem_euclid(2) == 1,
    };
    floor.checked_add(i128::from(up))
}

/// A number of units of `10^-places` as a decimal; zeros at its end are left out down to `least` places.
pub fn decimal(units: i128, places: u32, least: u32) -> String {
    let sign = if units < 0 { "-" } else { "" };
    let one = 10_u128.pow(places.min(30));
    let (whole, fraction) = (units.unsigned_abs() / one, units.unsigned_abs() % one);
    let mut digits = format!("{fraction:0width$}", width = places as usize);
    if places == 0 {
        digits.clear();
    }
    while digits.len() > least as usize && digits.ends_with('0') {
        digits.pop();
    }
    let point = if digits.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{digits}")
}

/// An amount in millionths, exact: `12.3`.
pub fn money(micros: i128) -> String {
    decimal(micros, MONEY_PLACES, 0)
}

/// An amount in millionths for people: to so many places, rounded half to even.
pub fn money_for_people(micros: i128, places: u32) -> String {
    let places = places.min(MONEY_PLACES);
    let units = quotient(micros, 10_i128.pow(MONEY_PLACES - places), 0).unwrap_or(micros);
    decimal(units, places, places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ratios_are_rounded_half_to_even_whatever_their_signs() {
        for (numerator, denominator, places, expected) in [
            (1, 3, 4, Some(3333)),
            (2, 3, 4, Some(6667)),
            (-2, 3, 4, Some(-6667)),
            (1, 2, 0, Some(0)),
            (3, 2, 0, Some(2)),
            (-1, 2, 0, Some(0)),
            (-3, 2, 0, Some(-2)),
            (1, -2, 0, Some(0)),
            (5, 0, 2, None),
            (0, 0, 2, None),
            (i128::MAX, 1, 1, None),
            (i128::MAX, i128::MAX, 0, Some(1)),
        ] {
            assert_eq!(quotient(numerator, denominator, places), expected, "{numerator}/{denominator}");
        }
    }

    #[test]
    fn amounts_are_exact_for_programs_and_rounded_half_to_even_for_people() {
        for (micros, places, exact, shown) in [
            (0, 2, "0", "0.00"),
            (1, 2, "0.000001", "0.00"),
            (-4_999, 2, "-0.004999", "0.00"),
            (5_000, 2, "0.005", "0.00"),
            (5_001, 2, "0.005001", "0.01"),
            (15_000, 2, "0.015", "0.02"),
            (-15_000, 2, "-0.015", "-0.02"),
            (-25_000, 2, "-0.025", "-0.02"),
            (-500_000, 2, "-0.5", "-0.50"),
            (-12_000_000, 2, "-12", "-12.00"),
            (1_499_999, 0, "1.499999", "1"),
            (2_500_000, 0, "2.5", "2"),
            (1_234_500, 3, "1.2345", "1.234"),
            (12_345, 4, "0.012345", "0.0123"),
            (1, 9, "0.000001", "0.000001"),
            (i128::from(i64::MAX) * 1_000_000 + 1, 2, "9223372036854775807.000001", "9223372036854775807.00"),
        ] {
            assert_eq!((&*money(micros), &*money_for_people(micros, places)), (exact, shown));
        }
        assert_eq!((decimal(5, 0, 0), decimal(-1234, 2, 2)), ("5".to_owned(), "-12.34".to_owned()));
    }

    proptest! {
        #[test]
        fn a_quotient_is_the_nearest_there_is(
            numerator in any::<i64>(), denominator in any::<i64>(), places in 0_u32..7
        ) {
            let (numerator, denominator) = (i128::from(numerator), i128::from(denominator));
            if let Some(found) = quotient(numerator, denominator, places) {
                let scaled = numerator * 10_i128.pow(places);
                let off = (scaled - found * denominator).abs() * 2;
                prop_assert!(off <= denominator.abs());
            }
        }
    }
}
