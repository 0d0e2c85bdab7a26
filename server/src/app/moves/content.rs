//! What belongs to a person at a home: put together at the old one, checked at the new one.

use std::collections::BTreeSet;

use prost::Message;
use yizhan_proto::v1;

use super::stored::{Noted, home_feed, member_at};
use crate::{
    app::{
        App,
        error::{Error, Result},
        groups,
        records::{self, Found},
    },
    domain::{
        grant::Grant,
        group::Place,
        id::{MemberId, PointCode, RecordId},
        kind::Kind,
        member::{Member, MemberState},
        position::PAYLOAD_MAX,
        text::Invalid,
    },
    parcel::words::{PART_MAX, PARTS_MAX},
};

/// Records of one person.
const RECORDS_MAX: usize = 4_096;

/// A person's records at the old home.
pub struct Content {
    pub member: Found,
    /// Consents and places in groups.
    pub others: Vec<Found>,
    pub bytes: Vec<u8>,
    pub hash: Vec<u8>,
}

/// Everything of a person at a home; none if the person is not there. The same records give the same
/// bytes on every run.
pub async fn collect(app: &App, noted: &Noted) -> Result<Option<Content>> {
    let (home, id) = (&noted.feed.home, noted.member()?);
    let Some(member) = member_at(app, home, id).await? else { return Ok(None) };
    let others = records_of(app, home, id).await?;
    let record = |found: &Found| v1::MoveRecord {
        kind: found.row.kind.0,
        id: found.row.id.0.to_vec(),
        payload: found.row.payload.to_vec(),
    };
    let known: v1::Member = member.message()?;
    let bytes = v1::MoveContent {
        member: id.0.to_vec(),
        member_state: noted.moving.member_state,
        home_number: known.home_number.saturating_add(1),
        records: std::iter::once(&member).chain(&others).map(record).collect(),
    }
    .encode_to_vec();
    if others.len() >= RECORDS_MAX || bytes.len() > PART_MAX * PARTS_MAX as usize {
        return Err(Invalid::new("member", "too_large").into());
    }
    let hash = blake3::hash(&bytes).as_bytes().to_vec();
    Ok(Some(Content { member, others, bytes, hash }))
}

/// What a home has of a person besides the member: consents and places in groups, in one order.
pub async fn records_of(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<Found>> {
    let mut others = records::grants_of(app, home, id).await?;
    others.extend(groups::places_of(app, home, id).await?);
    others.sort_by_key(|found| (found.row.kind, found.row.id));
    Ok(others)
}

/// What a copy holds, checked as if it had been made here.
pub struct Arrived {
    pub id: RecordId,
    pub home_number: u32,
    /// As it was before it was offered away.
    pub state: MemberState,
    pub member: Member,
    pub grants: Vec<(RecordId, Grant)>,
    pub places: Vec<(RecordId, Place)>,
}

pub fn read(bytes: &[u8]) -> Result<Arrived, Invalid> {
    let undecodable = |_| Invalid::new("content", "not_decodable");
    let content = v1::MoveContent::decode(bytes).map_err(undecodable)?;
    let id = record_id(&content.member)?;
    let state = MemberState::from_number(content.member_state as i32, "state")?;
    if !matches!(state, MemberState::Active | MemberState::Resting) {
        return Err(Invalid::new("state", "move_refused").hint(state.name()));
    }
    if content.records.len() > RECORDS_MAX || content.home_number == 0 {
        return Err(Invalid::new("records", "too_many"));
    }
    let mut ids = BTreeSet::new();
    let (mut member, mut grants, mut places) = (None, Vec::new(), Vec::new());
    for record in content.records {
        let at = record_id(&record.id)?;
        if record.payload.len() > PAYLOAD_MAX {
            return Err(Invalid::new("records", "too_large"));
        }
        if !ids.insert(at) {
            return Err(Invalid::new("records", "twice"));
        }
        let payload = &record.payload[..];
        let of = match Kind(record.kind) {
            Kind::MEMBER if at == id => {
                let value = v1::Member::decode(payload).map_err(undecodable)?;
                member = Some(Member::try_from(value)?);
                Some(MemberId(id.0))
            }
            Kind::GRANT => {
                let grant: Grant = v1::Grant::decode(payload).map_err(undecodable)?.try_into()?;
                let of = grant.member;
                grants.push((at, grant));
                Some(of)
            }
            Kind::GROUP_MEMBER => {
                let place = v1::GroupMember::decode(payload).map_err(undecodable)?;
                let place: Place = place.try_into()?;
                let of = place.member;
                places.push((at, place));
                of
            }
            _ => return Err(Invalid::new("records.kind", "unknown_kind")),
        };
        if of != Some(MemberId(id.0)) {
            return Err(Invalid::new("records", "not_permitted"));
        }
    }
    let member = member.ok_or_else(|| Invalid::new("member", "required"))?;
    Ok(Arrived { id, home_number: content.home_number, state, member, grants, places })
}

fn record_id(bytes: &[u8]) -> Result<RecordId, Invalid> {
    bytes.try_into().map(RecordId).map_err(|_| Invalid::new("id", "not_an_id"))
}

/// May these records be put in at a home? Nothing else may lie there under their ids.
/// And the person is nobody else's member, as far as is known here.
pub async fn check_free(
    app: &App,
    (from, home): (&PointCode, &PointCode),
    arrived: &Arrived,
) -> Result<()> {
    if app.erasures.holds(arrived.id) || member_at(app, home, arrived.id).await?.is_some() {
        return Err(Invalid::new("member", "not_permitted").into());
    }
    for found in records::find(app, arrived.id).await? {
        let is_person = matches!(found.row.kind, Kind::MEMBER | Kind::CARD | Kind::PUBLIC_CARD);
        if is_person && found.feed.home != *from {
            return Err(Invalid::new("member", "not_permitted").into());
        }
    }
    let feed = home_feed(home);
    let ids = arrived.grants.iter().map(|(id, _)| *id);
    for id in ids.chain(arrived.places.iter().map(|(id, _)| *id)) {
        if records::find(app, id).await?.iter().any(|found| found.feed == feed) {
            return Err(Error::from(Invalid::new("records", "taken")));
        }
    }
    Ok(())
}
