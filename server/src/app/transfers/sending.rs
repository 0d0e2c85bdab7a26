//! Words of our homes on their way to the destinations: from the record that says them into the
//! outbox.

use tracing::warn;
use yizhan_proto::v1::{Letter, letter};

use super::stored::{Noted, in_work};
use crate::{
    app::{
        App,
        error::{Error, Result},
    },
    domain::id::PointCode,
    feed::change::{Change, CommitError},
    parcel::office::SendError,
};

/// Posts what is to be said. The same version may be said twice, which changes nothing.
pub async fn send(app: &App) -> Result<()> {
    for home in app.keys.homes() {
        for noted in in_work(app, &home).await? {
            if let Err(error) = send_one(app, &home, noted).await {
                let error = &error as &dyn std::error::Error;
                warn!(error, "word on a copy waits to be sent");
            }
        }
    }
    Ok(())
}

async fn send_one(app: &App, home: &PointCode, mut noted: Noted) -> Result<()> {
    let Some(word) = noted.transfer.outgoing.take() else { return Ok(()) };
    let letter = Letter { kind: Some(letter::Kind::TransferWord(word)) };
    let posted = app.post.send(home.clone(), noted.to()?, letter).await;
    posted.map_err(|error: SendError| Error::Precondition {
        reason: "NOT_SENT",
        message: error.to_string(),
    })?;
    match app.writer.commit(noted.put(Change::new())).await {
        // It has moved on meanwhile, with another word.
        Ok(_) | Err(CommitError::Stale) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
