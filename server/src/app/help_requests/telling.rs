//! Puts into the outbox what people are to be told of help requests: each home's newest sealed records
//! are looked at once, and the mark moves in the transaction that keeps the notices.

use std::collections::BTreeMap;

use prost::Message;
use yizhan_proto::v1::{self, sealed_message::Author};

use super::{
    readers::{self, Named},
    stored::{Stored, get, sealed_feed},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        moving_in,
        notices::News,
    },
    domain::{
        audience::FeedId,
        help_news::{self, HelpNews, To, Writer},
        help_request::HelpRequest,
        id::{PointCode, RecordId},
        kind::Kind,
        notice::{Fact, in_script},
        position::{Row, Sequence},
        time::Time,
    },
    store::{FeedStore, help_requests, notices},
    wire::value,
};

/// Rows of one look, and their bytes.
const ROWS: usize = 256;
const BYTES: usize = 512 * 1_024;
/// Looks at one home in one run.
const LOOKS: usize = 32;
/// Escalated requests of points below that a home is told of in one run.
const ESCALATED: usize = 100;

/// Looks at what is new in all our homes.
pub async fn tell(app: &App) -> Result<()> {
    if !app.notices.has_readers().await? || !app.notices.has_room().await? {
        return Ok(());
    }
    // What comes along from a former host is no news; from there on it is.
    if moving_in::is_waiting(app).await? {
        return Ok(());
    }
    for home in app.keys.homes() {
        for _ in 0..LOOKS {
            if !tell_some(app, &home).await? {
                break;
            }
        }
        tell_parent(app, &home).await?;
    }
    Ok(())
}

/// Something to tell somebody, ready for the outbox. No reader: the point's own robot.
struct Note {
    reader: Option<Named>,
    news: HelpNews,
    reference: String,
    label: String,
}

/// One page; false if there is nothing new.
async fn tell_some(app: &App, home: &PointCode) -> Result<bool> {
    let feed = sealed_feed(home);
    let Some(held) = app.heads.find(&feed).and_then(|view| view.held) else { return Ok(false) };
    let epoch = held.epoch.counter as i64;
    let (marked, sequence) =
        notices::find_mark(&mut *app.db.reader().await?, home.as_str()).await?;
    let after = if marked == epoch { Sequence(sequence as u64) } else { Sequence(0) };
    if held.sequence <= after {
        return Ok(false);
    }
    let page = app.db.page(held.slot, after, ROWS, BYTES).await?;
    let rows = page.map(|page| page.rows).unwrap_or_default();
    let Some(last) = rows.last().map(|row| row.sequence) else { return Ok(false) };
    let mut notes = Vec::new();
    for (request_id, request, news) in news_of(app, &feed, &rows).await? {
        notes.extend(addressed(app, &feed, request_id, &request, news).await?);
    }
    keep(app, home, notes, Some((epoch, last.0 as i64))).await?;
    Ok(true)
}

type Found = (RecordId, HelpRequest, HelpNews);

/// What is new in these rows, with the requests it is about.
async fn news_of(app: &App, feed: &FeedId, rows: &[Row]) -> Result<Vec<Found>> {
    let now = app.outside.now();
    let mut known: BTreeMap<RecordId, Option<HelpRequest>> = BTreeMap::new();
    let mut found = Vec::new();
    for row in rows.iter().filter(|row| !row.removed) {
        match row.kind {
            Kind::HELP_REQUEST => {
                // What cannot be read is shown to the operator elsewhere.
                let Ok(message) = v1::HelpRequest::decode(&row.payload[..]) else { continue };
                let Ok(request) = HelpRequest::try_from(message) else { continue };
                let news = help_news::of_request(row.id, &request);
                let news = news.into_iter().filter(|news| news.is_new(now));
                found.extend(news.map(|news| (row.id, request.clone(), news)));
            }
            Kind::HELP_MESSAGE => {
                let Ok(message) = v1::HelpMessage::decode(&row.payload[..]) else { continue };
                let (Some(writer), Ok(request_id)) =
                    (writer(message.author()), message.request[..].try_into().map(RecordId))
                else {
                    continue;
                };
                if message.client_told {
                    continue;
                }
                let at = message.time.and_then(|time| value::time(time, "time").ok());
                let at = at.unwrap_or(Time(0));
                let request = match known.get(&request_id) {
                    Some(request) => request.clone(),
                    None => {
                        let request = request_of(app, feed, request_id).await?;
                        known.insert(request_id, request.clone());
                        request
                    }
                };
                let Some(request) = request else { continue };
                let news = help_news::of_message(row.id, writer, at, &request);
                let news = news.into_iter().filter(|news| news.is_new(now));
                found.extend(news.map(|news| (request_id, request.clone(), news)));
            }
            _ => {}
        }
    }
    Ok(found)
}

