//! Reports: figures with written definitions, counted from this node's own tables, which hold all
//! regions' disclosed records. A figure is one line of the table in `figures`.

mod counting;
mod figures;
mod homes;

pub use counting::{ASSOCIATION, get};
pub use homes::refresh;

#[cfg(test)]
mod tests;
