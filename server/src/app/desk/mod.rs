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

pub use break_glass::{Asked as BreakGlass, break_glass};
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
    domain::{
        help_reference::Reference,
        kind::Kind,
        policy::{Operation, Reach},
    },
    identity::caller::Caller,
};

/// The request of a reference, if the caller may do this to it.
pub(crate) async fn find(
    app: &App,
    caller: &Caller,
    operation: Operation,
    reference: &str,
) -> Result<Stored> {
    let reach = caller.may(operation)?;
    let reference = Reference::parse(reference, "reference")?;
    let homes = sight::homes(app, caller, operation);
    let mut id = None;
    for found in with_reference(app, &reference).await? {
        if found.row.kind != Kind::HELP_REQUEST {
            continue;
        }
        let stored = Stored::of(found)?;
        id = Some(stored.id());
        let may = match reach {
            Reach::Assigned => is_assigned(caller, &stored),
            _ => homes.contains(&stored.feed().home),
        };
        if may {
            return Ok(stored);
        }
    }
    app.audit.refused(caller, operation, id, "not_found").await?;
    Err(not_found())
}

/// Is it the caller's, at the caller's own point?
fn is_assigned(caller: &Caller, stored: &Stored) -> bool {
    match caller {
        Caller::Account { name, point, .. } => {
            stored.request.assignee == *name && stored.feed().home == *point
        }
        _ => false,
    }
}

/// The name under which a handler writes.
fn name_of(caller: &Caller) -> String {
    match caller {
        Caller::Account { name, .. } => name.clone(),
        Caller::Anonymous | Caller::Peer { .. } | Caller::Operator { .. } => String::new(),
    }
}
