//! speakers.csv and seats.csv: parts of members, read before them.

use super::{
    row::{Column, Row, columns},
    table::Table,
};
use crate::domain::{
    code::{code, codes, source},
    language::languages,
    member::Availability,
    speaker::{SEATS_MAX, Seat, Speaker, SpeakerSource, SpeakerState, TERM_MAX, TOPICS_MAX},
    text::Invalid,
};

/// What the files say of a member besides the member's own row.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Profile {
    pub speaker: Option<Speaker>,
    pub seats: Vec<Seat>,
}

/// A profile that waits for its member, and the rows it came from.
#[derive(Default)]
pub struct Waiting {
    pub profile: Profile,
    pub rows: Vec<(Table, u64)>,
}

columns!(SpeakerColumns {
    member_id, state, source;
    topics, languages, availability, nominated_on, last_contact_on, last_visit_on, review_due_on,
});

impl SpeakerColumns {
    pub fn member(&self) -> Column {
        self.member_id
    }
}

pub fn speaker(row: &Row<'_>, c: &SpeakerColumns) -> Result<Speaker, Invalid> {
    Ok(Speaker {
        state: row.read(c.state, SpeakerState::parse)?,
        source: row.read(c.source, SpeakerSource::parse)?,
        topics: codes(row.list(c.topics), c.topics.name, TOPICS_MAX)?,
        languages: languages(row.list(c.languages), c.languages.name)?,
        availability: row.optional(c.availability, Availability::parse)?,
        nominated_on: row.date(c.nominated_on)?,
        last_contact_on: row.date(c.last_contact_on)?,
        last_visit_on: row.date(c.last_visit_on)?,
        review_due_on: row.date(c.review_due_on)?,
    })
}

columns!(SeatColumns { seat_id, member_id, body, role, state; term, from_on, to_on });

impl SeatColumns {
    pub fn member(&self) -> Column {
        self.member_id
    }
}

/// Reads one seat into the profile of its member.
pub fn add_seat(row: &Row<'_>, c: &SeatColumns, profile: &mut Profile) -> Result<(), Invalid> {
    let seat = Seat {
        body: row.read(c.body, code)?,
        role: row.read(c.role, code)?,
        term: row.number(c.term, TERM_MAX)?.unwrap_or(0),
        from: row.date(c.from_on)?,
        to: row.date(c.to_on)?,
        is_ended: match row.required(c.state)? {
            "active" => false,
            "ended" => true,
            _ => return Err(Invalid::new(c.state.name, "unknown_seat_state")),
        },
        source: row.read(c.seat_id, source)?,
    }
    .checked()?;
    if profile.seats.iter().any(|known| known.source == seat.source) {
        return Err(Invalid::new(c.seat_id.name, "duplicate_id"));
    }
    if profile.seats.len() >= SEATS_MAX {
        return Err(Invalid::new(c.seat_id.name, "too_many"));
    }
    profile.seats.push(seat);
    Ok(())
}
