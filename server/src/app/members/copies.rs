//! Which points hold, or held, what a member disclosed, as far as this home knows without receipts.

use yizhan_proto::v1::{self, member_copy::State};

use super::read::own;
use crate::{
    app::{App, error::Result},
    domain::{
        audience::{Audience, FeedId},
        id::RecordId,
        kind::Kind,
        policy::Operation,
    },
    identity::caller::Caller,
    store::records,
};

/// Lists every point that may hold a card of the member, or may still hold one that was removed.
pub async fn list_copies(app: &App, caller: &Caller, id: RecordId) -> Result<Vec<v1::MemberCopy>> {
    let member = own(app, caller, Operation::ReadCopies, id).await?;
    let readable = app.heads.readable_slots();
    let versions = records::find(&mut *app.db.reader().await?, id).await?;
    let roster = app.keys.roster();
    let mut copies = Vec::new();
    for stored in versions {
        let Some(feed) = readable.get(&stored.slot) else { continue };
        let FeedId { home, audience } = feed;
        let is_card = matches!(stored.row.kind, Kind::CARD | Kind::PUBLIC_CARD);
        if *home != member.feed.home || !is_card || *audience == Audience::Home {
            continue;
        }
        let nodes = roster.points().filter(|entry| entry.has_node());
        for entry in nodes.filter(|entry| roster.may_node_hold(&entry.code, feed)) {
            let is_here = entry.code == app.keys.point;
            let state = match (stored.row.removed, is_here) {
                (false, _) => State::Held,
                (true, true) => continue,
                (true, false) => State::Pending,
            };
            copies.push(v1::MemberCopy {
                point: entry.code.to_string(),
                audience: audience.name().to_owned(),
                state: state.into(),
                since_time: None,
                receipt: Vec::new(),
            });
        }
    }
    Ok(copies)
}
