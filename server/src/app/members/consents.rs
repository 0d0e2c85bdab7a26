//! Consents of a member: given, ended, listed. Cards follow in the same commit.

use prost::Message;
use yizhan_proto::v1::{self, tombstone::Reason};

use super::{
    disclose, naming,
    read::{Own, find_own, own},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        moves,
        records::{self, Found},
        transfers,
    },
    domain::{
        account::OwnWord,
        audience::Audience,
        audit::Deed,
        disclosure,
        grant::{GivenVia, Grant, GrantState, Purpose, is_withdrawn_lately},
        id::{GrantId, PointCode, RecordId},
        kind::Kind,
        member::Member,
        page::{Question, page_size},
        policy::Operation,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    wire::value::time_message,
};

/// Most consents of one member.
pub const GRANTS_MAX: usize = 1_000;

/// The consents of a member as values.
pub(crate) async fn in_force(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<Grant>> {
    Ok(values(&with_ids(app, home, id).await?))
}

/// The same with the ids of their records.
pub(crate) async fn with_ids(
    app: &App,
    home: &PointCode,
    id: RecordId,
) -> Result<Vec<(GrantId, Grant)>> {
    let found = records::grants_of(app, home, id).await?;
    let grants =
        found.iter().map(|found| Ok((GrantId(found.row.id.0), found.value::<v1::Grant, _>()?)));
    grants.collect()
}

pub(super) fn values(grants: &[(GrantId, Grant)]) -> Vec<Grant> {
    grants.iter().map(|(_, grant)| grant.clone()).collect()
}

/// Their record ids, in the same order.
pub(crate) async fn grant_ids(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<RecordId>> {
    let found = records::grants_of(app, home, id).await?;
    Ok(found.into_iter().map(|found| found.row.id).collect())
}

/// Records a consent. An earlier one of the same purpose and scope is superseded.
pub async fn give(
    app: &App,
    caller: &Caller,
    mut new: v1::Grant,
    request_id: &str,
) -> Result<v1::Grant> {
    caller.may(Operation::GiveConsent)?;
    let member_id = RecordId::parse(&new.member, "grant.member")?;
    let member = own(app, caller, Operation::GiveConsent, member_id).await?;
    let home = member.feed.home.clone();
    let id = records::id_of_request(app, &home, Kind::GRANT, request_id)?;
    if let Some(known) = find(app, &home, id).await? {
        // Made by the same request before: this is its answer again.
        return shown(&known);
    }
    let now = app.outside.now();
    new.state = GrantState::Given.number();
    new.end_time = None;
    new.source.clear();
    if new.given_time.is_none() {
        new.given_time = Some(time_message(now));
    }
    if new.given_via == GivenVia::Paper.number() && new.asserted_by.is_empty() {
        new.asserted_by = home.to_string();
    }
    let grant: Grant = new.try_into().map_err(|invalid: Invalid| invalid.under("grant"))?;
    if grant.given_via == GivenVia::Web && !caller.is_person(&home, member_id) {
        // What a person clicks, a person clicks.
        return Err(Invalid::new("grant.given_via", "web_is_the_persons_own").into());
    }
    if grant.given_time > now {
        return Err(Invalid::new("grant.given_time", "consent_in_future").into());
    }
    let earlier = records::grants_of(app, &home, member_id).await?;
    for found in &earlier {
        let known: Grant = found.value::<v1::Grant, _>()?;
        // The person may change a mind at any time; nobody else may keep asking.
        let is_asked = !caller.is_person(&home, member_id) || caller.own_word() != OwnWord::Own;
        if is_asked && is_withdrawn_lately(&known, grant.purpose, &grant.scope, now) {
            return Err(Error::Precondition {
                reason: "WITHDRAWN_LATELY",
                message: "this was withdrawn less than 30 days ago: nobody asks again so soon · \
                          该同意撤回未满三十天,不得再次征求"
                    .to_owned(),
            });
        }
    }
    if earlier.len() >= GRANTS_MAX {
        return Err(Invalid::new("grant", "too_many").into());
    }
    let mut change = Change::new().expect(member.feed.clone(), id, None);
    let mut all = vec![(GrantId(id.0), grant.clone())];
    for found in earlier {
        let mut known: Grant = found.value::<v1::Grant, _>()?;
        let is_same = (known.purpose, &known.scope) == (grant.purpose, &grant.scope);
        if is_same && known.state == GrantState::Given {
            known.state = known.state.ended_as(GrantState::Superseded)?;
            known.end_time = Some(now.max(known.given_time));
            change = put(change, &member, found.row.id, &known);
        }
        all.push((GrantId(found.row.id.0), known));
    }
    change = put(change, &member, id, &grant);
    let change = change.by(caller.deed(Operation::GiveConsent));
    match commit(app, &member, change, &all, Some(GrantId(id.0))).await {
        Err(Error::Stale) if !request_id.is_empty() => match find(app, &home, id).await? {
            Some(known) => shown(&known),
            None => Err(Error::Stale),
        },
        done => {
            done?;
            let known = find(app, &home, id).await?;
            shown(&known.ok_or(Error::NotFound { noun: "grant" })?)
        }
    }
}

/// Ends every consent in force for a purpose, and what rests on it. Repeated, it ends nothing more.
pub async fn withdraw(
    app: &App,
    caller: &Caller,
    member: RecordId,
    purpose: &str,
    scope: &str,
) -> Result<Vec<v1::Grant>> {
    // What else changed meanwhile takes nothing from the person's word.
    for _ in 1..WITHDRAW_TRIES {
        match withdraw_once(app, caller, member, purpose, scope).await {
            Err(Error::Stale) => {}
            done => return done,
        }
    }
    withdraw_once(app, caller, member, purpose, scope).await
}

/// Times that a withdrawal is begun anew because the member changed.
const WITHDRAW_TRIES: usize = 5;

async fn withdraw_once(
    app: &App,
    caller: &Caller,
    member: RecordId,
    purpose: &str,
    scope: &str,
) -> Result<Vec<v1::Grant>> {
    caller.may(Operation::GiveConsent)?;
    let purpose = Purpose::parse(purpose, "purpose")?;
    let member = match find_own(app, caller, Operation::GiveConsent, member).await? {
        Own::Record(found) => found,
        Own::Cards(cards) => {
            return withdraw_cards(app, caller.deed(Operation::GiveConsent), purpose, cards).await;
        }
    };
    let now = app.outside.now();
    let mut change = Change::new();
    let (mut all, mut ended) = (Vec::new(), Vec::new());
    for found in records::grants_of(app, &member.feed.home, member.row.id).await? {
        let mut grant: Grant = found.value::<v1::Grant, _>()?;
        let is_meant =
            grant.purpose == purpose && (scope.is_empty() || grant.scope.as_str() == scope);
        if is_meant && grant.state == GrantState::Given {
            grant.state = grant.state.ended_as(GrantState::Withdrawn)?;
            grant.end_time = Some(now.max(grant.given_time));
            change = put(change, &member, found.row.id, &grant);
            let mut message = v1::Grant::from(grant.clone());
            message.id = found.row.id.to_string();
            ended.push(message);
        }
        all.push((GrantId(found.row.id.0), grant));
    }
    // A card may have come back from neighbours whose consent was lost with a disk: writing the
    // member takes it away.
    if !ended.is_empty() || is_shown(app, &member, purpose).await? {
        let change = change.by(caller.deed(Operation::GiveConsent));
        commit(app, &member, change, &all, None).await?;
    }
    Ok(ended)
}

/// Where the card lies that a consent of this purpose discloses.
fn shown_in(purpose: Purpose) -> &'static [Audience] {
    match purpose {
        Purpose::ProfileNetwork => &[Audience::Network, Audience::Domestic],
        Purpose::ProfilePublic => &[Audience::Public],
        _ => &[],
    }
}

async fn is_shown(app: &App, member: &Found, purpose: Purpose) -> Result<bool> {
    let found = records::find(app, member.row.id).await?;
    Ok(found.iter().any(|found| {
        found.feed.home == member.feed.home && shown_in(purpose).contains(&found.feed.audience)
    }))
}

/// Takes back cards whose home record and consents were lost with a disk: there is no consent left
/// to end.
async fn withdraw_cards(
    app: &App,
    deed: Deed,
    purpose: Purpose,
    cards: Vec<Found>,
) -> Result<Vec<v1::Grant>> {
    let mut change = Change::new().by(deed);
    for card in cards {
        if shown_in(purpose).contains(&card.feed.audience) {
            let (feed, id) = (card.feed, card.row.id);
            change = change.expect(feed.clone(), id, Some(card.row.sequence));
            change = change.remove(feed, id, Reason::Withdrawn);
        }
    }
    if !change.writes.is_empty() {
        app.writer.commit(change).await?;
    }
    Ok(Vec::new())
}

/// Lists the consents of a member, newest first.
pub async fn list_grants(
    app: &App,
    caller: &Caller,
    member: RecordId,
    asked_size: i32,
    page_token: &str,
) -> Result<(Vec<v1::Grant>, String)> {
    caller.may(Operation::ReadGrants)?;
    let size = page_size(asked_size)?;
    let question = Question::new("grants").with(&member.to_string());
    let after: Option<[u8; 24]> = question.place(page_token)?;
    let member = own(app, caller, Operation::ReadGrants, member).await?;
    let mut all = Vec::new();
    for found in records::grants_of(app, &member.feed.home, member.row.id).await? {
        let grant: Grant = found.value::<v1::Grant, _>()?;
        all.push((place(&grant, found.row.id), found));
    }
    all.sort_by_key(|(place, _)| *place);
    all.retain(|(place, _)| after.is_none_or(|after| *place > after));
    let next = match all.get(size) {
        Some(_) => question.token(&all[size - 1].0),
        None => String::new(),
    };
    all.truncate(size);
    let shown_of = [(Kind::MEMBER, member.row.id)];
    app.audit.looked(caller, Operation::ReadGrants, shown_of).await?;
    let items = all.iter().map(|(_, found)| shown(found)).collect::<Result<_>>()?;
    Ok((items, next))
}

/// Sorts the newest first.
fn place(grant: &Grant, id: RecordId) -> [u8; 24] {
    let mut place = [0; 24];
    place[..8].copy_from_slice(&(u64::MAX - grant.given_time.0.max(0) as u64).to_be_bytes());
    place[8..].copy_from_slice(&id.0);
    place
}

fn put(change: Change, member: &Found, id: RecordId, grant: &Grant) -> Change {
    let payload = v1::Grant::from(grant.clone()).encode_to_vec();
    change.put(member.feed.clone(), Kind::GRANT, id, payload)
}

/// Writes the consents, the member, and the cards and names that follow. `new`: the consent that was
/// just given. Writing the member makes two changes of one person's consents meet: the second one is
/// stale.
async fn commit(
    app: &App,
    found: &Found,
    change: Change,
    grants: &[(GrantId, Grant)],
    new: Option<GrantId>,
) -> Result<()> {
    let now = app.outside.now();
    let mut member: Member = found.value::<v1::Member, _>()?;
    member.update_time = now.max(crate::domain::time::Time(member.update_time.0 + 1));
    let (home, id) = (&found.feed.home, found.row.id);
    let values = values(grants);
    let (change, member) = moves::follow(app, change, home, id, member, &values).await?;
    let change = naming::follow(app, change, home, id, &member, grants, new).await?;
    let disclosed = disclosure::member(&member, &values, now);
    let change = transfers::follow(app, change, home, id, Some((&member, &values))).await?;
    let payload = v1::Member::from(member).encode_to_vec();
    let change = change.expect(found.feed.clone(), id, Some(found.row.sequence)).put(
        found.feed.clone(),
        Kind::MEMBER,
        id,
        payload,
    );
    match app.writer.commit(disclose(change, home, id, disclosed, Reason::Withdrawn)).await {
        Err(CommitError::Stale) => Err(Error::Stale),
        done => {
            done?;
            Ok(())
        }
    }
}

async fn find(app: &App, home: &PointCode, id: RecordId) -> Result<Option<Found>> {
    let found = records::find(app, id).await?;
    Ok(found.into_iter().find(|found| found.row.kind == Kind::GRANT && found.feed.home == *home))
}

fn shown(found: &Found) -> Result<v1::Grant> {
    let mut grant: v1::Grant = found.message()?;
    grant.id = found.row.id.to_string();
    Ok(grant)
}
