//! The desk: how handlers of the owning point find, open and work on its help requests.
//!
//! Who may not know of a request is answered as if there were none.

mod break_glass;
mod escalation;
mod figures;
mod moves;
mod queue;
mod show;
mod simulate;
mod supplies;

pub use break_glass::{Asked as BreakGlass, Glass, break_glass};
pub use escalation::run as escalate;
pub use figures::{answer, figures};
pub use moves::{Triage, assign, duplicate, note, redirect, reopen, reply, resolve, triage, wait};
pub use queue::{Asked, list};
pub use show::{attachment, desk_request, get};
pub use simulate::simulate;
pub use supplies::supply;

use super::{
    App,
    error::Result,
    help_requests::stored::{Stored, not_found, with_reference},
    sight,
};
use crate::{
    domain::{help_reference::Reference, kind::Kind, policy::Operation},
    identity::caller::Caller,
};

/// The request of a reference, if the caller may do this to it.
pub(crate) async fn find(
    app: &App,
    caller: &Caller,
    operation: Operation,
    reference: &str,
) -> Result<Stored> {
    caller.may(operation)?;
    let reference = Reference::parse(reference, "reference")?;
    let mut id = None;
    for found in with_reference(app, &reference).await? {
        if found.row.kind != Kind::HELP_REQUEST {
            continue;
        }
        let stored = Stored::of(found)?;
        id = Some(stored.id());
        if handles(app, caller, operation, &stored) {
            return Ok(stored);
        }
    }
    app.audit.refused(caller, operation, id, "not_found").await?;
    Err(not_found())
}

/// May the caller do this to a request, by where it lies, what it is about and whose it is?
fn handles(app: &App, caller: &Caller, operation: Operation, stored: &Stored) -> bool {
    let is_assigned = match caller {
        Caller::Account { name, .. } => stored.request.assignee == *name,
        _ => false,
    };
    let about = (&stored.feed().home, Some(stored.request.category));
    sight::handles(app, caller, operation, about, is_assigned)
}

/// The name under which a handler writes.
fn name_of(caller: &Caller) -> String {
    match caller {
        Caller::Account { name, .. } => name.clone(),
        Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => String::new(),
    }
}
