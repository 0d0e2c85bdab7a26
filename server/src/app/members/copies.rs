//! Which points hold, or held, what a member disclosed, with their receipts.

use prost::Message;
use yizhan_proto::v1::{self, member_copy};

use crate::{
    app::{
        App,
        copies::{Copies, CopyAt, State},
        error::{Error, Result},
        sight,
    },
    domain::{
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
    },
    identity::caller::Caller,
    store::records,
    wire::value::time_message,
};

/// Lists the copies of a member's cards, of a member too who is erased: that is when it matters.
pub async fn list_copies(app: &App, caller: &Caller, id: RecordId) -> Result<Vec<v1::MemberCopy>> {
    caller.may(Operation::ReadCopies)?;
    let home = home_of(app, caller, id).await?.ok_or(Error::NotFound { noun: "member" })?;
    let copies = Copies { db: app.db.clone(), heads: app.heads.clone(), keys: app.keys.clone() };
    let copies = copies.of_record(&home, id).await?;
    Ok(copies.into_iter().filter(|copy| copy.audience.is_shared()).map(message).collect())
}

/// The home of a member, erased or not, among those whose copies the caller may ask about.
async fn home_of(app: &App, caller: &Caller, id: RecordId) -> Result<Option<PointCode>> {
    let homes = sight::homes(app, caller, Operation::ReadCopies);
    let readable = app.heads.readable_slots();
    let versions = records::find(&mut *app.db.reader().await?, id).await?;
    let mut members = versions.iter().filter(|version| version.row.kind == Kind::MEMBER);
    Ok(members.find_map(|version| {
        let home = &readable.get(&version.slot)?.home;
        homes.contains(home).then(|| home.clone())
    }))
}

fn message(copy: CopyAt) -> v1::MemberCopy {
    let state = match copy.state {
        State::Held => member_copy::State::Held,
        State::Pending => member_copy::State::Pending,
        State::Scrubbed => member_copy::State::Scrubbed,
    };
    let receipt = copy.receipt.map(|receipt| {
        let message = v1::RemovalReceipt {
            home: copy.home.to_string(),
            audience: copy.audience as u32,
            epoch: Some(v1::Epoch { counter: receipt.extent.epoch_counter, random: Vec::new() }),
            number: receipt.extent.number,
            sequence: receipt.extent.sequence.0,
            scrubbed_us: receipt.scrubbed.0,
        };
        message.encode_to_vec()
    });
    v1::MemberCopy {
        point: copy.point.to_string(),
        audience: copy.audience.name().to_owned(),
        state: state.into(),
        since_time: copy.since.map(time_message),
        receipt: receipt.unwrap_or_default(),
    }
}
