//! Who is told of a handoff. A notice is named by the handoff, so that it is told once however often
//! a step is made again.

use super::stored::Noted;
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            readers::{self, Named},
            stored::{get, sealed_feed},
        },
        notices::News,
    },
    domain::{
        audience::FeedId,
        handoff::{HandoffState, Side},
        help_request::HelpRequest,
        id::RecordId,
        notice::Fact,
    },
};

/// Tells the point's own robot, and the people of its desk.
pub async fn desk(app: &App, noted: &Noted, fact: Fact) -> Result<()> {
    tell(app, noted, (fact, noted.id.to_string()), false).await
}

/// Tells whoever can help that it takes long: at the destination those who answer for its promises, at
/// the origin the desk. That an answer is late, and that what was promised does not come, are two things.
pub async fn late(app: &App, noted: &Noted) -> Result<()> {
    let occasion = match noted.state()? {
        HandoffState::Accepted => format!("{} {}", noted.id, HandoffState::Accepted.name()),
        _ => noted.id.to_string(),
    };
    tell(app, noted, (Fact::Escalated, occasion), noted.side() == Side::Destination).await
}

async fn tell(
    app: &App,
    noted: &Noted,
    (fact, occasion): (Fact, String),
    supervisors: bool,
) -> Result<()> {
    let category = noted.handoff.preview.as_ref().map(|preview| preview.category.clone());
    let home = &noted.feed.home;
    let named = readers::desk(app, home, supervisors, category.as_deref()).await?;
    let (app, point) = (app.clone(), home.to_string());
    let reference = noted.handoff.reference.clone();
    let telling = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        let news = News { fact, occasion, reference: &reference, label: "" };
        app.notices.tell_desk(tx.connection(), &point, &news).await?;
        for (person, reader) in &named {
            app.notices.tell(tx.connection(), person, reader, &news).await?;
        }
        tx.commit().await
    });
    Ok(telling.await.map_err(|_| Error::Busy)??)
}

/// Tells the client of the request that a handoff at its origin is about.
pub async fn client_of(app: &App, noted: &Noted, fact: Fact) -> Result<()> {
    let id = noted.request()?;
    let stored = get(app, &sealed_feed(&noted.feed.home), id).await?;
    client(app, &noted.feed, id, &stored.request, fact, &noted.id.to_string()).await
}

/// Tells a client who can be told.
pub async fn client(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    request: &HelpRequest,
    fact: Fact,
    occasion: &str,
) -> Result<()> {
    let Some(client) = readers::client(app, feed, id, request).await? else { return Ok(()) };
    let (app, reference) = (app.clone(), request.reference.to_string());
    let ((person, reader), occasion): (Named, String) = (client, occasion.to_owned());
    let telling = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        let news = News { fact, occasion, reference: &reference, label: "" };
        app.notices.tell(tx.connection(), &person, &reader, &news).await?;
        tx.commit().await
    });
    Ok(telling.await.map_err(|_| Error::Busy)??)
}
