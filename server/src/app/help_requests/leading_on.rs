//! What a client was given where its point was hosted leads on to the node that the point has now. A
//! reference names the point of the node that took the request in, and there it is asked for: so the
//! former host keeps a stub, as it keeps one of what it takes in for others.

use prost::Message;
use yizhan_proto::v1;

use super::{stored::sealed_feed, submit};
use crate::{
    app::{App, error::Result, handoffs, records},
    domain::{
        audit::Deed,
        help_reference::Reference,
        help_request::HelpRequest,
        id::PointCode,
        kind::Kind,
        position::{Row, Sequence},
    },
    feed::change::Change,
    link::frame::{PAGE_BYTES, PAGE_ROWS},
    store::{FeedStore, Slot},
};

/// Puts a stub into our own feed for whatever of a home that is leaving was taken in here. Done again it
/// changes nothing.
pub async fn leave_stubs(app: &App, home: &PointCode, slot: Slot) -> Result<()> {
    let own = sealed_feed(&app.keys.point);
    let mut after = Sequence(0);
    loop {
        let page = app.db.page(slot, after, PAGE_ROWS, PAGE_BYTES).await?;
        let rows = page.map(|page| page.rows).unwrap_or_default();
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.sequence;
        let mut change = Change::new().by(Deed::of_node("hand_over"));
        for row in rows.iter().filter(|row| !row.removed) {
            let Some(stub) = stub_of(app, home, row).await? else { continue };
            let known = records::find(app, row.id).await?;
            // One that this point has passed to the home itself leads there already.
            if known.iter().all(|found| found.feed != own) {
                change = change.expect(own.clone(), row.id, None);
                change = change.put(own.clone(), Kind::HELP_STUB, row.id, stub.encode_to_vec());
            }
        }
        if !change.writes.is_empty() {
            app.writer.commit(change).await?;
        }
    }
}

/// None of what was taken in elsewhere, which leads to the home itself, and of what nobody can ask for.
async fn stub_of(app: &App, home: &PointCode, row: &Row) -> Result<Option<v1::HelpStub>> {
    // What cannot be read is shown to the operator elsewhere, and leads nowhere.
    match row.kind {
        Kind::HELP_REQUEST => {
            let request = v1::HelpRequest::decode(&row.payload[..]).ok();
            let request = request.and_then(|request| HelpRequest::try_from(request).ok());
            let is_ours = |request: &HelpRequest| {
                request.intake == app.keys.point.as_str() && !request.lookup_hash.is_empty()
            };
            let Some(request) = request.filter(is_ours) else { return Ok(None) };
            let desks = app.help.desks.get(app).await?;
            Ok(Some(v1::HelpStub {
                parcel: None,
                owner_number: request.owner_number,
                ..submit::stub(&desks, &request, home, v1::HelpParcel::default())
            }))
        }
        Kind::HELP_STUB => {
            let Ok(stub) = v1::HelpStub::decode(&row.payload[..]) else { return Ok(None) };
            let Ok(reference) = Reference::parse(&stub.reference, "reference") else {
                return Ok(None);
            };
            let intakes = handoffs::intakes_of(app, &reference).await?;
            if stub.lookup_hash.is_empty() || !intakes.contains(&app.keys.point) {
                return Ok(None);
            }
            // What the home may still take back, it leads on itself.
            let owner = match stub.kept.is_some() || stub.parcel.is_some() {
                true => home.to_string(),
                false => stub.owner,
            };
            let (intake_key, files) = (Vec::new(), Vec::new());
            Ok(Some(v1::HelpStub { owner, parcel: None, kept: None, intake_key, files, ..stub }))
        }
        _ => Ok(None),
    }
}

/// Where a request of a home is that has just got a node of its own: its record here is not the newest
/// any more, and may not have come there yet.
pub(super) fn on_its_way(found_in: &PointCode, request: &HelpRequest) -> v1::HelpStub {
    to_home(
        found_in,
        v1::HelpStub {
            reference: request.reference.to_string(),
            lookup_hash: request.lookup_hash.clone(),
            mac_hash: request.mac_hash.clone(),
            owner_number: request.owner_number,
            ..v1::HelpStub::default()
        },
    )
}

/// The same of one that the home has passed on.
pub(super) fn to_home(home: &PointCode, stub: v1::HelpStub) -> v1::HelpStub {
    let parcel = Some(v1::HelpParcel::default());
    v1::HelpStub { owner: home.to_string(), parcel, kept: None, ..stub }
}
