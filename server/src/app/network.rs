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
    domain::{
        audience::{Audience, FeedId},
        audit::Deed,
        basis::{self, BasisKind},
        id::PointCode,
        kind::Kind,
        position::Epoch,
        roster::{
            ApprovedEpoch, BASES_MAX, Basis, Jurisdiction, Limit, PAIR_BASES_MAX, Revocation,
            RosterEntry,
        },
        text,
        time::Time,
    },
    feed::change::{Change, CommitError},
    found::roster_id,
    identity::{caller::Caller, spki::Fingerprint, token::JoinToken},
    store::tokens,
};

/// Longest reason of a revocation, in characters.
const REASON_MAX: usize = 300;
/// Names homes of other jurisdictions for which nothing is declared.
const OTHERS: &str = "others";

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

/// Makes a join token for a point; who holds it can bring that point in, once, within its time, under
/// no public host but the one named here.
pub async fn create_token(
    app: &App,
    caller: &Caller,
    authority: Fingerprint,
    point: PointCode,
    public_host: Option<String>,
    ttl: Duration,
) -> Result<(String, Time)> {
    caller.may(Operation::AdmitPoint)?;
    check_admissible(app, &point)?;
    if let Some(host) = &public_host
        && !app.keys.roster().is_host_free(&point, host)
    {
        return Err(text::Invalid::new("public_host", "taken").hint(host).into());
    }
    let held = app.heads.find(&app.keys.roster_feed()).and_then(|view| view.held);
    let roster_sequence = held.map_or(0, |held| held.sequence.0);
    let now = app.outside.now();
    let (token, stored) = JoinToken::make(point, authority, roster_sequence, ttl, now)?;
    let stored = tokens::StoredToken { public_host, ..stored };
    let mut db = app.db.local().await?;
    tokens::insert(&mut db, &stored).await.map_err(crate::store::StoreError::Database)?;
    Ok((token.reveal().to_string(), stored.expires))
}

/// A point that was put out does not come back.
pub fn check_admissible(app: &App, point: &PointCode) -> Result<()> {
    if !app.keys.roster().is_revoked(point) {
        return Ok(());
    }
    Err(Error::Precondition {
        reason: "POINT_REVOKED",
        message: format!(
            "{point} was put out of the network and does not come back under this code"
        ),
    })
}

/// Declares on what basis a point may have what others disclose: for one home, or for all homes of a
/// jurisdiction.
pub async fn declare_basis(
    app: &App,
    caller: &Caller,
    asked: v1::DeclareBasisRequest,
) -> Result<v1::DeclareBasisResponse> {
    caller.may(Operation::DeclareBasis)?;
    let feed = app.keys.roster_feed();
    if app.keys.signer(&feed).is_none() {
        return Err(Error::NotHome { home: feed.home.to_string() });
    }
    let point: PointCode = asked.point.parse().map_err(|invalid| named(invalid, "point"))?;
    let basis = basis::declared(&asked.kind, "kind")?.map(|kind| -> Result<Basis> {
        let reference = text::line(&asked.reference, "reference", REASON_MAX)?;
        Ok(Basis { kind, reference })
    });
    let basis = basis.transpose()?;
    let roster = app.keys.roster();
    let mut entry = roster.get(&point).cloned().ok_or(Error::NotFound { noun: "point" })?;
    match asked.from.parse::<Jurisdiction>() {
        // Homes of other jurisdictions for which nothing is declared.
        _ if asked.from == OTHERS => match basis.map(|basis| basis.kind) {
            None => entry.listed_bases_only = false,
            Some(BasisKind::Denied) => entry.listed_bases_only = true,
            Some(_) => {
                let hint = "of `others`: denied, none";
                return Err(text::Invalid::new("kind", "unknown_basis").hint(hint).into());
            }
        },
        Ok(from) => {
            entry.pair_bases.remove(&from);
            entry.pair_bases.extend(basis.map(|basis| (from, basis)));
            check_room(entry.pair_bases.len(), PAIR_BASES_MAX)?;
        }
        Err(_) => {
            let home: PointCode = asked.from.parse().map_err(|invalid| named(invalid, "from"))?;
            if roster.get(&home).is_none() {
                return Err(text::Invalid::new("from", "unknown_point").into());
            }
            entry.bases.remove(&home);
            entry.bases.extend(basis.map(|basis| (home, basis)));
            check_room(entry.bases.len(), BASES_MAX)?;
        }
    }
    if roster.get(&point) != Some(&entry) {
        let id = roster_id(&app.keys.network, &point);
        let payload = v1::RosterPoint::from(entry).encode_to_vec();
        let change = Change::new().put(feed, Kind::ROSTER_POINT, id, payload);
        app.writer.commit(change.by(caller.deed(Operation::DeclareBasis))).await?;
    }
    let v1::DeclareBasisRequest { from, kind, reference, .. } = asked;
    Ok(v1::DeclareBasisResponse { point: point.to_string(), from, kind, reference })
}

