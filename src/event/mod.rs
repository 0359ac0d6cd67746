//! What happened: the pure half of the domain. No I/O, no clock, no global state.

pub mod click_id;
pub mod money;
pub mod params;
