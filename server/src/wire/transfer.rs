//! Copies for one destination: message -> how their records are found, and what is written of them.

use prost::Message;
use yizhan_proto::v1::{self, transfer_word::Kind as Said};

use super::value::required;
use crate::domain::{
    basis::BasisKind, disclosure::Card, id::RecordId, text::Invalid, transfer::TransferState,
};

/// Kind under which those are found at the home that have something to be sent.
pub const IN_WORK: &str = "41w";
/// Kind under which those are found at the home that their destination may have.
pub const LIVE: &str = "41l";

/// The message of a TRANSFER record, checked; at its destination with the card.
pub fn read(payload: &[u8]) -> Result<(v1::Transfer, Option<Card>), Invalid> {
    let transfer =
        v1::Transfer::decode(payload).map_err(|_| Invalid::new("payload", "not_decodable"))?;
    TransferState::from_number(transfer.state, "state")?;
    BasisKind::from_number(transfer.basis, "basis")?;
    RecordId::parse(&transfer.member, "member")?;
    let card = transfer.card.clone().map(Card::try_from).transpose()?;
    Ok((transfer, card))
}

/// By what a copy is found at its home, besides its member.
pub fn found_by(transfer: &v1::Transfer) -> Result<Vec<&'static str>, Invalid> {
    let is_live = TransferState::from_number(transfer.state, "state")?.is_live();
    let in_work = transfer.outgoing.as_ref().map(|_| IN_WORK);
    Ok(in_work.into_iter().chain(is_live.then_some(LIVE)).collect())
}

/// What a home writes to the destination, as the record stands now.
pub fn word(id: RecordId, transfer: &v1::Transfer, card: Option<v1::Card>) -> v1::TransferWord {
    let member = RecordId::parse(&transfer.member, "member");
    v1::TransferWord {
        kind: if card.is_some() { Said::Copy } else { Said::Withdraw }.into(),
        transfer: id.0.to_vec(),
        member: member.map(|member| member.0.to_vec()).unwrap_or_default(),
        home: transfer.home.clone(),
        version: transfer.version,
        basis: if card.is_some() { transfer.basis } else { 0 },
        reference: if card.is_some() { transfer.reference.clone() } else { String::new() },
        card,
        time: None,
    }
}

/// What a destination keeps of a word that brings a copy.
pub fn received(word: v1::TransferWord, to: &str) -> Result<v1::Transfer, Invalid> {
    let member: [u8; 16] =
        word.member[..].try_into().map_err(|_| Invalid::new("member", "not_an_id"))?;
    let card = required(word.card, "card")?;
    Card::try_from(card.clone())?;
    BasisKind::from_number(word.basis, "basis")?;
    Ok(v1::Transfer {
        member: RecordId(member).to_string(),
        home: word.home,
        to: to.to_owned(),
        state: TransferState::Held.number(),
        version: word.version,
        basis: word.basis,
        reference: word.reference,
        card: Some(card),
        transfer: word.transfer,
        ..v1::Transfer::default()
    })
}
