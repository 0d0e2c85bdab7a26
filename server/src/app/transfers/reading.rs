//! What a home says of its copies, and what a destination has.

use yizhan_proto::v1::{self, member_copy::State};

use super::stored::of_member;
use crate::{
    app::{App, error::Result, records::Found},
    domain::{
        audience::Audience,
        grant::Purpose,
        id::{PointCode, RecordId},
        kind::Kind,
        transfer::TransferState,
    },
};

/// The word for the audience of a copy that went to one point alone.
pub const AUDIENCE: &str = "transfer";

/// A member's copies in the ledger, the newest of each destination. The receipt is the destination's
/// word as its signed parcel brought it.
pub async fn ledger(app: &App, home: &PointCode, member: RecordId) -> Result<Vec<v1::MemberCopy>> {
    let mut copies: Vec<v1::MemberCopy> = Vec::new();
    for noted in of_member(app, home, member).await? {
        if copies.iter().any(|copy| copy.point == noted.transfer.to) {
            continue;
        }
        let state = match noted.state()? {
            TransferState::Sent | TransferState::Held => State::Held,
            TransferState::Withdrawn => State::Pending,
            TransferState::Scrubbed => State::Scrubbed,
        };
        copies.push(v1::MemberCopy {
            point: noted.transfer.to.clone(),
            audience: AUDIENCE.to_owned(),
            state: state.into(),
            since_time: noted.transfer.state_time,
            receipt: noted.transfer.receipt.clone(),
            purpose: Purpose::TransferTo.name().to_owned(),
            basis: noted.basis()?.name().to_owned(),
            grant: noted.transfer.grant.clone(),
        });
    }
    Ok(copies)
}

/// The card of a copy that a home has sent here, and which home that is.
pub fn received(found: &Found) -> Result<Option<(v1::Card, PointCode)>> {
    if !found.is(Kind::TRANSFER, Audience::Home) {
        return Ok(None);
    }
    let transfer: v1::Transfer = found.message()?;
    let home = transfer.home.parse().map_err(|_| super::stored::damaged())?;
    Ok(transfer.card.map(|card| (card, home)))
}
