//! Which points hold, or held, what a member disclosed, and who has confirmed a removal.

use prost::Message;
use yizhan_proto::v1::{self, member_copy::State};

use crate::{
    app::{
        App,
        copies::{self, Copies, CopyAt},
        error::{Error, Result},
        sight,
    },
    domain::{audience::Audience, id::RecordId, kind::Kind, policy::Operation},
    identity::caller::Caller,
    store::parcels::Receipt,
    wire::value::time_message,
};

/// Lists every point that holds a card of the member or may still hold one that was removed, the home
/// first. A member who was erased is still answered for: that is when it matters most.
pub async fn list_copies(app: &App, caller: &Caller, id: RecordId) -> Result<Vec<v1::MemberCopy>> {
    caller.may(Operation::ReadCopies)?;
    let copies = Copies { db: app.db.clone(), heads: app.heads.clone(), keys: app.keys.clone() };
    for home in sight::homes(app, caller, Operation::ReadCopies) {
        match copies.of_record(&home, id).await {
            // The home's own record is no copy: it is what the copies are of.
            Ok(found) => {
                app.audit.looked(caller, Operation::ReadCopies, [(Kind::MEMBER, id)]).await?;
                let disclosed = found.into_iter().filter(|copy| copy.audience != Audience::Home);
                return Ok(disclosed.map(message).collect());
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::NotFound { noun: "member" })
}

/// What the point signed for, as it arrived in its parcel.
fn receipt(receipt: Receipt) -> Vec<u8> {
    let extent = receipt.extent;
    v1::RemovalReceipt {
        number: extent.number,
        sequence: extent.sequence.0,
        scrubbed_us: receipt.scrubbed.0,
        ..Default::default()
    }
    .encode_to_vec()
}

fn message(copy: CopyAt) -> v1::MemberCopy {
    let state = match copy.state {
        copies::State::Held => State::Held,
        copies::State::Pending => State::Pending,
        copies::State::Scrubbed => State::Scrubbed,
    };
    v1::MemberCopy {
        point: copy.point.to_string(),
        audience: copy.audience.name().to_owned(),
        state: state.into(),
        since_time: copy.since.map(time_message),
        receipt: copy.receipt.map(receipt).unwrap_or_default(),
    }
}
