//! Parts of a member: the speaker pool, public offices, further points. `v1::member::Speaker` <->
//! `Speaker`, `v1::member::Seat` <-> `Seat`, `v1::member::Affiliation` <-> `Affiliation`.

use yizhan_proto::v1::member as message;

use super::{
    member::availability,
    value::{date, date_message, languages_message, point_code},
};
use crate::domain::{
    code::{code, codes, source},
    language::languages,
    member::{Affiliation, Availability},
    speaker::{Seat, Speaker, SpeakerSource, SpeakerState, TERM_MAX, TOPICS_MAX},
    text::Invalid,
};

pub(super) fn speaker(speaker: message::Speaker) -> Result<Speaker, Invalid> {
    Ok(Speaker {
        state: SpeakerState::from_number(speaker.state, "speaker.state")?,
        source: SpeakerSource::parse(&speaker.source, "speaker.source")?,
        topics: codes(speaker.topics.iter().map(String::as_str), "speaker.topics", TOPICS_MAX)?,
        languages: languages(speaker.languages.iter().map(String::as_str), "speaker.languages")?,
        availability: availability(speaker.availability)?,
        nominated_on: date(speaker.nominated_on, "speaker.nominated_on")?,
        last_contact_on: date(speaker.last_contact_on, "speaker.last_contact_on")?,
        last_visit_on: date(speaker.last_visit_on, "speaker.last_visit_on")?,
        review_due_on: date(speaker.review_due_on, "speaker.review_due_on")?,
    })
}

pub(super) fn speaker_message(speaker: Speaker) -> message::Speaker {
    message::Speaker {
        state: speaker.state.number(),
        source: speaker.source.name().to_owned(),
        topics: speaker.topics,
        languages: languages_message(speaker.languages),
        availability: speaker.availability.map_or(0, Availability::number),
        nominated_on: speaker.nominated_on.map(date_message),
        last_contact_on: speaker.last_contact_on.map(date_message),
        last_visit_on: speaker.last_visit_on.map(date_message),
        review_due_on: speaker.review_due_on.map(date_message),
    }
}

pub(super) fn seat(seat: message::Seat) -> Result<Seat, Invalid> {
    if seat.term > TERM_MAX {
        return Err(Invalid::new("seats.term", "too_large"));
    }
    Seat {
        body: code(&seat.body, "seats.body")?,
        role: code(&seat.role, "seats.role")?,
        term: seat.term,
        from: date(seat.from, "seats.from")?,
        to: date(seat.to, "seats.to")?,
        is_ended: seat.is_ended,
        source: source(&seat.source, "seats.source")?,
    }
    .checked()
}

pub(super) fn seat_message(seat: Seat) -> message::Seat {
    message::Seat {
        body: seat.body,
        role: seat.role,
        term: seat.term,
        from: seat.from.map(date_message),
        to: seat.to.map(date_message),
        is_ended: seat.is_ended,
        source: seat.source,
    }
}

pub(super) fn affiliation(affiliation: message::Affiliation) -> Result<Affiliation, Invalid> {
    Ok(Affiliation {
        point: point_code(&affiliation.point, "affiliations.point")?,
        from: date(affiliation.from, "affiliations.from")?,
        to: date(affiliation.to, "affiliations.to")?,
    })
}

pub(super) fn affiliation_message(affiliation: Affiliation) -> message::Affiliation {
    message::Affiliation {
        point: affiliation.point.to_string(),
        from: affiliation.from.map(date_message),
        to: affiliation.to.map(date_message),
    }
}
