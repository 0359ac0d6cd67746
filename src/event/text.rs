//! Many short texts as one: the concatenation, and where each ends.
//!
//! Several `String`s cost an archive 8 bytes each and the reader a pointer each; one area with a small number
//! per field costs a third of that and one bounds check (FACTS of the design: 160 against 88 bytes for a click).
//!
//! Keeps: `split` gives back the fields of a `Joined`, or nothing if the ends do not fit the area.

use rkyv::rancor::Fallible;
use rkyv::ser::{Allocator, Writer};
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Archive, Place, Serialize};

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

/// Where each field of a [`Joined`] ends; nothing if they are too long together for the width of an end.
pub(super) fn ends<E: End + Default, const N: usize>(fields: &[&[u8]; N]) -> Option<[E; N]> {
    let mut ends = [E::default(); N];
    let mut total = 0;
    for (field, end) in fields.iter().zip(&mut ends) {
        total += field.len();
        *end = E::of(total)?;
    }
    Some(ends)
}

/// Fields that an archive takes one after the other, as if they were one vector of bytes: each is copied once.
pub(super) struct Joined<'a>(pub(super) &'a [&'a [u8]]);

impl Archive for Joined<'_> {
    type Archived = ArchivedVec<u8>;
    type Resolver = VecResolver;

    fn resolve(&self, resolver: VecResolver, out: Place<ArchivedVec<u8>>) {
        ArchivedVec::resolve_from_len(self.0.iter().map(|field| field.len()).sum(), resolver, out);
    }
}

impl<S: Fallible + Allocator + Writer + ?Sized> Serialize<S> for Joined<'_> {
    fn serialize(&self, serializer: &mut S) -> Result<VecResolver, S::Error> {
        let first = self.0.first().copied().unwrap_or_default();
        // Bytes need no alignment, so what is written next lies behind the first field without a gap.
        let resolver = ArchivedVec::<u8>::serialize_from_slice(first, serializer)?;
        // Most fields of a click are empty: a call to copy nothing costs as much as a short copy.
        for field in self.0.iter().skip(1).filter(|field| !field.is_empty()) {
            serializer.write(field)?;
        }
        Ok(resolver)
    }
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
    use rkyv::rancor::Failure;

    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        let fields = [b"a".as_slice(), b"", b"bcd", b""];
        let bytes = rkyv::to_bytes::<Failure>(&Joined(&fields)).unwrap();
        let area = rkyv::access::<ArchivedVec<u8>, Failure>(&bytes).unwrap();
        assert_eq!(split(area, ends::<u16, 4>(&fields).unwrap()), Some(fields));
    }

    #[test]
    fn ends_that_do_not_fit_are_refused() {
        for ends in [[2, 1, 4], [1, 2, 3], [1, 2, 5], [9, 9, 4]] {
            assert_eq!(split::<u16, 3>(b"abcd", ends), None, "{ends:?}");
        }
        let long = vec![b'x'; 70_000];
        assert_eq!(ends::<u16, 1>(&[&long]), None);
    }
}
