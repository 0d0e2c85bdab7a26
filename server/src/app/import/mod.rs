//! CSV tables of the association into values, with a verdict on every row that stays out.
//!
//! Pure reading: bytes in, items and verdicts out. Nothing is stored here, memory grows with the
//! people named but not with their rows, and no input makes it panic. Tables come in the order of
//! `TABLES`, because later ones name rows of earlier ones.

mod csv;
mod events;
mod grants;
mod item;
mod members;
mod people;
mod points;
mod reading;
mod row;
mod rows;
mod series;
#[cfg(test)]
mod tests;

pub use csv::{RECORD_BYTES_MAX, RECORD_LINES_MAX};
pub use item::{Batch, Counts, Item, Value, Verdict};
pub use reading::{EVENTS_MAX, Known, Lookup, POINTS_MAX, Reading, Settings, Step, TABLES};
