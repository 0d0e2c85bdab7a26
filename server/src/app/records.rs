//! Stored records as use cases meet them: live, and in a copy that answers may rest on.

use std::collections::BTreeMap;

use prost::Message;

use super::{
    App,
    error::{Error, Result},
    scan::Scan,
};
use crate::{
    domain::{
        analyzer::{Filter, Term, filter},
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
        position::{Row, Sequence},
        text::Invalid,
    },
    store::{
        Slot, StoreError,
        records::{self, Stored},
        search,
    },
    wire::member::standing,
};

/// Positions read in one go.
const BATCH: usize = 1_000;

/// The copies that may be read at a moment.
pub type Readable = BTreeMap<Slot, FeedId>;

/// A live record, and where it was found.
#[derive(Clone, Debug)]
pub struct Found {
    pub feed: FeedId,
    pub row: Row,
}

impl Found {
    /// The record behind a stored version; none if it is removed or may not be read.
    pub fn of(readable: &Readable, stored: Stored) -> Option<Found> {
        let feed = readable.get(&stored.slot).filter(|_| !stored.row.removed)?;
        Some(Found { feed: feed.clone(), row: stored.row })
    }

    pub fn message<M: Message + Default>(&self) -> Result<M> {
        let damaged = |_| Error::Storage(StoreError::Damaged { what: "record" });
        M::decode(&self.row.payload[..]).map_err(damaged)
    }

    /// The payload as a value.
    pub fn value<M: Message + Default, V: TryFrom<M, Error = Invalid>>(&self) -> Result<V> {
        let damaged = |_| Error::Storage(StoreError::Damaged { what: "record" });
        self.message::<M>()?.try_into().map_err(damaged)
    }

    /// Names this version of the record.
    pub fn etag(&self, app: &App) -> String {
        etag(app, &self.feed, self.row.sequence)
    }

    /// Refuses a change that was made from another version. An empty etag claims nothing.
    pub fn check_etag(&self, app: &App, etag: &str) -> Result<()> {
        if etag.is_empty() || etag == self.etag(app) { Ok(()) } else { Err(Error::Stale) }
    }

    pub fn is(&self, kind: Kind, audience: Audience) -> bool {
        self.row.kind == kind && self.feed.audience == audience
    }
}

/// A version is named by epoch and sequence: a sequence means nothing in another epoch.
pub fn etag(app: &App, feed: &FeedId, sequence: Sequence) -> String {
    let epoch =
        app.heads.find(feed).and_then(|view| view.held).map_or(0, |held| held.epoch.counter);
    format!("{epoch}-{}", sequence.0)
}

/// All live versions of a record that may be read, whoever may see them.
pub async fn find(app: &App, id: RecordId) -> Result<Vec<Found>> {
    if app.erasures.holds(id) {
        return Ok(Vec::new());
    }
    let mut found = at_one_home(find_even_erased(app, id).await?);
    found.retain(|found| {
        let is_person = matches!(found.row.kind, Kind::MEMBER | Kind::CARD | Kind::PUBLIC_CARD);
        !is_person || !has_left(app, &found.feed.home, id)
    });
    Ok(found)
}

/// Has the person left this home of ours, whatever the tables say after a restore?
pub fn has_left(app: &App, home: &PointCode, id: RecordId) -> bool {
    let gone = app.departures.find(id).is_some_and(|departure| departure.home != *home);
    gone && app.keys.is_home(home)
}

/// Of a person's records at several homes those of one. A card that names the home before it is not
/// shown as long as that one shows the person, too: feeds arrive in any order, and only the former home
/// can say that it has let go, so that nobody takes a member of another home off the screen. The new
/// home itself knows.
pub fn at_one_home(found: Vec<Found>) -> Vec<Found> {
    if found.windows(2).all(|two| two[0].feed.home == two[1].feed.home) {
        return found;
    }
    let stands: Vec<_> =
        found.iter().map(|found| standing(found.row.kind, &found.row.payload)).collect();
    let is_hidden = |at: usize| {
        let Some((number, former)) = &stands[at] else { return false };
        let home = &found[at].feed.home;
        let mut others = found.iter().zip(&stands).filter_map(|(other, standing)| {
            standing.as_ref().map(|(number, former)| (other, *number, former.as_ref()))
        });
        if others.clone().any(|(other, newer, former)| {
            other.row.kind == Kind::MEMBER && newer > *number && former == Some(home)
        }) {
            return true;
        }
        let is_at_home = |other: &Found| other.row.kind == Kind::MEMBER && other.feed.home == *home;
        !others.clone().any(|(other, ..)| is_at_home(other))
            && others.any(|(other, older, _)| {
                former.as_ref() == Some(&other.feed.home) && older < *number
            })
    };
    let hidden: Vec<bool> = (0..found.len()).map(is_hidden).collect();
    found.into_iter().zip(hidden).filter(|(_, hidden)| !hidden).map(|(found, _)| found).collect()
}

/// The same also of somebody who was erased, and whose rows are still to go: for the erasure alone.
pub async fn find_even_erased(app: &App, id: RecordId) -> Result<Vec<Found>> {
    let readable = app.heads.readable_slots();
    let stored = records::find(&mut *app.db.reader().await?, id).await?;
    Ok(stored.into_iter().filter_map(|stored| Found::of(&readable, stored)).collect())
}

/// All live records of one feed and kind that carry a term.
pub async fn carrying(app: &App, feed: &FeedId, kind: Kind, term: String) -> Result<Vec<Found>> {
    carrying_all(app, feed, kind, &[Term { text: term, prefix: false }]).await
}

