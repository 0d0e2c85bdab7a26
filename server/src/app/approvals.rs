//! Two persons: one asks, another agrees, and then it happens, once.
//!
//! Some things are done by the agreement itself (a task, kept until then); others are only allowed,
//! and whoever asked does them with a second call. A task that a crash has interrupted is done at the
//! next start: tasks are such that doing one twice is the same as once.

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tracing::warn;

use super::{
    App,
    error::{Error, Result},
    handoffs, members, network, points,
    roles::RoleChange,
    sight, users,
};
use crate::{
    domain::{
        approval::{Approval, ApprovalMove, ApprovalState, OPEN_US},
        audit::{Author, Deed},
        id::{PointCode, RecordId},
        kind::Kind,
        page::{Question, page_size},
        policy::{Operation, Reach, Role},
        time::Time,
    },
    identity::caller::Caller,
    store::{approvals, audit},
};

/// Tasks taken up in one run after a crash.
const UNDONE_AT_ONCE: usize = 100;
/// Approvals read for one page, seen by the caller or not.
const READ_AT_ONCE: usize = 1_000;

/// One task at a time, so that a given one is not done twice at once.
pub type Doing = Mutex<()>;

/// What an agreement sets off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    EraseMember {
        home: String,
        member: String,
    },
    /// A point's entry as somebody proposes it: an `UpdatePointRequest`, in hex.
    EditPoint {
        point: String,
        request: String,
    },
    SetRole {
        name: String,
        change: RoleChange,
    },
    RevokePoint {
        point: String,
        reason: String,
    },
    /// A new account, with the hash of its password.
    AddUser {
        name: String,
        role: String,
        point: String,
        member: Option<String>,
        hash: String,
    },
    DisableUser {
        name: String,
    },
    SetPassword {
        name: String,
        hash: String,
    },
    /// The province's word on whom another point serves.
    SayAreas(points::areas::Answer),
    /// A help request is offered to another point, and its client is not asked.
    OfferHandoff {
        reference: String,
        to: String,
        summary: String,
        reason: String,
    },
}

impl Task {
    /// What it does, in a word for whoever is to agree.
    fn word(&self) -> String {
        match self {
            Task::EraseMember { .. } => "erase_member".to_owned(),
            Task::EditPoint { .. } => "edit_point".to_owned(),
            Task::SetRole { change, .. } if change.ended => format!("end_role={}", change.role),
            Task::SetRole { change, .. } if change.also => format!("add_role={}", change.role),
            Task::SetRole { change, .. } => format!("set_role={}", change.role),
            Task::RevokePoint { .. } => "revoke_point".to_owned(),
            Task::AddUser { role, .. } => format!("add_user={role}"),
            Task::DisableUser { .. } => "disable_user".to_owned(),
            Task::SetPassword { .. } => "set_password".to_owned(),
            Task::SayAreas(_) => "say_areas".to_owned(),
            Task::OfferHandoff { to, .. } => format!("offer_handoff={to}"),
        }
    }
}

/// What an agreement sets off, in a word; empty where who asked does it afterwards, or it is over.
pub fn word_of(approval: &Approval) -> String {
    serde_json::from_str(&approval.task).map(|task: Task| task.word()).unwrap_or_default()
}

/// Whether somebody may go on alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permit {
    /// Alone, or somebody else has agreed. An agreement is used up with this.
    Given,
    /// Not yet: this approval is needed.
    Asked(RecordId),
}

/// Asks for a second person to set off a task. Asked again, it is the same approval.
pub async fn order(
    app: &App,
    caller: &Caller,
    operation: Operation,
    (point, subject): (&PointCode, &str),
    task: &Task,
) -> Result<RecordId> {
    let task = serde_json::to_string(task).expect("BUG: tasks are plain values");
    match ask(app, caller, operation, (point, subject), task, false).await? {
        Permit::Asked(id) => Ok(id),
        Permit::Given => Err(Error::Busy),
    }
}

/// May the caller do this now? Alone if the policy lets one person; else with an agreement, which is
/// used up. Without one it is asked for.
pub async fn permit(
    app: &App,
    caller: &Caller,
    operation: Operation,
    (point, subject): (&PointCode, &str),
) -> Result<Permit> {
    if caller.persons(operation) < 2 {
        return Ok(Permit::Given);
    }
    ask(app, caller, operation, (point, subject), String::new(), true).await
}