fn writer(author: Author) -> Option<Writer> {
    match author {
        Author::Client => Some(Writer::Client),
        Author::Desk => Some(Writer::Desk),
        Author::System => Some(Writer::System),
        Author::Note | Author::Unspecified => None,
    }
}

/// None if it was passed on meanwhile: its new owner tells.
async fn request_of(app: &App, feed: &FeedId, id: RecordId) -> Result<Option<HelpRequest>> {
    match get(app, feed, id).await {
        Ok(Stored { request, .. }) => Ok(Some(request)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Who is told of it.
async fn addressed(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    request: &HelpRequest,
    news: HelpNews,
) -> Result<Vec<Note>> {
    let note = |reader: Option<Named>| {
        let label = match (&reader, news.to) {
            (Some((_, reader)), To::Client) => {
                in_script(&reader.language, &request.state.label().1).to_owned()
            }
            _ => String::new(),
        };
        Note { reader, news: news.clone(), reference: request.reference.to_string(), label }
    };
    let everybody = |named: Vec<Named>| -> Vec<Note> {
        std::iter::once(note(None)).chain(named.into_iter().map(|one| note(Some(one)))).collect()
    };
    let category = Some(request.category.name());
    Ok(match news.to {
        To::Client => {
            let client = readers::client(app, feed, id, request).await?;
            client.into_iter().map(|client| note(Some(client))).collect()
        }
        To::Handler => match readers::handler(app, request).await? {
            Some(handler) => vec![note(Some(handler))],
            None => everybody(readers::desk(app, &feed.home, false, category).await?),
        },
        To::Desk => everybody(readers::desk(app, &feed.home, false, category).await?),
        To::Supervisors => everybody(readers::desk(app, &feed.home, true, category).await?),
    })
}

/// A parent point is told of what a point below could not keep to.
async fn tell_parent(app: &App, home: &PointCode) -> Result<()> {
    let now = app.outside.now();
    let escalated = {
        let mut db = app.db.reader().await?;
        help_requests::list_escalations(&mut db, home.as_str(), ESCALATED).await?
    };
    let mut notes = Vec::new();
    for (owner, escalation, arrived_us) in escalated {
        let Ok(escalation) = v1::HelpEscalation::decode(&escalation[..]) else { continue };
        let news = HelpNews {
            fact: Fact::Escalated,
            to: To::Supervisors,
            occasion: occasion_above(&owner, home, &escalation),
            at: Time(arrived_us),
        };
        if !news.is_new(now) {
            continue;
        }
        let named = readers::desk(app, home, true, Some(&escalation.category)).await?;
        for reader in std::iter::once(None).chain(named.into_iter().map(Some)) {
            let (news, reference) = (news.clone(), escalation.reference.clone());
            notes.push(Note { reader, news, reference, label: String::new() });
        }
    }
    if notes.is_empty() { Ok(()) } else { keep(app, home, notes, None).await }
}

/// Each promise by itself: another one of the same request is other news.
fn occasion_above(owner: &str, home: &PointCode, escalation: &v1::HelpEscalation) -> String {
    let due = escalation.due_time.and_then(|due| value::time(due, "due_time").ok());
    let (clock, due) = (&escalation.clock, due.unwrap_or(Time(0)).0);
    format!("{owner} {} below {home} {clock} {due}", escalation.reference)
}

/// Into the outbox, with the mark, in one transaction.
async fn keep(
    app: &App,
    home: &PointCode,
    notes: Vec<Note>,
    mark: Option<(i64, i64)>,
) -> Result<()> {
    let (app, home) = (app.clone(), home.clone());
    let keeping = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        for Note { reader, news, reference, label } in &notes {
            let news = News { fact: news.fact, occasion: news.occasion.clone(), reference, label };
            match reader {
                Some((person, reader)) => {
                    app.notices.tell(tx.connection(), person, reader, &news).await?
                }
                None => app.notices.tell_desk(tx.connection(), home.as_str(), &news).await?,
            };
        }
        if let Some(mark) = mark {
            notices::set_mark(tx.connection(), home.as_str(), mark).await?;
        }
        tx.commit().await
    });
    Ok(keeping.await.map_err(|_| Error::Busy)??)
}
