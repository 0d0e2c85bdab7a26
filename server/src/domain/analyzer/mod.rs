//! Words of a text for the full-text index, and of what people ask.
//!
//! Han text becomes single characters and pairs, so that every name of two characters is found;
//! Latin text becomes lower-cased words without diacritics, and names also full pinyin, joined both
//! ways, and initials. Every term is one token of SQLite's `ascii` tokenizer and one lexeme of
//! PostgreSQL: ASCII letters and digits, and anything beyond ASCII.

mod fold;
mod query;
mod terms;
#[cfg(test)]
mod tests;

pub use query::{QUERY_CHARS_MAX, Query, Term};
pub use terms::{Filter, NameView, TERM_BYTES_MAX, TERMS_MAX, Terms, filter};
