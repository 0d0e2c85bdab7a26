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
        holders::own_word,
        people, records,
    },
    domain::{
        id::{MemberId, RecordId},
        kind::Kind,
        policy::Operation,
    },
    identity::caller::Caller,
    store::audit::{self, Wanted},
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
    let wanted = Wanted { record: Some(id), ..Wanted::default() };
    let db = &mut *app.db.reader().await?;
    let mut lines = audit::list(db, &wanted, u64::MAX, LINES_MAX + 1).await?;
    let has_older_lines = lines.len() > LINES_MAX;
    lines.truncate(LINES_MAX);
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
    })
}
