//! Bounded request parameters.
