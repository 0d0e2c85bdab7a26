//! Sending a copy: the gate, then one commit.

use yizhan_proto::v1;

use super::{
    gate::{refused, way_between},
    stored::{Noted, home_feed, of_member},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        members,
    },
    domain::{
        basis::BasisKind,
        disclosure::{self, ConsentBasis},
        id::{PointCode, RecordId},
        member::Member,
        policy::Operation,
        text::Invalid,
        transfer::{self, TransferState},
    },
    feed::change::Change,
    identity::caller::Caller,
    wire::value::time_message,
};

/// Most copies of one member, those that are gone with them.
const COPIES_MAX: usize = 1_000;

/// A copy that was sent.
pub struct Sent {
    pub id: RecordId,
    pub member: RecordId,
    pub to: PointCode,
    pub state: TransferState,
    pub basis: BasisKind,
    pub reference: String,
}

/// Sends a copy of a member's card to one destination. One that is there already is answered with.
pub async fn transfer(app: &App, caller: &Caller, id: RecordId, to: PointCode) -> Result<Sent> {
    let found = members::own(app, caller, Operation::TransferMember, id).await?;
    let home = found.feed.home.clone();
    if to == home {
        return Err(Invalid::new("to", "is_itself").into());
    }
    let now = app.outside.now();
    let grants = members::in_force(app, &home, id).await?;
    let passed = {
        let way = way_between(app, &home, &to).await?;
        transfer::gate(&app.keys.roster(), &way, &grants, now)
    };
    let (basis, grant) = match passed {
        Ok(passed) => passed,
        Err(refusal) => {
            let reason = refusal.reason();
            app.audit.refused(caller, Operation::TransferMember, Some(id), reason).await?;
            return Err(refused(refusal));
        }
    };
    let member: Member = found.value::<v1::Member, _>()?;
    if !member.state.is_disclosable() {
        return Err(Invalid::new("member.state", "move_refused").hint(member.state.ways()).into());
    }
    let earlier = of_member(app, &home, id).await?;
    for known in &earlier {
        if known.transfer.to == to.as_str() && known.state()?.is_live() {
            return sent(known);
        }
    }
    if earlier.len() >= COPIES_MAX {
        return Err(Invalid::new("to", "too_many").into());
    }
    let grant_ids = members::grant_ids(app, &home, id).await?;
    let mut noted = Noted {
        feed: home_feed(&home),
        id: app.outside.record_id(),
        at: None,
        transfer: v1::Transfer {
            member: id.to_string(),
            home: home.to_string(),
            to: to.to_string(),
            state: TransferState::Sent.number(),
            version: 1,
            basis: basis.kind.number(),
            reference: basis.reference,
            grant: grant_ids.get(grant).map(RecordId::to_string).unwrap_or_default(),
            create_time: Some(time_message(now)),
            state_time: Some(time_message(now)),
            ..v1::Transfer::default()
        },
    };
    noted.say_card(disclosure::card(&member, ConsentBasis::of(&grants[grant])));
    // Whoever changes a consent writes the member too, so this also holds the consents still.
    let change = Change::new().expect(found.feed.clone(), id, Some(found.row.sequence));
    let change = noted.put(change).by(caller.deed(Operation::TransferMember));
    match app.writer.commit(change).await {
        Ok(_) => sent(&noted),
        Err(error) => Err(Error::from(error)),
    }
}

fn sent(noted: &Noted) -> Result<Sent> {
    Ok(Sent {
        id: noted.id,
        member: noted.member()?,
        to: noted.to()?,
        state: noted.state()?,
        basis: noted.basis()?,
        reference: noted.transfer.reference.clone(),
    })
}
