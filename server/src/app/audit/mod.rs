//! The audit: a line for every write and for every look at personal data.
//!
//! The writer appends lines in its own transaction, so that no write is without; a look is appended
//! here, and durable before its answer leaves the node. Where a line cannot be written, nothing is
//! shown.

mod budget;
mod log;
mod mark;
mod read;

pub use budget::EXPORT_ROWS_PER_DAY;
pub use log::Audit;
pub use mark::FILE;
pub use read::{Asked, Page, list, verify, verify_all};

#[cfg(test)]
mod tests;
