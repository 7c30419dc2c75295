//! From window totals to decisions worth telling someone, and to the people they are for.

pub mod delivery;
