//! Help requests as they are stored: finding them, and changing them by a decision that is made again
//! if somebody else was faster.

use prost::Message;
use yizhan_proto::v1;

use crate::{
    app::{
        App,
        error::{Error, Result},
        records::{self as all_records, Found},
    },
    domain::{
        audience::{Audience, FeedId},
        audit::Deed,
        help_reference::Reference,
        help_request::HelpRequest,
        id::RecordId,
        kind::Kind,
        text::Invalid,
        working_time::WorkingTime,
    },
    feed::change::{Change, CommitError},
    store::{
        help_requests::{self, Lookup},
        records,
    },
};

/// Tries of a change that others keep overtaking.
const TRIES: usize = 8;

/// A request, and where it lies.
pub struct Stored {
    pub found: Found,
    pub request: HelpRequest,
}

impl Stored {
    pub fn of(found: Found) -> Result<Stored> {
        let request = found.value::<v1::HelpRequest, HelpRequest>()?;
        Ok(Stored { found, request })
    }

    pub fn feed(&self) -> &FeedId {
        &self.found.feed
    }

    pub fn id(&self) -> RecordId {
        self.found.row.id
    }
}

pub fn not_found() -> Error {
    Error::NotFound { noun: "help request" }
}

/// A message that goes in together with a change.
pub struct NewMessage {
    pub id: RecordId,
    pub message: v1::HelpMessage,
}

/// All sealed records with this reference: at most one request, and stubs.
pub async fn with_reference(app: &App, reference: &Reference) -> Result<Vec<Found>> {
    let mut db = app.db.reader().await?;
    let positions = help_requests::find_by_reference(&mut db, reference.as_str()).await?;
    found_at(app, &mut db, &positions).await
}

/// What records are looked up by.
pub fn lookup_id(lookup_hash: &[u8; 32]) -> [u8; 16] {
    *lookup_hash.first_chunk().expect("BUG: a hash has 32 bytes")
}

/// All sealed records with this look-up id, and the newest `messages` of them.
pub async fn with_lookup(app: &App, lookup_hash: &[u8; 32], messages: usize) -> Result<Vec<Found>> {
    let lookup = Lookup { id: lookup_id(lookup_hash), messages };
    let stored = app.help.lookups.find(&app.db, lookup).await?;
    Ok(readable(app, stored))
}

/// The records at these positions, as far as they may be read.
pub async fn found_at(
    app: &App,
    db: &mut crate::store::parcels::Connection,
    positions: &[i64],
) -> Result<Vec<Found>> {
    if positions.is_empty() {
        return Ok(Vec::new());
    }
    Ok(readable(app, records::at(db, app.db.dialect, positions).await?))
}

fn readable(app: &App, stored: Vec<records::Stored>) -> Vec<Found> {
    let readable = app.heads.readable_slots();
    stored.into_iter().filter_map(|stored| Found::of(&readable, stored)).collect()
}

/// A request of a home by its id.
pub async fn get(app: &App, feed: &FeedId, id: RecordId) -> Result<Stored> {
    let found = crate::app::records::find(app, id).await?;
    let found =
        found.into_iter().find(|found| found.feed == *feed && found.row.kind == Kind::HELP_REQUEST);
    Stored::of(found.ok_or_else(not_found)?)
}

/// Changes a request by `decide`, which sees it as it is now with its owner's working time, and
/// yields the messages that go with the change. Asked again if the request changed meanwhile.
pub async fn amend(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    deed: &Deed,
    mut decide: impl FnMut(&mut HelpRequest, &WorkingTime) -> Result<Vec<NewMessage>>,
) -> Result<Stored> {
    let hours = app.help.desks.get(app).await?.hours(&feed.home);
    for _ in 0..TRIES {
        let mut stored = get(app, feed, id).await?;
        let messages = decide(&mut stored.request, &hours)?;
        let payload = v1::HelpRequest::from(stored.request.clone()).encode_to_vec();
        let mut change = Change::new()
            .by(deed.clone())
            .expect(feed.clone(), id, Some(stored.found.row.sequence))
            .put(feed.clone(), Kind::HELP_REQUEST, id, payload);
        for new in messages {
            let payload = new.message.encode_to_vec();
            change = change.expect(feed.clone(), new.id, None);
            change = change.put(feed.clone(), Kind::HELP_MESSAGE, new.id, payload);
        }
        if !stored.request.state.is_open() {
            // Nobody takes over what has ended.
            let handoff = stored.request.handoff;
            change = crate::app::handoffs::ended_with(app, &feed.home, handoff, change).await?;
        }
        match app.writer.commit(change).await {
            Err(CommitError::Stale) => continue,
            done => drop(done?),
        }
        return get(app, feed, id).await;
    }
    Err(Error::Busy)
}

/// Is there such a message already? Then the change that brought it was made before.
pub async fn has_message(
    app: &App,
    feed: &FeedId,
    request: RecordId,
    id: RecordId,
) -> Result<bool> {
    let found = crate::app::records::find(app, id).await?;
    let Some(found) = found.iter().find(|found| found.feed == *feed) else { return Ok(false) };
    let known = found.row.kind == Kind::HELP_MESSAGE
        && found.message::<v1::HelpMessage>()?.request == request.0;
    if known { Ok(true) } else { Err(Error::Exists { noun: "record with this id" }) }
}

/// The records of a request's newest messages, in whichever feeds.
pub async fn message_records(app: &App, request: RecordId, limit: usize) -> Result<Vec<Found>> {
    let mut db = app.db.reader().await?;
    let stored = help_requests::list_messages(&mut db, request, limit).await?;
    drop(db);
    Ok(readable(app, stored))
}

/// A request's newest messages, oldest first.
pub async fn messages(
    app: &App,
    feed: &FeedId,
    request: RecordId,
    limit: usize,
) -> Result<Vec<(RecordId, v1::HelpMessage)>> {
    in_order(&message_records(app, request, limit).await?, feed)
}

/// What these records of messages say, as far as they lie in `feed`, oldest first.
pub fn in_order(found: &[Found], feed: &FeedId) -> Result<Vec<(RecordId, v1::HelpMessage)>> {
    let mut messages = Vec::with_capacity(found.len());
    for found in found.iter().filter(|found| found.feed == *feed) {
        messages.push((found.row.id, found.message::<v1::HelpMessage>()?));
    }
    messages
        .sort_by_key(|(id, message)| (message.time.map(|time| (time.seconds, time.nanos)), *id));
    Ok(messages)
}

/// Puts a key that has come with a request. Its id was chosen elsewhere: what lies there under it stays
/// as it is, and has to be that very key.
pub async fn put_key(
    app: &App,
    change: Change,
    feed: &FeedId,
    id: RecordId,
    key: &v1::HelpKey,
) -> Result<Change> {
    let payload = key.encode_to_vec();
    let found = all_records::find(app, id).await?;
    let known = found.iter().find(|found| found.feed == *feed);
    let change = change.expect(feed.clone(), id, known.map(|known| known.row.sequence));
    match known {
        None => Ok(change.put(feed.clone(), Kind::HELP_KEY, id, payload)),
        Some(known) if known.row.kind == Kind::HELP_KEY && known.row.payload[..] == payload[..] => {
            Ok(change)
        }
        Some(_) => Err(Invalid::new("key_id", "taken").into()),
    }
}

/// The sealed feed of a home.
pub fn sealed_feed(home: &crate::domain::id::PointCode) -> FeedId {
    FeedId::new(home.clone(), Audience::Sealed)
}
