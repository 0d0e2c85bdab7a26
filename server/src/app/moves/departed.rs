//! Who has left a home of this node, in a file outside the database: a backup that is put back brings
//! nobody home a second time.
//!
//! An entry is durable before the other point can hear that it is home, and names the home that the
//! person has from then on. Whoever comes back has a newer one.

use std::path::Path;

use tracing::warn;
use yizhan_proto::v1;

use super::{
    confirming::gone,
    content::records_of,
    stored::{Noted, find, home_feed},
};
use crate::{
    app::{
        App,
        erasures::{Erasure, Ledger},
        error::Result,
        ledgers, records,
    },
    domain::{
        audit::Deed,
        handoff::Holding,
        id::{PointCode, RecordId},
        kind::Kind,
        member_move::{MoveState, Word},
    },
    feed::change::{Change, CommitError},
};

/// In a node's directory; no backup holds it, and no restore replaces it.
pub const FILE: &str = "departures";

pub fn open(dir: &Path) -> std::io::Result<Ledger> {
    Ledger::open_as(dir, FILE)
}

/// Notes where a member is home from now on. Returns when that would survive a power cut.
pub async fn remember(app: &App, id: RecordId, member: RecordId, home: &PointCode) -> Result<()> {
    let is_known = app.departures.find(member).is_some_and(|known| known.home == *home);
    if is_known {
        return Ok(());
    }
    let entry =
        Erasure { order: id, record: member, home: home.clone(), ordered: app.outside.now() };
    ledgers::enter(&app.db, FILE, &app.departures, entry).await
}

/// The same for somebody who comes here: only if the ledger says that the person has left.
pub async fn forgive(app: &App, id: RecordId, member: RecordId, home: &PointCode) -> Result<()> {
    match app.departures.find(member) {
        Some(known) if known.home != *home => remember(app, id, member, home).await,
        _ => Ok(()),
    }
}

/// Lets go again of everybody who has left and is back in the tables, as after a restore.
pub async fn replay(app: &App) -> Result<()> {
    for entry in app.departures.all() {
        for home in app.keys.homes().into_iter().filter(|home| *home != entry.home) {
            let feed = home_feed(&home);
            let found = records::find_even_erased(app, entry.record).await?.into_iter();
            let mut found = found.filter(|at| at.feed == feed && at.row.kind == Kind::MEMBER);
            let Some(member) = found.next() else { continue };
            warn!(%home, to = %entry.home, "a member who has moved was in the tables: gone again");
            let known: v1::Member = member.message()?;
            let mut all = vec![member];
            all.extend(records_of(app, &home, entry.record).await?);
            let change = Change::new().by(Deed::of_node("move_again"));
            let change = gone(app, change, (&home, &entry.home), entry.record, &all).await?;
            let redirect = redirect(app, &home, &entry, known.home_number).await?;
            match app.writer.reconcile(redirect.put(change)).await {
                // Another node on the same database is at it.
                Ok(_) | Err(CommitError::Stale) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// The move as it was before the backup, ended as it has ended. The other point is told once more: the
/// word may have been lost with the outbox.
async fn redirect(app: &App, home: &PointCode, entry: &Erasure, number: u32) -> Result<Noted> {
    let known = find(app, home, entry.order).await?;
    let mut noted = known.unwrap_or_else(|| Noted {
        feed: home_feed(home),
        id: entry.order,
        at: None,
        moving: v1::MemberMove {
            member: entry.record.to_string(),
            from: home.to_string(),
            to: entry.home.to_string(),
            ..v1::MemberMove::default()
        },
    });
    let holding = Holding::Owner(number).after_own_release();
    noted.moving.home_number = holding.map_or(number, |(_, next)| next);
    noted.moving.clear_time = None;
    noted.moving.outgoing = None;
    noted.become_state(MoveState::Confirmed, None, app.outside.now());
    if noted.moving.version > 0 {
        let (number, version) = (noted.moving.home_number, noted.moving.version);
        noted.say(Word::Confirm(number, version));
    }
    Ok(noted)
}
