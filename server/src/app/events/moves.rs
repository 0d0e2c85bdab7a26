//! How an event moves on, by the table of states.

use yizhan_proto::v1;

use super::{
    list::shown,
    plan::{commit, own},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        records,
    },
    domain::{
        audience::Audience,
        event::{EventMove, EventPlan, EventState},
        id::RecordId,
        kind::Kind,
        policy::Operation,
        text::Invalid,
        time::Time,
    },
    identity::caller::Caller,
};

/// What is to happen to an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Publish,
    /// To these times.
    Reschedule {
        start: Time,
        end: Time,
    },
    Postpone,
    Cancel,
    Hold,
}

/// Moves an event on; answers with what the public sees of it, if anything.
pub async fn advance(
    app: &App,
    caller: &Caller,
    id: RecordId,
    etag: &str,
    step: Step,
) -> Result<Option<v1::Event>> {
    let found = own(app, caller, Operation::PublishEvent, id).await?;
    found.check_etag(app, etag)?;
    let mut plan: EventPlan = found.value::<v1::EventPlan, _>()?;
    step_to(&mut plan, step, app.outside.now())?;
    commit(app, &found, plan, caller.deed(Operation::PublishEvent)).await?;
    let public = records::find(app, id).await?;
    let public = public.iter().find(|at| at.is(Kind::EVENT, Audience::Public));
    public.map(|public| shown(app, public)).transpose()
}

/// The change of a plan that a step makes.
fn step_to(plan: &mut EventPlan, step: Step, now: Time) -> Result<()> {
    let event = &mut plan.event;
    let before = event.state;
    let moved = match step {
        Step::Publish => EventMove::Publish,
        Step::Reschedule { .. } => EventMove::Reschedule,
        Step::Postpone => EventMove::Postpone,
        Step::Cancel => EventMove::Cancel,
        Step::Hold => EventMove::Hold,
    };
    event.state = before.after(moved)?;
    match step {
        Step::Reschedule { start, end } => {
            if (start, end) == (event.start_time, event.end_time) {
                return Err(Invalid::new("start_time", "move_refused").into());
            }
            event.rescheduled_from_time = Some(event.start_time);
            (event.start_time, event.end_time) = (start, end);
        }
        Step::Hold if now < event.end_time => {
            return Err(Error::Precondition {
                reason: "EVENT_NOT_OVER",
                message: format!("the event ends at {}: hold it after that", event.end_time),
            });
        }
        // Nobody knew of it: its number is free again.
        Step::Cancel if before == EventState::Draft => event.issue = None,
        Step::Publish | Step::Postpone | Step::Cancel | Step::Hold => (),
    }
    if before.is_public() {
        event.sequence += 1;
    }
    event.update_time = now;
    plan.event = event.clone().checked()?;
    Ok(())
}
