//! Supplies and appointments: parts of the content, sealed again with every change.

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1;

use super::{
    find,
    show::{content, desk_request},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{
            sealing::CONTENT,
            stored::{Stored, amend},
        },
    },
    domain::{policy::Operation, text::Invalid},
    identity::caller::Caller,
    wire::{help_request::supplies, value::time},
};

/// Adds lines, or puts them in the place of those with the same item and unit. No line may pledge
/// more than is needed, send more than is pledged, or receive more than was sent.
pub async fn supply(
    app: &App,
    caller: &Caller,
    reference: &str,
    lines: Vec<v1::SupplyLine>,
    slot: Option<prost_types::Timestamp>,
) -> Result<(v1::DeskRequest, v1::HelpContent)> {
    let stored = find(app, caller, Operation::ReplyHelpRequest, reference).await?;
    if let Some(slot) = slot {
        time(slot, "advice_slot_time")?;
    }
    let (feed, id) = (stored.feed().clone(), stored.id());
    let keys = app.help.keys.open(app, &feed, id, &stored.request).await?;
    let now = app.outside.now();
    let mut after = v1::HelpContent::default();
    let done = amend(app, &feed, id, &caller.deed(Operation::ReplyHelpRequest), |request, _| {
        if !request.state.is_open() {
            return Err(Invalid::new("state", "move_refused").hint(request.state.name()).into());
        }
        let seen = Stored { found: stored.found.clone(), request: request.clone() };
        let mut content = content(&keys, &seen)?;
        for line in &lines {
            let same =
                |known: &&mut v1::SupplyLine| known.item == line.item && known.unit == line.unit;
            match content.supplies.iter_mut().find(same) {
                Some(known) => known.clone_from(line),
                None => content.supplies.push(line.clone()),
            }
        }
        supplies(&content.supplies)?;
        content.advice_slot_time = slot.or(content.advice_slot_time);
        let sealed = sealed::seal(&keys.content, CONTENT, &id.0, &content.encode_to_vec());
        request.content = sealed.ok_or_else(|| Error::from(Invalid::new("lines", "too_long")))?;
        request.updated = now;
        after = content;
        Ok(Vec::new())
    })
    .await?;
    let hours = app.help.desks.get(app).await?.hours(&feed.home);
    Ok((desk_request(&done, &hours, now), after))
}
