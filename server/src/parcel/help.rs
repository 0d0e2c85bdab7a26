//! What letters about help requests do where they arrive. Content stays sealed on the way: what is
//! kept here is ciphertext, and what names nobody.

use prost::Message;
use yizhan_proto::v1;

use super::letters::{Here, Verdict};
use crate::{
    domain::{
        deputy::deputy_of,
        help_reference::Reference,
        help_request::HelpRequest,
        help_state::HelpState,
        id::{PointCode, RecordId},
        kind::Kind,
        position::PAYLOAD_MAX,
    },
    store::{
        StoreError,
        help_requests::{self, Arrival},
        parcels::Connection,
        scrubs,
    },
};

/// Records of one letter to a deputy.
const COPIES_MAX: usize = 4_096;
/// Requests of one sender that wait to be entered. More come again later.
const ARRIVALS_MAX: i64 = 10_000;

/// What a parcel with a request is about, in the outbox of whoever took it in.
pub fn subject(parcel: &v1::HelpParcel) -> Vec<u8> {
    let reference = parcel.request.as_ref().map_or("", |request| &request.reference);
    subject_of(reference)
}

/// The same by the request's reference.
pub fn subject_of(reference: &str) -> Vec<u8> {
    let hash = blake3::hash(format!("help parcel {reference}").as_bytes());
    hash.as_bytes()[..16].to_vec()
}

/// A request that this point is to handle: kept until it is in its feed.
pub async fn arrive(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    parcel: &v1::HelpParcel,
) -> Result<Verdict, StoreError> {
    let malformed = Verdict::Refused("MALFORMED");
    let Some(id) = record_id(&parcel.id) else { return Ok(malformed) };
    let request = parcel.request.clone().map(HelpRequest::try_from);
    let Some(Ok(request)) = request else { return Ok(malformed) };
    let is_whole = record_id(&parcel.key_id) == request.intake_key
        && parcel.key.is_some()
        && parcel.key_id != parcel.id
        && parcel.encoded_len() <= PAYLOAD_MAX;
    // A point sends on what it took in itself, as it came, and nothing else.
    let is_new = request.state == HelpState::Received && request.owner_number == 0;
    if !is_whole || !is_new || request.intake != from.as_str() {
        return Ok(malformed);
    }
    if help_requests::count_arrivals(db, from.as_str(), ARRIVALS_MAX).await? >= ARRIVALS_MAX {
        return Ok(Verdict::Later);
    }
    let arrival = Arrival {
        sender: from.to_string(),
        id,
        owner: to.to_string(),
        reference: request.reference.to_string(),
        parcel: parcel.encode_to_vec(),
        arrived_us: here.now.0,
    };
    help_requests::put_arrival(db, &arrival).await?;
    Ok(Verdict::Done)
}

/// Sealed records of a home that names this point as its deputy.
pub async fn keep_copies(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    copies: &v1::HelpCopies,
) -> Result<Verdict, StoreError> {
    if copies.home != from.as_str() || copies.records.len() > COPIES_MAX {
        return Ok(Verdict::Refused("MALFORMED"));
    }
    let is_deputy = deputy_of(&here.keys.roster(), from).as_ref() == Some(to);
    if is_deputy == copies.over {
        // The roster may be on its way.
        return Ok(Verdict::Later);
    }
    if copies.over {
        help_requests::remove_copies(db, from.as_str()).await?;
        return Ok(Verdict::Done);
    }
    for copy in &copies.records {
        let Some(id) = record_id(&copy.id) else { return Ok(Verdict::Refused("MALFORMED")) };
        if copy.payload.len() > PAYLOAD_MAX {
            return Ok(Verdict::Refused("MALFORMED"));
        }
        if is_less_than_before(copy) {
            scrubs::note(db, here.now).await?;
        }
        match copy.removed {
            true => help_requests::remove_copy(db, from.as_str(), id).await?,
            false => {
                let version = (id, copy.kind, copy.sequence);
                let leads = leads(copy);
                let copied = (&leads[..], &copy.payload[..]);
                help_requests::put_copy(db, from.as_str(), version, copied).await?;
            }
        }
    }
    Ok(Verdict::Done)
}

/// The reference that a copy of a stub leads on.
fn leads(copy: &v1::help_copies::Copy) -> String {
    match Kind(copy.kind) {
        Kind::HELP_STUB => {
            v1::HelpStub::decode(&copy.payload[..]).map(|stub| stub.reference).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// Does the copy take the place of one that said more of somebody? Then that is not to stay in the log.
fn is_less_than_before(copy: &v1::help_copies::Copy) -> bool {
    match Kind(copy.kind) {
        _ if copy.removed => true,
        Kind::HANDOFF => true,
        // Passed on, or anonymised.
        Kind::HELP_STUB => v1::HelpStub::decode(&copy.payload[..])
            .is_ok_and(|stub| stub.owner_number > 0 && stub.kept.is_none()),
        Kind::HELP_REQUEST => v1::HelpRequest::decode(&copy.payload[..])
            .is_ok_and(|request| request.lookup_hash.is_empty()),
        _ => false,
    }
}

/// A promise that a point below did not keep; or that this is over.
pub async fn note_escalation(
    here: &Here<'_>,
    db: &mut Connection,
    (from, to): (&PointCode, &PointCode),
    escalation: &v1::HelpEscalation,
) -> Result<Verdict, StoreError> {
    let roster = here.keys.roster();
    let Ok(reference) = Reference::parse(&escalation.reference, "reference") else {
        return Ok(Verdict::Refused("MALFORMED"));
    };
    if roster.parent(from) != Some(to) {
        return Ok(Verdict::Refused("NOT_ENTITLED"));
    }
    let of = (reference.as_str(), from.as_str(), to.as_str());
    match escalation.over {
        true => help_requests::remove_escalation(db, of).await?,
        false => {
            let encoded = escalation.encode_to_vec();
            help_requests::put_escalation(db, of, &encoded, here.now.0).await?;
        }
    }
    Ok(Verdict::Done)
}

fn record_id(bytes: &[u8]) -> Option<RecordId> {
    bytes.try_into().map(RecordId).ok()
}
