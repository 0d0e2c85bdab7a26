//! Who is told of a handoff. A notice is named by the handoff, so that it is told once however often
//! a step is made again.

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1;

use super::stored::Noted;
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            sealing::CONTENT,
            stored::{get, sealed_feed},
        },
        notices::{News, Reader},
    },
    domain::{
        audience::FeedId, contact::Email, help_request::HelpRequest, id::RecordId, notice::Fact,
    },
};

/// Tells the point's own robot.
pub async fn desk(app: &App, noted: &Noted, fact: Fact) -> Result<()> {
    let (app, point) = (app.clone(), noted.feed.home.to_string());
    let (reference, occasion) = (noted.handoff.reference.clone(), noted.id.to_string());
    let telling = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        let news = News { fact, occasion, reference: &reference, label: "" };
        app.notices.tell_desk(tx.connection(), &point, &news).await?;
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

/// Tells a client who has left an address, in the language of the request.
pub async fn client(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    request: &HelpRequest,
    fact: Fact,
    occasion: &str,
) -> Result<()> {
    let Some(email) = address(app, feed, id, request).await? else { return Ok(()) };
    let reader = Reader { email, language: request.language.clone(), quiet: None };
    let (app, reference) = (app.clone(), request.reference.to_string());
    let (person, occasion) = (format!("client {id}"), occasion.to_owned());
    let telling = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        let news = News { fact, occasion, reference: &reference, label: "" };
        app.notices.tell(tx.connection(), &person, &reader, &news).await?;
        tx.commit().await
    });
    Ok(telling.await.map_err(|_| Error::Busy)??)
}

/// The first e-mail address of what the client left to be reached by.
async fn address(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    request: &HelpRequest,
) -> Result<Option<Email>> {
    if request.intake_key.is_none() || request.content.is_empty() {
        return Ok(None);
    }
    let keys = app.help.keys.open(app, feed, id, request).await?;
    let plain = sealed::open(&keys.content, CONTENT, &id.0, &request.content);
    let content = plain.and_then(|plain| v1::HelpContent::decode(&plain[..]).ok());
    let contact = content.map(|content| content.contact).unwrap_or_default();
    let words = contact.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '，' | '；'));
    Ok(words.filter_map(|word| Email::parse(word, "contact").ok()).next())
}