async fn ask(
    app: &App,
    caller: &Caller,
    operation: Operation,
    (point, subject): (&PointCode, &str),
    task: String,
    uses: bool,
) -> Result<Permit> {
    let (app, now) = (app.clone(), app.outside.now());
    let approval = Approval {
        id: app.outside.record_id(),
        operation: operation.name(),
        subject: subject.to_owned(),
        task,
        point: point.clone(),
        requested_by: caller.author().actor,
        requested: now,
        expires: Time(now.0 + OPEN_US),
        state: ApprovalState::Open,
        decided_by: String::new(),
        decided: None,
        outcome: String::new(),
    };
    let deed = caller.deed(operation);
    // In a task of its own: a caller that goes away must not leave a transaction open.
    let asking = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        let dialect = tx.dialect;
        let db = tx.connection();
        let Approval { requested_by, operation, subject, task, .. } = &approval;
        let known = approvals::find_asked(db, requested_by, operation, subject, task).await?;
        if let Some(known) = &known {
            if uses && known.is_usable(now) {
                approvals::end(db, known.id, ApprovalState::Done, "used").await?;
                let acts = [deed.act(Kind(0), known.id, "approval_used")];
                audit::append(db, dialect, &acts, now, app.outside.random()).await?;
                tx.commit().await?;
                return Ok(Permit::Given);
            }
            let waits = matches!(known.state_at(now), ApprovalState::Open)
                || (known.state_at(now) == ApprovalState::Given && !uses);
            if waits {
                return Ok(Permit::Asked(known.id));
            }
        }
        approvals::insert(db, &approval).await?;
        let acts = [deed.act(Kind(0), approval.id, "approval_asked")];
        audit::append(db, dialect, &acts, now, app.outside.random()).await?;
        tx.commit().await?;
        Ok::<_, Error>(Permit::Asked(approval.id))
    });
    asking.await.map_err(|_| Error::Busy)?
}

/// Lists what the caller could give or has asked for, newest first.
pub async fn list(
    app: &App,
    caller: &Caller,
    asked_size: i32,
    page_token: &str,
) -> Result<(Vec<Approval>, String)> {
    caller.may(Operation::GiveApproval)?;
    let size = page_size(asked_size)?;
    let question = Question::new("approvals").with(&caller.author().actor);
    let mut below = RecordId(question.place(page_token)?.unwrap_or([0xff; 16]));
    let db = &mut *app.db.reader().await?;
    let mut items: Vec<Approval> = Vec::new();
    loop {
        let read = approvals::list(db, below, READ_AT_ONCE).await?;
        let Some(last) = read.last() else { return Ok((items, String::new())) };
        below = last.id;
        let is_end = read.len() < READ_AT_ONCE;
        for approval in read.into_iter().filter(|one| is_seen(app, caller, one)) {
            if items.len() == size {
                let place = items.last().map_or([0; 16], |last| last.id.0);
                return Ok((items, question.token(&place)));
            }
            items.push(approval);
        }
        if is_end {
            return Ok((items, String::new()));
        }
    }
}

fn is_seen(app: &App, caller: &Caller, approval: &Approval) -> bool {
    approval.requested_by == caller.author().actor || may_give(app, caller, approval)
}

/// Who could have asked may agree, and who could have done it alone.
fn may_give(app: &App, caller: &Caller, approval: &Approval) -> bool {
    if matches!(caller, Caller::Operator { .. }) {
        return true;
    }
    let operation = Operation::ALL.iter().find(|known| known.name() == approval.operation);
    operation.is_some_and(|operation| {
        let holds =
            |role| caller.holds(role, &approval.point) || caller.holds(role, &app.keys.point);
        let answers = match operation {
            // Nobody of the province alone: one of the two answers for the point.
            Operation::BreakGlass => holds(Role::PointAdmin),
            // A point proposes who is in the network; the province agrees.
            Operation::AdmitPoint | Operation::RevokePoint => holds(Role::ProvincialAdmin),
            _ => true,
        };
        answers && sight::homes(app, caller, *operation).contains(&approval.point)
    })
}

