//! Which points hold, or held, what a member disclosed, and who has confirmed a removal.

use std::collections::BTreeMap;

use prost::Message;
use yizhan_proto::v1::{self, member_copy::State};

use crate::{
    app::{
        App,
        copies::{self, Copies, CopyAt},
        erasures::Erasure,
        error::{Error, Result},
        moves, records, sight, transfers,
    },
    domain::{
        audience::Audience,
        disclosure,
        erasure::{ErasureMove, ErasureState},
        grant::{Grant, Purpose},
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
        roster::{BasisKind, Roster},
        time::Time,
    },
    identity::caller::Caller,
    store::parcels::Receipt,
    wire::value::time_message,
};

/// Where a member's copies are, and how far an erasure has come.
pub struct Where {
    pub copies: Vec<v1::MemberCopy>,
    /// The home now of a member who has moved away from here.
    pub moved_to: Option<PointCode>,
    pub certificate: Option<v1::ErasureCertificate>,
}

/// Lists every point that holds a card of the member or may still hold one that was removed, the home
/// first. A member who was erased is still answered for: that is when it matters most.
pub async fn list_copies(app: &App, caller: &Caller, id: RecordId) -> Result<Where> {
    caller.may(Operation::ReadCopies)?;
    let mut homes = sight::homes(app, caller, Operation::ReadCopies);
    if let Some(own) = caller.point().filter(|point| caller.is_person(point, id))
        && app.keys.is_home(own)
        && !homes.contains(own)
    {
        homes.push(own.clone());
    }
    let copies = Copies { db: app.db.clone(), heads: app.heads.clone(), keys: app.keys.clone() };
    let mut elsewhere = None;
    for home in homes {
        let moved_to = moves::gone_to(app, &home, id).await?.map(|(to, _)| to);
        if moved_to.as_ref().is_some_and(|to| app.keys.is_home(to) && *to != home) {
            // Another home of this node has the member now, and tells more.
            elsewhere = moved_to;
            continue;
        }
        let mut sent = transfers::ledger(app, &home, id).await?;
        sent.extend(former_homes(app, &home, id).await?);
        match copies.of_record(&home, id).await {
            Ok(found) => {
                let erasure = app.erasures.find(id);
                // Of somebody who was erased the audit keeps the order alone.
                let looked_at = erasure.as_ref().map_or(id, |erasure| erasure.order);
                let looked = [(Kind::MEMBER, looked_at)];
                app.audit.looked(caller, Operation::ReadCopies, looked).await?;
                let certificate =
                    erasure.map(|erasure| certificate(&erasure, &found, &sent)).transpose()?;
                // The home's own record is no copy: it is what the copies are of.
                let disclosed = found.into_iter().filter(|copy| copy.audience != Audience::Home);
                let (roster, grants) = (app.keys.roster(), grants(app, &home, id).await?);
                let disclosed = disclosed.map(|copy| {
                    let basis = basis(&roster, &copy);
                    let grant = grants.get(purpose(copy.audience)).cloned().unwrap_or_default();
                    message(copy, basis, grant)
                });
                let copies = disclosed.chain(sent).collect();
                return Ok(Where { copies, certificate, moved_to });
            }
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    match elsewhere {
        Some(home) => Err(Error::NotHome { home: home.to_string() }),
        None => Err(Error::NotFound { noun: "member" }),
    }
}

/// What former homes had: gone once they have said that no card of theirs is held anywhere.
async fn former_homes(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<v1::MemberCopy>> {
    let came = moves::came_from(app, home, id).await?.into_iter();
    let former = came.map(|moving| {
        let state = if moving.clear_time.is_some() { State::Scrubbed } else { State::Pending };
        v1::MemberCopy {
            point: moving.from,
            audience: Audience::Home.name().to_owned(),
            state: state.into(),
            since_time: moving.clear_time.or(moving.state_time),
            ..v1::MemberCopy::default()
        }
    });
    Ok(former.collect())
}

/// How many of the points that held something have confirmed that they hold it no more.
fn certificate(
    erasure: &Erasure,
    copies: &[CopyAt],
    sent: &[v1::MemberCopy],
) -> Result<v1::ErasureCertificate> {
    let mut points: BTreeMap<&str, bool> = BTreeMap::new();
    let mut exceptions: BTreeMap<&str, Option<Time>> = BTreeMap::new();
    for copy in copies {
        if copy.state == copies::State::Revoked {
            exceptions.insert(copy.point.as_str(), copy.since);
            continue;
        }
        let is_gone = copy.state == copies::State::Scrubbed;
        *points.entry(copy.point.as_str()).or_insert(true) &= is_gone;
    }
    for copy in sent {
        *points.entry(&copy.point).or_insert(true) &= copy.state() == State::Scrubbed;
    }
    let receipts = points.values().filter(|done| **done).count();
    let confirm =
        ErasureMove::Confirm { receipts, points: points.len(), exceptions: exceptions.len() };
    let exceptions =
        exceptions.into_iter().map(|(point, since)| v1::erasure_certificate::Exception {
            point: point.to_owned(),
            reason: copies::State::Revoked.name().to_owned(),
            since_time: since.map(time_message),
        });
    let state = ErasureState::ExecutedHere.after(confirm)?;
    Ok(v1::ErasureCertificate {
        order: erasure.order.to_string(),
        order_time: Some(time_message(erasure.ordered)),
        points: points.len() as u32,
        receipts: receipts as u32,
        state: state.name().to_owned(),
        exceptions: exceptions.collect(),
    })
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

/// The purpose of the consent that a card in a feed rests on.
fn purpose(audience: Audience) -> &'static str {
    match audience {
        Audience::Public => Purpose::ProfilePublic.name(),
        Audience::Network | Audience::Domestic => Purpose::ProfileNetwork.name(),
        Audience::Home | Audience::Sealed | Audience::Roster => "",
    }
}

/// The consents that count now, by purpose.
async fn grants(
    app: &App,
    home: &PointCode,
    id: RecordId,
) -> Result<BTreeMap<&'static str, String>> {
    let now = app.outside.now();
    let mut counting = BTreeMap::new();
    for found in records::grants_of(app, home, id).await? {
        let grant: Grant = found.value::<v1::Grant, _>()?;
        if disclosure::counts(&grant, now) {
            counting.insert(grant.purpose.name(), found.row.id.to_string());
        }
    }
    Ok(counting)
}

/// On what a point may have a copy that lies in a feed.
fn basis(roster: &Roster, copy: &CopyAt) -> &'static str {
    let ends = (roster.get(&copy.home), roster.get(&copy.point));
    let (Some(home), Some(holder)) = ends else { return "" };
    match copy.audience {
        Audience::Domestic | Audience::Network if home.jurisdiction == holder.jurisdiction => {
            BasisKind::SameJurisdiction.name()
        }
        Audience::Network => {
            let declared = holder.basis_for(&home.code, home.jurisdiction);
            declared.map_or("", |basis| basis.kind.name())
        }
        _ => "",
    }
}

fn message(copy: CopyAt, basis: &str, grant: String) -> v1::MemberCopy {
    let state = match copy.state {
        copies::State::Held => State::Held,
        copies::State::Pending => State::Pending,
        copies::State::Scrubbed => State::Scrubbed,
        copies::State::Revoked => State::Revoked,
    };
    v1::MemberCopy {
        point: copy.point.to_string(),
        audience: copy.audience.name().to_owned(),
        state: state.into(),
        since_time: copy.since.map(time_message),
        receipt: copy.receipt.map(receipt).unwrap_or_default(),
        purpose: purpose(copy.audience).to_owned(),
        basis: basis.to_owned(),
        grant,
    }
}
