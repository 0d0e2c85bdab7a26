//! Requests that are brought in from tables: sealed like any other, with clocks set as they would
//! have run in the owner's calendar.

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1;

use super::sealing::{CONTENT, RequestKeys};
use crate::{
    app::{App, error::Result, import::PastRequest},
    domain::{
        help_clock::{Clock, ClockKind, Clocks},
        help_state::HelpState,
        id::{PointCode, RecordId},
        text::Invalid,
        working_time::WorkingTime,
    },
};

/// The payload of a request's record.
pub async fn payload(
    app: &App,
    home: &PointCode,
    id: RecordId,
    past: &PastRequest,
) -> Result<Vec<u8>> {
    let hours = app.help.desks.get(app).await?.hours(home);
    let key = app.help.keys.current(app, home).await?;
    let keys = RequestKeys { content: sealed::random_key(), note: sealed::random_key() };
    let content = sealed::seal(&keys.content, CONTENT, &id.0, &past.content.encode_to_vec());
    let mut request = past.request.clone();
    request.content = content.ok_or_else(|| Invalid::new("text", "too_long"))?;
    request.intake_key = Some(key.id);
    request.wrap = key.wrap(id, &keys);
    request.clocks = clocks(past, &hours);
    Ok(v1::HelpRequest::from(request).encode_to_vec())
}

fn clocks(past: &PastRequest, hours: &WorkingTime) -> Clocks {
    let request = &past.request;
    let (received, urgency) = (request.received, request.urgency);
    let target = past.first_response_target;
    let target = target.unwrap_or_else(|| ClockKind::FirstResponse.target(urgency));
    let mut first = Clock::start(ClockKind::FirstResponse, target, received, hours);
    if let Some(at) = past.first_responded {
        first.meet(at, hours);
    }
    let target = ClockKind::Resolution.target(urgency);
    let mut resolution = Clock::start(ClockKind::Resolution, target, received, hours);
    if let Some(at) = request.resolved {
        resolution.meet(at, hours);
        resolution.spent = resolution.spent.saturating_sub(past.paused_minutes);
        if resolution.spent <= target {
            resolution.breached = None;
        }
    }
    let mut clocks = Clocks(vec![first, resolution]);
    match request.state {
        HelpState::WaitingClient => clocks.on_wait(request.waiting.unwrap_or(received), hours),
        state if !state.is_open() => clocks.on_end(request.closed.unwrap_or(received), hours),
        _ => (),
    }
    clocks
}