/// Agrees to what somebody else has asked for, and does it.
pub async fn give(app: &App, caller: &Caller, id: RecordId) -> Result<Approval> {
    if caller.may(Operation::GiveApproval)? == Reach::Nothing {
        return Err(Error::Denied);
    }
    let now = app.outside.now();
    let found = approvals::find(&mut *app.db.reader().await?, id).await?;
    let approval = found.filter(|approval| is_seen(app, caller, approval));
    let approval = approval.ok_or(Error::NotFound { noun: "approval" })?;
    let author = caller.author();
    if approval.requested_by == author.actor {
        return Err(refused("OWN_APPROVAL", "whoever asks cannot agree as well"));
    }
    match approval.state_at(now) {
        ApprovalState::Open => {}
        ApprovalState::Expired => {
            return Err(refused("APPROVAL_EXPIRED", "it was not given in time: ask again"));
        }
        _ if approval.decided_by == author.actor => return Ok(approval),
        _ => return Err(refused("APPROVAL_CLOSED", "somebody else has decided already")),
    }
    let app = app.clone();
    let deed = caller.deed(Operation::GiveApproval);
    let giving = tokio::spawn(async move {
        let _one = app.doing.lock().await;
        let mut tx = app.db.begin().await?;
        let dialect = tx.dialect;
        let db = tx.connection();
        if !approvals::give(db, id, &author.actor, now).await? {
            return Err(refused("APPROVAL_CLOSED", "somebody else has decided already"));
        }
        let acts = [deed.act(Kind(0), id, "approval_given")];
        audit::append(db, dialect, &acts, now, app.outside.random()).await?;
        tx.commit().await?;
        let given = find(&app, id).await?;
        carry_out(&app, &given).await?;
        find(&app, id).await
    });
    giving.await.map_err(|_| Error::Busy)?
}

fn refused(reason: &'static str, message: &str) -> Error {
    Error::Precondition { reason, message: message.to_owned() }
}

async fn find(app: &App, id: RecordId) -> Result<Approval> {
    let found = approvals::find(&mut *app.db.reader().await?, id).await?;
    found.ok_or(Error::NotFound { noun: "approval" })
}

/// Does what was agreed to and not done, as after a crash, and closes what was not given in time.
pub async fn resume(app: &App) -> Result<()> {
    let _one = app.doing.lock().await;
    let now = app.outside.now();
    if approvals::has_late(&mut *app.db.reader().await?, now).await? {
        approvals::close_late(&mut *app.db.local().await?, now).await?;
    }
    let undone = approvals::list_undone(&mut *app.db.reader().await?, UNDONE_AT_ONCE).await?;
    for approval in undone {
        carry_out(app, &approval).await?;
    }
    Ok(())
}

/// Does a task and notes what came of it. What may go better later is left for then.
///
/// Who asked has to be one who may, now as well: a role may have been taken away meanwhile, and what it
/// is about may have gone.
async fn carry_out(app: &App, approval: &Approval) -> Result<()> {
    let task = serde_json::from_str::<Task>(&approval.task);
    if let Ok(Task::SayAreas(answer)) = &task {
        // Who asked is another node's: that one looks at it again.
        let said = points::areas::say(app, approval, answer).await;
        let state = approval.state.after(ApprovalMove::Do)?;
        return match said {
            Ok(()) => end(app, approval.id, state, "said".to_owned()).await,
            Err(error) => Err(error),
        };
    }
    let result = match asker(app, approval).await {
        Ok(asker) if approval.task.is_empty() => match check_allowed(app, &asker, approval).await {
            // Who asked does it now, with a second call.
            Ok(()) => return Ok(()),
            Err(error) => Err(error),
        },
        Ok(asker) => match task {
            Ok(task) => execute(app, approval, &asker, task).await,
            Err(_) => Err(refused("TASK_UNKNOWN", "this version does not know the task")),
        },
        Err(error) => Err(error),
    };
    let result = result.map_err(|error| match error {
        Error::Denied | Error::Unauthenticated => not_entitled(),
        error => error,
    });
    let (step, outcome) = match result {
        Ok(outcome) => (ApprovalMove::Do, outcome),
        Err(
            error @ (Error::NotFound { .. }
            | Error::Invalid(_)
            | Error::Precondition { .. }
            | Error::NotHome { .. }
            | Error::Exists { .. }
            | Error::TwoPersons),
        ) => (ApprovalMove::Fail, error.kind().1.to_owned()),
        Err(error) => {
            warn!(error = &error as &dyn std::error::Error, "not done yet");
            return Err(error);
        }
    };
    end(app, approval.id, approval.state.after(step)?, outcome).await
}

