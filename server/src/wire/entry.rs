//! Row -> entry: which words find a record, where an event stands in the calendar, and a request in
//! its queue.

use super::{desk_entry, handoff, roster, terms};
use crate::domain::{
    analyzer::{Filter, filter},
    audience::FeedId,
    entry::Entry,
    kind::Kind,
    position::Row,
    text::Invalid,
};

/// The entry of a live row. One that breaks a rule of its kind, or whose kind this version does not
/// know, is kept and found as such, so that the operator can be told how many there are.
pub fn entry(feed: &FeedId, row: &Row) -> Entry {
    let sequence = row.sequence;
    described(feed, row).unwrap_or_else(|_| Entry {
        sequence,
        terms: quarantined(),
        ..Entry::default()
    })
}

fn described(feed: &FeedId, row: &Row) -> Result<Entry, Invalid> {
    let mut entry = Entry { sequence: row.sequence, ..Entry::default() };
    match row.kind {
        // The roster is read as a whole; nobody searches it. What cannot be read of it is counted.
        Kind::ROSTER_POINT => {
            roster::read(&row.payload)?;
        }
        // No word of a sealed record is anywhere in clear.
        Kind::HELP_REQUEST | Kind::HELP_MESSAGE | Kind::HELP_KEY | Kind::HELP_STUB => {
            entry.desk = desk_entry::describe(row)?;
        }
        // Found by its state alone: what it says of a request is nobody's to search.
        Kind::HANDOFF => entry.terms = handoff::terms(&row.payload)?,
        kind => {
            entry.starts_at = terms::describe(&feed.home, kind, &row.payload, &mut entry.terms)?;
        }
    }
    Ok(entry)
}

/// The one word under which every record is found that this node cannot read.
pub fn quarantined() -> String {
    filter(Filter::Quarantine, "1")
}
