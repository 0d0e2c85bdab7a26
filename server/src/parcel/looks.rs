//! Looks at our members elsewhere, when word of them arrives: into our own audit, where the person reads
//! them.

use yizhan_proto::v1;

use super::letters::{Here, Verdict};
use crate::{
    domain::{
        audit::{AccessPurpose, Author, Deed},
        id::{PointCode, RecordId},
        policy::Role,
        time::Time,
    },
    store::{StoreError, audit, parcels::Connection, records},
};

/// Looks of one letter.
pub const LOOKS_MAX: usize = 500;
/// Longest word in one, in bytes.
const WORD_MAX: usize = 128;

pub async fn enter(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    word: &v1::Looks,
) -> Result<Verdict, StoreError> {
    if word.looks.len() > LOOKS_MAX {
        return Ok(Verdict::Refused("MALFORMED"));
    }
    let mut looks = Vec::with_capacity(word.looks.len());
    for look in &word.looks {
        match read(here, from, look) {
            Some(read) => looks.push(read),
            None => return Ok(Verdict::Refused("MALFORMED")),
        }
    }
    // Only of whom is here: nobody who was erased comes back by being looked at.
    let ids: Vec<RecordId> = looks.iter().map(|(member, ..)| *member).collect();
    let slots = here.heads.readable_slots();
    let mut stored = records::find_many(db, here.dialect, &ids).await?;
    stored.retain(|stored| {
        let home = slots.get(&stored.slot).map(|feed| &feed.home);
        !stored.row.removed && home == Some(to)
    });
    let acts = looks.into_iter().filter_map(|(member, deed, at)| {
        let known = stored.iter().find(|stored| stored.row.id == member)?;
        Some(deed.act(known.row.kind, member, format!("shown_at={at}")))
    });
    let acts: Vec<_> = acts.collect();
    audit::append(db, here.dialect, &acts, here.now, here.seed).await?;
    Ok(Verdict::Done)
}

fn read(
    here: &Here<'_>,
    from: &PointCode,
    look: &v1::looks::Look,
) -> Option<(RecordId, Deed, Time)> {
    let member = RecordId(look.member[..].try_into().ok()?);
    let words = [&look.actor, &look.operation, &look.point];
    if words.iter().any(|word| word.is_empty() || word.len() > WORD_MAX) {
        return None;
    }
    // A point vouches for those who act for it, and for those whom it hosts.
    let point: PointCode = look.point.parse().ok()?;
    let serves = point == *from
        || here.keys.roster().get(&point).is_some_and(|entry| entry.host.as_ref() == Some(from));
    if !serves {
        return None;
    }
    let author = Author {
        actor: look.actor.clone(),
        role: Role::ALL.into_iter().find(|role| role.name() == look.role)?.name(),
        point: point.to_string(),
    };
    let purpose = AccessPurpose::parse(&look.purpose, "purpose").ok()?.name();
    let deed = Deed { author, operation: look.operation.clone(), purpose };
    Some((member, deed, Time(look.time_us)))
}
