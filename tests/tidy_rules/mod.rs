//! The rules besides the floors, one file for each sort.

mod habits;
mod knowers;
mod locks;
pub(crate) mod source;
