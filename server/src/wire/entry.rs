//! Row -> entry: which words find a record, and where an event stands in the calendar.

use super::terms;
use crate::domain::{
    analyzer::{Filter, filter},
    audience::FeedId,
    entry::Entry,
    kind::Kind,
    position::Row,
};

/// The entry of a live row. One that breaks a rule of its kind, or whose kind this version does not
/// know, is kept and found as such, so that the operator can be told how many there are.
pub fn entry(feed: &FeedId, row: &Row) -> Entry {
    let mut words = String::new();
    let described = match row.kind {
        // The roster is read as a whole; nobody searches it.
        Kind::ROSTER_POINT => Ok(None),
        kind => terms::describe(&feed.home, kind, &row.payload, &mut words),
    };
    match described {
        Ok(starts_at) => Entry { sequence: row.sequence, terms: words, starts_at },
        Err(_) => Entry { sequence: row.sequence, terms: quarantined(), starts_at: None },
    }
}

/// The one word under which every record is found that this node cannot read.
pub fn quarantined() -> String {
    filter(Filter::Quarantine, "1")
}
