//! Everything that is held about a person, in one answer for that person.

use yizhan_proto::v1;

use super::{
    copies::list_copies,
    read::{home_record, own},
};
use crate::{
    app::{
        App,
        approvals::{Permit, permit},
        error::Result,
        groups,
        holders::own_word,
        moves, people, records,
    },
    domain::{
        audience::Audience,
        group::Group,
        id::{MemberId, PointCode, RecordId},
        kind::Kind,
        policy::Operation,
    },
    identity::caller::Caller,
    store::{
        accounts,
        audit::{self, Wanted},
    },
    wire::value::{texts_message, time_message},
};

/// Lines of the audit in one answer; older ones are listed on their own.
const LINES_MAX: usize = 10_000;

/// Puts together what is held. For the person at once; somebody else needs a second one.
pub async fn access(app: &App, caller: &Caller, id: RecordId) -> Result<v1::AccessMemberResponse> {
    let found = own(app, caller, Operation::AccessMember, id).await?;
    let home = found.feed.home.clone();
    let subject = id.to_string();
    let about = (&home, subject.as_str());
    if caller.is_person(&home, id) {
        own_word(caller)?;
    } else if let Permit::Asked(asked) = permit(app, caller, Operation::AccessMember, about).await?
    {
        let approval = asked.to_string();
        return Ok(v1::AccessMemberResponse { approval, ..Default::default() });
    }
    let looked = [(Kind::MEMBER, id)];
    app.audit.looked(caller, Operation::AccessMember, looked).await?;
    let mut grants = Vec::new();
    for found in records::grants_of(app, &home, id).await? {
        let mut grant: v1::Grant = found.message()?;
        grant.id = found.row.id.to_string();
        grants.push(grant);
    }
    let mut appearances = Vec::new();
    for (event, plan) in people::appearances(app, id).await? {
        let mine = plan.event.appearances.iter();
        for part in mine.filter(|part| part.member == Some(MemberId(id.0))) {
            appearances.push(v1::HeldAppearance {
                event: event.to_string(),
                titles: texts_message(plan.event.titles.clone()),
                start_time: Some(time_message(plan.event.start_time)),
                state: part.state.name().to_owned(),
            });
        }
    }
    let copies = list_copies(app, caller, id).await?.copies;
    let places = places(app, &home, id).await?;
    let moves = moves::of_member(app, &home, id).await?;
    let wanted = Wanted { record: Some(id), ..Wanted::default() };
    let db = &mut *app.db.reader().await?;
    let mut lines = audit::list(db, &wanted, u64::MAX, LINES_MAX + 1).await?;
    let has_older_lines = lines.len() > LINES_MAX;
    lines.truncate(LINES_MAX);
    let mut own_accounts = Vec::new();
    for mut account in accounts::of_member(db, id).await? {
        account.grants = accounts::grants(db, account.id).await?;
        own_accounts.push(account.into());
    }
    Ok(v1::AccessMemberResponse {
        approval: String::new(),
        home: home.to_string(),
        member: Some(home_record(app, &found)?),
        grants,
        copies,
        appearances,
        lines: lines.into_iter().map(v1::AuditLine::from).collect(),
        has_older_lines,
        create_time: Some(time_message(app.outside.now())),
        places,
        accounts: own_accounts,
        moves: moves.iter().map(|noted| noted.view()).collect(),
    })
}

/// The person's places in groups, and the days on duty.
async fn places(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<v1::HeldPlace>> {
    let mut held = Vec::new();
    for found in groups::places_of(app, home, id).await? {
        let mut place: v1::GroupMember = found.message()?;
        let group = RecordId::parse(&place.group, "group")?;
        place.id = found.row.id.to_string();
        place.home = home.to_string();
        let known = records::find(app, group).await?;
        let known = known.iter().find(|found| found.is(Kind::GROUP, Audience::Network));
        let known: Option<Group> = known.map(|found| found.value::<v1::Group, _>()).transpose()?;
        let (mut titles, mut duties) = (Vec::new(), Vec::new());
        if let Some(group) = known {
            titles = texts_message(group.titles);
            let is_own = |part: Option<RecordId>| part == Some(found.row.id);
            let own = group.rota.into_iter();
            let own = own.filter(|duty| is_own(Some(duty.contact)) || is_own(duty.cover));
            duties = own.map(v1::group::Duty::from).collect();
        }
        held.push(v1::HeldPlace { place: Some(place), titles, duties });
    }
    Ok(held)
}
