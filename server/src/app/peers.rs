//! Letting points in and putting them out, for whoever is not the node's operator: one person asks,
//! another one answers for the province.

use std::time::Duration;

use super::{
    App,
    approvals::{Permit, Task, order, permit},
    error::Result,
    network::{self, check_admissible, check_founder, revocable},
};
use crate::{
    domain::{
        id::{PointCode, RecordId},
        page::{Question, page_size},
        policy::Operation,
        roster::RosterEntry,
        time::Time,
    },
    identity::{
        caller::Caller,
        spki::Fingerprint,
        token::{self, TTL_DEFAULT},
    },
};

/// Bytes of a place in a page token: a point's code, filled up with zeros.
const PLACE: usize = PointCode::MAX_LEN;

/// What became of the wish to let a point in.
pub enum Admitted {
    /// This approval is needed first.
    Asked(RecordId),
    /// Let in with this, once, until then.
    Token(String, Time),
}

/// What became of the wish to put a point out.
pub enum Revoked {
    /// This approval is needed first.
    Asked(RecordId),
    At(Time),
}

/// Makes a join token for a point, once somebody of the province agrees. What would be refused then is
/// refused before anybody is asked.
pub async fn admit(
    app: &App,
    caller: &Caller,
    authority: Fingerprint,
    point: PointCode,
    ttl: Option<Duration>,
) -> Result<Admitted> {
    caller.may(Operation::AdmitPoint)?;
    check_founder(app)?;
    check_admissible(app, &point)?;
    let ttl = ttl.unwrap_or(TTL_DEFAULT);
    token::check_ttl(ttl)?;
    let about = (&app.keys.point, point.as_str());
    if let Permit::Asked(id) = permit(app, caller, Operation::AdmitPoint, about).await? {
        return Ok(Admitted::Asked(id));
    }
    let (token, expires) = network::create_token(app, caller, authority, point, None, ttl).await?;
    Ok(Admitted::Token(token, expires))
}

/// Puts a point out of the network, once somebody of the province agrees.
pub async fn revoke(app: &App, caller: &Caller, point: PointCode, reason: &str) -> Result<Revoked> {
    caller.may(Operation::RevokePoint)?;
    let reason = network::reason(reason)?;
    if let Some(revoked) = revocable(app, &point)?.revoked {
        return Ok(Revoked::At(revoked.at));
    }
    if caller.persons(Operation::RevokePoint) > 1 {
        let task = Task::RevokePoint { point: point.to_string(), reason };
        let about = (&app.keys.point, point.as_str());
        let asked = order(app, caller, Operation::RevokePoint, about, &task).await?;
        return Ok(Revoked::Asked(asked));
    }
    Ok(Revoked::At(network::revoke_point(app, caller, point, &reason).await?))
}

/// The points of the roster by code, and the token of the next page.
pub async fn list(
    app: &App,
    caller: &Caller,
    asked_size: i32,
    page_token: &str,
) -> Result<(Vec<RosterEntry>, String)> {
    caller.may(Operation::ReadPeers)?;
    let size = page_size(asked_size)?;
    let question = Question::new("peers");
    let after: Option<[u8; PLACE]> = question.place(page_token)?;
    app.audit.looked_at_network(caller, Operation::ReadPeers).await?;
    let roster = app.keys.roster();
    let rest = roster.points().filter(|entry| after.is_none_or(|after| place(entry) > after));
    let mut entries: Vec<RosterEntry> = rest.take(size + 1).cloned().collect();
    let has_more = entries.len() > size;
    entries.truncate(size);
    let last = entries.last().filter(|_| has_more);
    let next = last.map_or_else(String::new, |last| question.token(&place(last)));
    Ok((entries, next))
}

fn place(entry: &RosterEntry) -> [u8; PLACE] {
    let mut place = [0; PLACE];
    let code = entry.code.as_str().as_bytes();
    place[..code.len()].copy_from_slice(code);
    place
}
