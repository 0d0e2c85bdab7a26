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
        help_requests::{
            retention::{forget_by, note_deleted, remove_files, remove_messages, shred},
            stored::sealed_feed,
        },
        records,
    },
    domain::{
        audit::Deed,
        id::{PointCode, RecordId},
        kind::Kind,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    wire::help_request::optional_id,
};

/// Takes the words of people out of a home's handoffs of a request: of all, or of those with one point.
/// Yields whom it was passed on by or offered to, who have noted it too.
pub async fn anonymise(
    app: &App,
    home: &PointCode,
    request: RecordId,
    with: Option<&PointCode>,
) -> Result<BTreeSet<PointCode>> {
    let mut others = BTreeSet::new();
    for mut noted in all(app, home).await? {
        let other = noted.other()?;
        if noted.handoff.request != request.0 || with.is_some_and(|with| *with != other) {
            continue;
        }
        others.insert(other);
        if strip(&mut noted) {
            let change = noted.put(Change::new()).by(Deed::of_node("retention"));
            app.writer.commit(change).await?;
        }
    }
    Ok(others)
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

/// The owner has anonymised a request that went through here, or that was offered here: nothing of it
/// stays, and whoever has noted it because of this point hears it too.
pub async fn forget_here(
    app: &App,
    home: &PointCode,
    (id, sender): (RecordId, &PointCode),
    word: &v1::HandoffWord,
) -> Result<bool> {
    let feed = sealed_feed(home);
    let found = records::find(app, id).await?;
    let stub = found.iter().find(|found| found.feed == feed && found.row.kind == Kind::HELP_STUB);
    let Some(stub) = stub else {
        // Forgotten before, or only offered here: then whoever offered it says so.
        anonymise(app, home, id, Some(sender)).await?;
        note_deleted(app).await?;
        return Ok(true);
    };
    let known: v1::HelpStub = stub.message()?;
    let same = known.lookup_hash.ct_eq(&word.lookup_hash) & known.mac_hash.ct_eq(&word.mac_hash);
    if !bool::from(same) {
        return Err(Invalid::new("request", "not_permitted").into());
    }
    let mut others = anonymise(app, home, id, None).await?;
    others.remove(sender);
    for point in others {
        forget_by(app, home, point, id, (&known.lookup_hash, &known.mac_hash)).await?;
    }
    remove_files(app, id).await?;
    remove_messages(app, &feed, id).await?;
    let change = Change::new()
        .by(Deed::of_node("retention"))
        .expect(feed.clone(), id, Some(stub.row.sequence))
        .remove(feed, id, Reason::Erased);
    match app.writer.commit(change).await {
        Ok(_) => {}
        Err(CommitError::Stale) => return Ok(false),
        Err(error) => return Err(Error::from(error)),
    }
    let key = optional_id(&known.intake_key, "intake_key")?;
    shred(app, home, key.into_iter().collect()).await?;
    note_deleted(app).await?;
    Ok(true)
}
