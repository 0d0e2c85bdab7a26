//! What handoffs have noted of a request goes with it: the words of people at both ends, and the stubs on
//! the way that the request has taken.

use std::collections::BTreeSet;

use subtle::ConstantTimeEq;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::stored::{Noted, all};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{retention::forget_by, stored::sealed_feed},
        records,
    },
    domain::{
        audit::Deed,
        id::{PointCode, RecordId},
        kind::Kind,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
};

/// Takes the words of people out of a home's handoffs of a request. Yields who has passed it here.
pub async fn anonymise(
    app: &App,
    home: &PointCode,
    request: RecordId,
) -> Result<BTreeSet<PointCode>> {
    let mut from = BTreeSet::new();
    for mut noted in all(app, home).await? {
        if noted.handoff.request != request.0 {
            continue;
        }
        from.extend(noted.handoff.from.parse::<PointCode>().ok().filter(|point| point != home));
        if strip(&mut noted) {
            let change = noted.put(Change::new()).by(Deed::of_node("retention"));
            app.writer.commit(change).await?;
        }
    }
    Ok(from)
}

/// False if nothing was left to take out.
fn strip(noted: &mut Noted) -> bool {
    let before = noted.handoff.clone();
    let handoff = &mut noted.handoff;
    handoff.preview = None;
    for words in [
        &mut handoff.offered_by,
        &mut handoff.decided_by,
        &mut handoff.reason,
        &mut handoff.override_reason,
    ] {
        words.clear();
    }
    *handoff != before
}

/// The owner has anonymised a request that went through here: nothing of it stays, and whoever it came
/// from hears it too.
pub async fn forget_here(
    app: &App,
    home: &PointCode,
    id: RecordId,
    word: &v1::HandoffWord,
) -> Result<bool> {
    let feed = sealed_feed(home);
    let found = records::find(app, id).await?;
    let stub = found.iter().find(|found| found.feed == feed && found.row.kind == Kind::HELP_STUB);
    // Forgotten before, or never here.
    let Some(stub) = stub else { return Ok(true) };
    let known: v1::HelpStub = stub.message()?;
    let same = known.lookup_hash.ct_eq(&word.lookup_hash) & known.mac_hash.ct_eq(&word.mac_hash);
    if !bool::from(same) {
        return Err(Invalid::new("request", "not_permitted").into());
    }
    for point in anonymise(app, home, id).await? {
        forget_by(app, home, point, id, (&known.lookup_hash, &known.mac_hash)).await?;
    }
    let change = Change::new()
        .by(Deed::of_node("retention"))
        .expect(feed.clone(), id, Some(stub.row.sequence))
        .remove(feed, id, Reason::Erased);
    match app.writer.commit(change).await {
        Ok(_) => {}
        Err(CommitError::Stale) => return Ok(false),
        Err(error) => return Err(Error::from(error)),
    }
    if !app.db.truncate_log().await? {
        tracing::info!("deleted bytes stay in the log until its readers have gone on");
    }
    Ok(true)
}
