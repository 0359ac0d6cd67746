//! Click IDs.