async fn end(app: &App, id: RecordId, state: ApprovalState, outcome: String) -> Result<()> {
    let app = app.clone();
    let ending = tokio::spawn(async move {
        approvals::end(&mut *app.db.local().await?, id, state, &outcome).await
    });
    ending.await.map_err(|_| Error::Busy)??;
    Ok(())
}

/// Both names are on what two persons have done.
fn deed(approval: &Approval) -> Deed {
    let actor = format!("{} + {}", approval.requested_by, approval.decided_by);
    let author = Author { actor, role: "two_persons", point: approval.point.to_string() };
    Deed { author, operation: approval.operation.clone(), purpose: "subject_request" }
}

fn not_entitled() -> Error {
    refused("ASKER_NOT_ENTITLED", "whoever asked may not do this any more · 申请人已无此权限")
}

/// Whoever asked, with the roles of now.
async fn asker(app: &App, approval: &Approval) -> Result<Caller> {
    let found = app.accounts.find_actor(&approval.requested_by, app.outside.now()).await?;
    found.ok_or_else(not_entitled)
}

/// May whoever asked do this at the approval's point?
fn check_asker(app: &App, asker: &Caller, operation: Operation, approval: &Approval) -> Result<()> {
    let reaches = asker.may(operation).is_ok();
    match reaches && sight::homes(app, asker, operation).contains(&approval.point) {
        true => Ok(()),
        false => Err(not_entitled()),
    }
}

/// Is what was asked for still allowed, where who asked does it afterwards?
async fn check_allowed(app: &App, asker: &Caller, approval: &Approval) -> Result<()> {
    let operation = Operation::ALL.iter().find(|known| known.name() == approval.operation);
    let operation = *operation.ok_or_else(not_entitled)?;
    check_asker(app, asker, operation, approval)?;
    match operation {
        Operation::AccessMember => {
            let member = RecordId::parse(&approval.subject, "member")?;
            members::own(app, asker, operation, member).await.map(drop)
        }
        Operation::AdmitPoint => {
            network::check_founder(app)?;
            network::check_admissible(app, &approval.subject.parse()?)
        }
        _ => Ok(()),
    }
}

async fn execute(app: &App, approval: &Approval, asker: &Caller, task: Task) -> Result<String> {
    let secure = || Deed { purpose: "security", ..deed(approval) };
    match task {
        Task::EraseMember { home, member } => {
            let home: PointCode = home.parse()?;
            let member = RecordId::parse(&member, "member")?;
            check_asker(app, asker, Operation::EraseMember, approval)?;
            members::check_erasable(app, asker, &home, member).await?;
            let erased = members::execute_erasure(app, deed(approval), &home, member).await?;
            Ok(format!("order={}", erased.order))
        }
        Task::EditPoint { point, request } => {
            check_asker(app, asker, Operation::ProposePoint, approval)?;
            let deed = Deed { purpose: "data_quality", ..deed(approval) };
            points::carry_out(app, deed, &point, &request).await?;
            Ok("entry changed".to_owned())
        }
        Task::RevokePoint { point, reason } => {
            check_asker(app, asker, Operation::RevokePoint, approval)?;
            network::put_out(app, secure(), point.parse()?, &reason).await?;
            Ok("put out".to_owned())
        }
        Task::SetRole { name, change } => {
            app.accounts.check_role(asker, &name, &change).await?;
            app.accounts.change_role(&name, &change, secure(), app.outside.now()).await?;
            Ok("role changed".to_owned())
        }
        Task::SayAreas(answer) => {
            points::areas::say(app, approval, &answer).await?;
            Ok("said".to_owned())
        }
        Task::AddUser { name, role, point, member, hash } => {
            let wanted = users::Wanted { name, role, point, member, hash };
            users::add_agreed(app, asker, (secure(), approval.id), wanted).await?;
            Ok("account added".to_owned())
        }
        Task::DisableUser { name } => {
            users::disable_agreed(app, asker, secure(), &name).await?;
            Ok("account disabled".to_owned())
        }
        Task::SetPassword { name, hash } => {
            users::set_password_agreed(app, asker, secure(), &name, hash).await?;
            Ok("password changed".to_owned())
        }
        Task::OfferHandoff { reference, to, summary, reason } => {
            let to = to.parse()?;
            let offer = handoffs::Offer { reference, to, summary, override_reason: reason };
            let deed = Deed { purpose: "service", ..deed(approval) };
            let handoff = handoffs::offer_agreed(app, asker, deed, offer).await?;
            Ok(format!("handoff={}", handoff.id))
        }
    }
}
