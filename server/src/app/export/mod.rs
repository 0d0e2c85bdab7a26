//! Records as tables, in pages: what lists and searches show, cut into cells.
//!
//! A table is nothing but the answers of the use cases that show its rows, so it can hold no more
//! than the caller may see, and every look at a person is in the audit like any other.

mod cells;
mod consents;
mod persons;
mod running;

pub use running::{Asked, ExportKind, Piece, run};

#[cfg(test)]
mod tests;