/// Lets a home go on with a feed that it has contradicted itself in: everybody takes this epoch, and
/// no other of that number. The one that was approved before it is of no use any more.
pub async fn approve_epoch(app: &App, caller: &Caller, feed: FeedId, epoch: Epoch) -> Result<()> {
    caller.may(Operation::AdmitPoint)?;
    let roster_feed = app.keys.roster_feed();
    if app.keys.signer(&roster_feed).is_none() {
        return Err(Error::NotHome { home: roster_feed.home.to_string() });
    }
    if !feed.audience.is_shared() || feed.audience == Audience::Roster {
        return Err(text::Invalid::new("feed", "unknown_audience").into());
    }
    let roster = app.keys.roster();
    let mut entry = roster.get(&feed.home).cloned().ok_or(Error::NotFound { noun: "point" })?;
    let Epoch { counter, random } = epoch;
    let approved = ApprovedEpoch { audience: feed.audience, counter, random };
    if entry.approves(&approved) {
        return Ok(());
    }
    entry.approved_epochs.retain(|before| before.audience != feed.audience);
    entry.approved_epochs.push(approved);
    let id = roster_id(&app.keys.network, &feed.home);
    let payload = v1::RosterPoint::from(entry).encode_to_vec();
    let change = Change::new().put(roster_feed, Kind::ROSTER_POINT, id, payload);
    app.writer.commit(change.by(caller.deed(Operation::AdmitPoint))).await?;
    Ok(())
}

/// Lets a point's seal key count only up to a last good state of each audience, and for no other: its
/// thief may have sealed what came after. What lies beyond is hidden everywhere until the point has
/// joined anew, with other keys.
pub async fn limit_seal_key(
    app: &App,
    caller: &Caller,
    point: PointCode,
    limit: Limit,
) -> Result<()> {
    caller.may(Operation::RevokePoint)?;
    let feed = app.keys.roster_feed();
    if app.keys.signer(&feed).is_none() {
        return Err(Error::NotHome { home: feed.home.to_string() });
    }
    let roster = app.keys.roster();
    let mut entry = roster.get(&point).cloned().ok_or(Error::NotFound { noun: "point" })?;
    let key = entry.seal_keys.last_mut().ok_or(Error::NotFound { noun: "seal key" })?;
    key.limit = Some(limit);
    let id = roster_id(&app.keys.network, &point);
    let payload = v1::RosterPoint::from(entry).encode_to_vec();
    let change = Change::new().put(feed, Kind::ROSTER_POINT, id, payload);
    app.writer.commit(change.by(caller.deed(Operation::RevokePoint))).await?;
    Ok(())
}

fn named(mut invalid: text::Invalid, field: &str) -> Error {
    invalid.field = field.to_owned();
    invalid.into()
}

fn check_room(declared: usize, most: usize) -> Result<()> {
    match declared <= most {
        true => Ok(()),
        false => Err(text::Invalid::new("from", "too_many").into()),
    }
}

/// Puts a point out of the network. Its neighbours cut it off as soon as they hear of it.
pub async fn revoke_point(
    app: &App,
    caller: &Caller,
    point: PointCode,
    reason: &str,
) -> Result<Time> {
    caller.may(Operation::RevokePoint)?;
    put_out(app, caller.deed(Operation::RevokePoint), point, reason).await
}

/// Who signs the roster decides who is in.
pub fn check_founder(app: &App) -> Result<()> {
    let feed = app.keys.roster_feed();
    match app.keys.signer(&feed) {
        Some(_) => Ok(()),
        None => Err(Error::NotHome { home: feed.home.to_string() }),
    }
}

/// The entry of a point that can be put out, or was already.
pub fn revocable(app: &App, point: &PointCode) -> Result<RosterEntry> {
    check_founder(app)?;
    let roster = app.keys.roster();
    let entry = roster.get(point).cloned().ok_or(Error::NotFound { noun: "point" })?;
    match entry.parent {
        Some(_) => Ok(entry),
        None => Err(Error::Precondition {
            reason: "FOUNDING_POINT",
            message: "the founding point cannot be put out".into(),
        }),
    }
}

pub fn reason(text: &str) -> Result<String> {
    Ok(text::line(text, "reason", REASON_MAX)?)
}

/// Writes the revocation. Whoever calls has authorised it; done twice it is done once.
pub async fn put_out(app: &App, deed: Deed, point: PointCode, text: &str) -> Result<Time> {
    let reason = reason(text)?;
    let mut entry = revocable(app, &point)?;
    let now = app.outside.now();
    if let Some(revoked) = &entry.revoked {
        return Ok(revoked.at);
    }
    entry.revoked = Some(Revocation { at: now, reason });
    let id = roster_id(&app.keys.network, &point);
    let payload = v1::RosterPoint::from(entry).encode_to_vec();
    let change = Change::new().put(app.keys.roster_feed(), Kind::ROSTER_POINT, id, payload);
    app.writer.commit(change.by(deed)).await?;
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::samples::{FOUNDER, code, founder};

    #[tokio::test]
    async fn what_is_not_declared_is_let_through_until_the_point_is_made_strict() {
        let node = founder().await;
        node.enrol("GB-LON").await;
        let app = &node.app;
        let operator = Caller::Operator { point: code(FOUNDER) };
        let declare = async |kind: &str| {
            let (point, from) = ("GB-LON".to_owned(), OTHERS.to_owned());
            let asked = v1::DeclareBasisRequest {
                point,
                from,
                kind: kind.to_owned(),
                ..Default::default()
            };
            declare_basis(app, &operator, asked).await
        };
        let network = FeedId::new(code(FOUNDER), Audience::Network);
        let may = || app.keys.roster().may_hold(&code("GB-LON"), &network);
        assert!(may());
        declare("denied").await.unwrap();
        assert!(!may());
        assert!(matches!(declare("contract").await, Err(Error::Invalid(_))));
        declare("none").await.unwrap();
        assert!(may());
    }
}
