//! The network's own matters at this node: letting points in, putting them out, checking what is
//! stored.

use std::time::Duration;

use prost::Message;
use yizhan_proto::v1;

use super::{
    App,
    error::{Error, Result},
};
use crate::{
    domain::policy::Operation,
    domain::{id::PointCode, kind::Kind, roster::Revocation, text, time::Time},
    feed::change::{Change, CommitError},
    found::roster_id,
    identity::{caller::Caller, spki::Fingerprint, token::JoinToken},
    store::tokens,
};

/// Longest reason of a revocation, in characters.
const REASON_MAX: usize = 300;

impl From<CommitError> for Error {
    fn from(error: CommitError) -> Error {
        match error {
            CommitError::Stale => Error::Stale,
            CommitError::NotHome { feed } => Error::NotHome { home: feed.home.to_string() },
            CommitError::TooLarge => text::Invalid::new("record", "too_long").into(),
            CommitError::TooMany => text::Invalid::new("records", "too_many").into(),
            CommitError::Frozen { .. } => Error::Frozen,
            CommitError::Recovering => Error::ReadOnly,
            CommitError::DiskFull => Error::StorageFull,
            CommitError::Storage => Error::Busy,
            CommitError::Stopping => Error::Busy,
        }
    }
}

/// Makes a join token for a point; who holds it can bring that point in, once, within its time.
pub async fn create_token(
    app: &App,
    caller: &Caller,
    authority: Fingerprint,
    point: PointCode,
    ttl: Duration,
) -> Result<(String, Time)> {
    caller.may(Operation::AdmitPoint)?;
    if app.keys.roster().is_revoked(&point) {
        return Err(Error::Precondition {
            reason: "POINT_REVOKED",
            message: format!(
                "{point} was put out of the network and does not come back under this code"
            ),
        });
    }
    let held = app.heads.find(&app.keys.roster_feed()).and_then(|view| view.held);
    let roster_sequence = held.map_or(0, |held| held.sequence.0);
    let now = app.outside.now();
    let (token, stored) = JoinToken::make(point, authority, roster_sequence, ttl, now)?;
    let mut db = app.db.local().await?;
    tokens::insert(&mut db, &stored).await.map_err(crate::store::StoreError::Database)?;
    Ok((token.reveal().to_string(), stored.expires))
}

/// Puts a point out of the network. Its neighbours cut it off as soon as they hear of it.
pub async fn revoke_point(
    app: &App,
    caller: &Caller,
    point: PointCode,
    reason: &str,
) -> Result<Time> {
    caller.may(Operation::RevokePoint)?;
    let reason = text::line(reason, "reason", REASON_MAX)?;
    let feed = app.keys.roster_feed();
    if app.keys.signer(&feed).is_none() {
        return Err(Error::NotHome { home: feed.home.to_string() });
    }
    let roster = app.keys.roster();
    let mut entry = roster.get(&point).cloned().ok_or(Error::NotFound { noun: "point" })?;
    if entry.parent.is_none() {
        return Err(Error::Precondition {
            reason: "FOUNDING_POINT",
            message: "the founding point cannot be put out".into(),
        });
    }
    let now = app.outside.now();
    if let Some(revoked) = &entry.revoked {
        return Ok(revoked.at);
    }
    entry.revoked = Some(Revocation { at: now, reason });
    let id = roster_id(&app.keys.network, &point);
    let payload = v1::RosterPoint::from(entry).encode_to_vec();
    let change = Change::new().put(feed, Kind::ROSTER_POINT, id, payload);
    app.writer.commit(change.by(caller.deed(Operation::RevokePoint))).await?;
    Ok(now)
}
