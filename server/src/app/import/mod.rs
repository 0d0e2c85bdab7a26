//! CSV tables of the association into records, with a verdict on every row that stays out.
//!
//! Reading is pure: bytes in, items and verdicts out. Memory grows with the people named but not
//! with their rows, and no input makes it panic. Tables come in the order of `Table`, because later
//! ones name rows of earlier ones. What is read is then committed in batches; what people changed
//! here since stays as it is.

mod committing;
mod csv;
pub mod driving;
mod events;
mod grants;
mod groups;
mod item;
mod meeting;
mod members;
mod people;
mod persons;
mod points;
mod reading;
mod requests;
mod row;
mod rows;
mod series;
mod speakers;
#[cfg(test)]
mod storing_tests;
mod table;
#[cfg(test)]
mod tests;

pub use csv::{RECORD_BYTES_MAX, RECORD_LINES_MAX};
pub use driving::{Order, Part, Progress, run};
pub use item::{Batch, Counts, Hosted, Item, Value, Verdict};
pub use reading::{Asked, EVENTS_MAX, Known, Lookup, POINTS_MAX, Reading, Settings, Step};
pub use requests::PastRequest;
pub(crate) use row::midnight_ms;
pub use table::{FileHead, Table};