/// All live records of one feed and kind that carry every one of these terms.
pub async fn carrying_all(
    app: &App,
    feed: &FeedId,
    kind: Kind,
    terms: &[Term],
) -> Result<Vec<Found>> {
    let readable = app.heads.readable_slots();
    let Some((slot, _)) = readable.iter().find(|(_, known)| *known == feed) else {
        return Ok(Vec::new());
    };
    let words = search::expression(app.db.dialect, terms, &[]).unwrap_or_default();
    let mut db = app.db.reader().await?;
    let mut found = Vec::new();
    let end = slot.position(Sequence::MAX);
    let mut after = slot.position(Sequence(0));
    loop {
        let positions =
            records::find_positions(&mut db, app.db.dialect, &words, after, BATCH).await?;
        let inside: Vec<i64> = positions.iter().copied().take_while(|at| *at <= end).collect();
        let stored = records::at(&mut db, app.db.dialect, &inside).await?;
        let live = stored.into_iter().filter_map(|stored| Found::of(&readable, stored));
        let is_wanted = |found: &Found| found.row.kind == kind && !app.erasures.holds(found.row.id);
        found.extend(live.filter(is_wanted));
        match inside.last() {
            Some(last) if inside.len() == BATCH => after = *last,
            _ => return Ok(found),
        }
    }
}

/// All live records that carry a term, in whichever copies may be read.
pub async fn carrying_anywhere(app: &App, term: String) -> Result<Vec<Found>> {
    all_carrying_anywhere(app, &[Term { text: term, prefix: false }]).await
}

/// All live records that carry every one of these terms, in whichever copies may be read.
pub async fn all_carrying_anywhere(app: &App, terms: &[Term]) -> Result<Vec<Found>> {
    let readable = app.heads.readable_slots();
    let words = search::expression(app.db.dialect, terms, &[]).unwrap_or_default();
    let mut db = app.db.reader().await?;
    let mut scan = Scan::new(&app.db, words, readable.keys().copied().collect(), 0);
    let mut found = Vec::new();
    while !scan.is_over() && !scan.is_tired() {
        let positions = scan.next(&mut db, BATCH).await?;
        let stored = records::at(&mut db, app.db.dialect, &positions).await?;
        found.extend(stored.into_iter().filter_map(|stored| Found::of(&readable, stored)));
    }
    Ok(found)
}

/// The consents of a member, at its home.
pub async fn grants_of(app: &App, home: &PointCode, member: RecordId) -> Result<Vec<Found>> {
    let feed = FeedId::new(home.clone(), Audience::Home);
    carrying(app, &feed, Kind::GRANT, filter(Filter::Member, &hex::encode(member.0))).await
}

/// The id of what a request makes. The same request of the same home makes the same record.
pub fn id_of_request(
    app: &App,
    home: &PointCode,
    kind: Kind,
    request_id: &str,
) -> Result<RecordId> {
    if request_id.is_empty() {
        return Ok(app.outside.record_id());
    }
    let request = RecordId::parse(request_id, "request_id")?;
    // A UUIDv7 says when the request was made; any other is taken as of no time.
    let created_ms = match uuid::Uuid::from_bytes(request.0).get_timestamp() {
        Some(time) => time.to_unix().0.saturating_mul(1_000),
        None => 0,
    };
    let source = format!("request {home} {request}");
    Ok(RecordId::of_source(&app.keys.network, kind.0, &source, created_ms))
}

#[cfg(test)]
mod tests {
    use yizhan_proto::v1;

    use super::*;

    fn found(home: &str, kind: Kind, number: u32, former: &str) -> Found {
        let former = former.to_owned();
        let (audience, payload) = match kind {
            Kind::MEMBER => {
                let member =
                    v1::Member { home_number: number, moved_from: former, ..Default::default() };
                (Audience::Home, member.encode_to_vec())
            }
            _ => {
                let card =
                    v1::Card { home_number: number, former_home: former, ..Default::default() };
                (Audience::Network, card.encode_to_vec())
            }
        };
        let row = Row {
            sequence: Sequence(1),
            kind,
            id: RecordId([1; 16]),
            removed: false,
            payload: payload.into(),
        };
        Found { feed: FeedId::new(home.parse().unwrap(), audience), row }
    }

    fn shown(all: &[(&str, Kind, u32, &str)]) -> Vec<String> {
        let all =
            all.iter().map(|(home, kind, number, former)| found(home, *kind, *number, former));
        at_one_home(all.collect()).iter().map(|at| at.feed.home.to_string()).collect()
    }

    #[test]
    fn a_person_who_moves_is_shown_at_one_home() {
        let (old, new) = (("HK", Kind::CARD, 0, ""), ("MO", Kind::CARD, 1, "HK"));
        assert_eq!(shown(&[old, new]), ["HK"], "it has not let go, as far as this node knows");
        assert_eq!(shown(&[new]), ["MO"]);
        // Back again, and the cards of all three arrive together.
        let back = ("HK", Kind::CARD, 2, "MO");
        assert_eq!(shown(&[new, back]), ["MO"]);
        // The new home itself knows better than a card that is about to go.
        let own = ("MO", Kind::MEMBER, 1, "HK");
        assert_eq!(shown(&[old, new, own]), ["MO", "MO"]);
    }

    #[test]
    fn nobody_takes_a_member_of_another_home_off_the_screen() {
        let own = ("HK", Kind::CARD, 0, "");
        for forged in [(0, ""), (9, ""), (9, "HK"), (9, "GB-LON")] {
            let forged = ("MO", Kind::CARD, forged.0, forged.1);
            assert!(shown(&[own, forged]).contains(&"HK".to_owned()), "{forged:?}");
        }
        let moved = ("HK", Kind::CARD, 3, "GB-LON");
        let forged = ("MO", Kind::CARD, 0, "");
        assert!(shown(&[moved, forged]).contains(&"HK".to_owned()));
    }
}
