//! Many short texts as one: the concatenation, and where each ends.
//!
//! Several `String`s cost an archive 8 bytes each and the reader a pointer each; one area with a small number
//! per field costs a third of that and one bounds check (FACTS of the design: 160 against 88 bytes for a click).
//!
//! Keeps: `split` gives back what `join` took, or nothing if the ends do not fit the area.

/// An offset into a text area: `u16` for clicks, of which there are many, `u32` for what carries bodies.
pub(super) trait End: Copy {
    fn of(offset: usize) -> Option<Self>;
    fn offset(self) -> usize;
}

impl End for u16 {
    fn of(offset: usize) -> Option<Self> {
        Self::try_from(offset).ok()
    }

    fn offset(self) -> usize {
        self.into()
    }
}

impl End for u32 {
    fn of(offset: usize) -> Option<Self> {
        Self::try_from(offset).ok()
    }

    fn offset(self) -> usize {
        self as usize
    }
}

/// Writes `fields` one after the other into `area`, and their ends into `ends`; nothing if they are too long
/// together for the width of an end.
pub(super) fn join<E: End, const N: usize>(
    fields: [&[u8]; N],
    area: &mut Vec<u8>,
    ends: &mut [E; N],
) -> Option<()> {
    area.clear();
    for (field, end) in fields.into_iter().zip(ends) {
        area.extend_from_slice(field);
        *end = E::of(area.len())?;
    }
    Some(())
}

/// The fields of an area.
pub(super) fn split<E: End, const N: usize>(area: &[u8], ends: [E; N]) -> Option<[&[u8]; N]> {
    let mut fields = [&area[..0]; N];
    let mut start = 0;
    for (field, end) in fields.iter_mut().zip(ends) {
        *field = area.get(start..end.offset())?;
        start = end.offset();
    }
    (start == area.len()).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        let (mut area, mut ends) = (Vec::new(), [0u16; 4]);
        join([b"a".as_slice(), b"", b"bcd", b""], &mut area, &mut ends).unwrap();
        assert_eq!(split(&area, ends), Some([b"a".as_slice(), b"", b"bcd", b""]));
    }

    #[test]
    fn ends_that_do_not_fit_are_refused() {
        for ends in [[2, 1, 4], [1, 2, 3], [1, 2, 5], [9, 9, 4]] {
            assert_eq!(split::<u16, 3>(b"abcd", ends), None, "{ends:?}");
        }
        let long = vec![b'x'; 70_000];
        assert_eq!(join::<u16, 1>([&long], &mut Vec::new(), &mut [0]), None);
    }
}
