//! Consents that run out by themselves.

use prost::Message;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{consents::values, disclose, naming, read::home_feed};
use crate::{
    app::{App, error::Result, moves, records, transfers},
    domain::{
        disclosure,
        grant::{Grant, GrantState},
        id::{GrantId, PointCode, RecordId},
        kind::Kind,
        member::Member,
        position::Sequence,
        time::Time,
    },
    feed::change::Change,
    store::FeedStore,
};

/// Rows of a home feed read in one go, and their bytes.
const ROWS: usize = 1_000;
const BYTES: usize = 1_024 * 1_024;

/// Consents among some rows of a home feed that end by themselves.
pub struct Expiring {
    /// When, and whose.
    pub due: Vec<(Time, RecordId)>,
    /// Rows up to here have been read.
    pub read: Sequence,
    /// No row lies behind it.
    pub is_all: bool,
}

/// Reads the next rows of a home's feed. Every version of a consent has a sequence of its own, so what
/// was read once is never read again.
pub async fn expiring(app: &App, home: &PointCode, after: Sequence) -> Result<Expiring> {
    let nothing = Expiring { due: Vec::new(), read: after, is_all: true };
    let held = app.heads.find(&home_feed(home)).and_then(|view| view.held);
    let Some(held) = held else { return Ok(nothing) };
    let Some(page) = app.db.page(held.slot, after, ROWS, BYTES).await? else { return Ok(nothing) };
    let mut found = Expiring { is_all: page.reaches_end, ..nothing };
    for row in page.rows {
        found.read = row.sequence;
        if row.kind != Kind::GRANT || row.removed {
            continue;
        }
        // One that this version cannot read is left alone; it discloses nothing.
        let message = v1::Grant::decode(row.payload).ok();
        let Some(grant) = message.and_then(|message| Grant::try_from(message).ok()) else {
            continue;
        };
        if grant.state == GrantState::Given
            && let Some(ends) = grant.expire_time
        {
            found.due.push((ends, RecordId(grant.member.0)));
        }
    }
    Ok(found)
}

/// Ends a member's consents whose time is over; cards and names follow in the same commit. False if there was
/// nothing to end.
pub async fn expire(app: &App, home: &PointCode, member: RecordId) -> Result<bool> {
    let now = app.outside.now();
    let found = records::find(app, member).await?;
    let feed = home_feed(home);
    let Some(record) = found.into_iter().find(|found| found.feed == feed) else { return Ok(false) };
    let mut change = Change::new();
    let mut all = Vec::new();
    for found in records::grants_of(app, home, member).await? {
        let before: Grant = found.value::<v1::Grant, _>()?;
        let grant = before.clone().settled_at(now);
        if grant != before {
            let payload = v1::Grant::from(grant.clone()).encode_to_vec();
            change = change.put(feed.clone(), Kind::GRANT, found.row.id, payload);
        }
        all.push((GrantId(found.row.id.0), grant));
    }
    if change.writes.is_empty() {
        return Ok(false);
    }
    let mut value: Member = record.value::<v1::Member, _>()?;
    value.update_time = now.max(Time(value.update_time.0 + 1));
    let grants = values(&all);
    let (change, value) = moves::follow(app, change, home, member, value, &grants).await?;
    let change = naming::follow(app, change, home, member, &value, &all, None).await?;
    let disclosed = disclosure::member(&value, &grants, now);
    let change = transfers::follow(app, change, home, member, Some((&value, &grants))).await?;
    let payload = v1::Member::from(value).encode_to_vec();
    // Whoever changes a consent writes the member too, so this also holds the consents still.
    let change = change.expect(feed.clone(), member, Some(record.row.sequence));
    let change = change.put(feed, Kind::MEMBER, member, payload);
    // Changed meanwhile: the job fails, and the next run sees what is left.
    app.writer.commit(disclose(change, home, member, disclosed, Reason::Withdrawn)).await?;
    Ok(true)
}
