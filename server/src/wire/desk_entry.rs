//! A sealed record -> what the desk's tables know of it.

use prost::Message;
use yizhan_proto::v1;

use super::{
    help_request::{id, optional_id},
    value,
};
use crate::domain::{
    entry::{DeskEntry, QueueEntry},
    help_reference::Reference,
    help_request::HelpRequest,
    kind::Kind,
    position::Row,
    retention,
    text::Invalid,
};

/// None for a key, which is found by its id alone.
pub fn describe(row: &Row) -> Result<Option<DeskEntry>, Invalid> {
    match row.kind {
        Kind::HELP_REQUEST => {
            let request: HelpRequest = decode::<v1::HelpRequest>(&row.payload)?.try_into()?;
            let keep = retention::next(&request);
            Ok(Some(DeskEntry::Request(Box::new(QueueEntry {
                id: row.id,
                reference: request.reference.to_string(),
                lookup: lookup(&request.lookup_hash)?,
                state: request.state.number(),
                is_open: request.state.is_open(),
                category: request.category.name(),
                channel: request.channel,
                urgency: request.urgency.number(),
                region: request.region.code(),
                language: request.language.to_string(),
                received_us: request.received.0,
                due_us: request.clocks.next_due().map_or(i64::MAX, |due| due.0),
                assignee: request.assignee,
                keep_step: keep.map_or(0, |(step, _)| step.number()),
                keep_since_us: keep.map_or(0, |(_, since)| since.0),
                key: request.intake_key,
            }))))
        }
        Kind::HELP_STUB => {
            let stub = decode::<v1::HelpStub>(&row.payload)?;
            let received = value::required(stub.received_time, "received_time")?;
            Ok(Some(DeskEntry::Request(Box::new(QueueEntry {
                id: row.id,
                reference: Reference::parse(&stub.reference, "reference")?.to_string(),
                lookup: lookup(&stub.lookup_hash)?,
                state: 0,
                is_open: stub.parcel.is_some(),
                category: "",
                channel: String::new(),
                urgency: 0,
                region: "",
                language: String::new(),
                assignee: String::new(),
                received_us: value::time(received, "received_time")?.0,
                due_us: i64::MAX,
                keep_step: 0,
                keep_since_us: 0,
                key: optional_id(&stub.intake_key, "intake_key")?,
            }))))
        }
        Kind::HELP_MESSAGE => {
            let message = decode::<v1::HelpMessage>(&row.payload)?;
            let time = value::required(message.time, "time")?;
            Ok(Some(DeskEntry::Message {
                id: row.id,
                request: id(&message.request, "request")?,
                time_us: value::time(time, "time")?.0,
            }))
        }
        _ => decode::<v1::HelpKey>(&row.payload).map(|_| None),
    }
}

fn decode<M: Message + Default>(payload: &[u8]) -> Result<M, Invalid> {
    M::decode(payload).map_err(|_| Invalid::new("payload", "not_decodable"))
}

/// What was imported has no look-up id, and is found by nobody.
fn lookup(hash: &[u8]) -> Result<[u8; 16], Invalid> {
    match hash.first_chunk() {
        Some(half) => Ok(*half),
        None if hash.is_empty() => Ok([0; 16]),
        None => Err(Invalid::new("lookup_hash", "wrong_length")),
    }
}
