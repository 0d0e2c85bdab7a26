//! Reading the audit, as far as the caller's role lets it, and checking the whole chain.

use crate::{
    app::{
        App,
        error::{Error, Result},
        sight::reach_here,
    },
    domain::{
        audit::{Checker, Line, Report},
        id::RecordId,
        page::{Question, page_size},
        policy::{Operation, Reach, Role},
        text::{Invalid, line},
        time::Time,
    },
    identity::caller::Caller,
    store::{StoreError, audit},
};

/// Lines checked in one read.
const BATCH: usize = 10_000;
/// Longest actor that is asked for, in characters.
const ACTOR_MAX: usize = 128;

/// Which lines somebody asks for.
#[derive(Default, Debug)]
pub struct Asked {
    pub record: Option<RecordId>,
    pub actor: String,
    pub from: Option<Time>,
    /// Before.
    pub to: Option<Time>,
    pub page_size: i32,
    pub page_token: String,
}

pub struct Page {
    pub lines: Vec<Line>,
    pub next_page_token: String,
}

/// Lists lines, newest first: the own record's to a member, the own acts to staff, the point's to
/// its admin, all to who audits.
pub async fn list(app: &App, caller: &Caller, asked: Asked) -> Result<Page> {
    caller.may(Operation::ReadAudit)?;
    let reach = reach_here(app, caller, Operation::ReadAudit);
    let size = page_size(asked.page_size)?;
    let actor = line(&asked.actor, "actor", ACTOR_MAX)?;
    if asked.from.zip(asked.to).is_some_and(|(from, to)| to <= from) {
        return Err(Invalid::new("to", "end_before_start").into());
    }
    let mut wanted = audit::Wanted {
        record: asked.record,
        actor: (!actor.is_empty()).then_some(actor),
        point: None,
        from: asked.from,
        to: asked.to,
    };
    if !narrow(app, caller, reach, &mut wanted)? {
        return Ok(Page { lines: Vec::new(), next_page_token: String::new() });
    }
    let question = Question::new("audit")
        .with(&wanted.record.map(|id| id.to_string()).unwrap_or_default())
        .with(wanted.actor.as_deref().unwrap_or_default())
        .with(wanted.point.as_deref().unwrap_or_default())
        .with(&format!("{:?} {:?}", wanted.from, wanted.to));
    let below = question.place(&asked.page_token)?.map_or(u64::MAX, u64::from_be_bytes);
    let db = &mut *app.db.reader().await?;
    let mut lines = audit::list(db, &wanted, below, size + 1).await?;
    let mut next_page_token = String::new();
    if lines.len() > size {
        lines.truncate(size);
        let last = lines.last().map_or(0, |line| line.number);
        next_page_token = question.token(&last.to_be_bytes());
    }
    app.audit.looked_at_network(caller, Operation::ReadAudit).await?;
    Ok(Page { lines, next_page_token })
}

/// Cuts a question down to what the caller may see; false if that is nothing.
fn narrow(app: &App, caller: &Caller, reach: Reach, wanted: &mut audit::Wanted) -> Result<bool> {
    match (reach, caller.role()) {
        (Reach::Everything, _) => {}
        (Reach::OwnPoint | Reach::Network, _) => {
            let point = caller.point().ok_or(Error::Denied)?;
            if *point != app.keys.point {
                wanted.point = Some(point.to_string());
            }
        }
        // Who looked at the own record: everybody who has one may know.
        (Reach::Own, _) if wanted.record.is_some() && wanted.record == caller.member() => {}
        (Reach::Own, Role::Member) => {
            let own = caller.member().ok_or(Error::NotFound { noun: "member" })?;
            if wanted.record.is_some() {
                return Err(Error::NotFound { noun: "member" });
            }
            wanted.record = Some(own);
        }
        (Reach::Own, _) => {
            let own = caller.author().actor;
            if wanted.actor.as_ref().is_some_and(|asked| *asked != own) {
                return Ok(false);
            }
            wanted.actor = Some(own);
        }
        (Reach::Nothing | Reach::Public | Reach::Assigned, _) => return Err(Error::Denied),
    }
    Ok(true)
}

/// Checks the chain from its first line to its last.
pub async fn verify(app: &App, caller: &Caller) -> Result<Report> {
    caller.may(Operation::VerifyAudit)?;
    Ok(verify_all(app).await?)
}

/// The check itself. The mark is read first: what is appended meanwhile comes after it.
pub async fn verify_all(app: &App) -> Result<Report, StoreError> {
    let mark = app.audit.mark.get();
    let db = &mut *app.db.reader().await?;
    let base = audit::base(db).await?;
    let mut checker = Checker::new(base, mark);
    let mut after = base.number;
    loop {
        let lines = audit::after(db, after, BATCH).await?;
        for line in &lines {
            checker.line(line);
        }
        match lines.last() {
            Some(last) if lines.len() == BATCH => after = last.number,
            _ => return Ok(checker.finish()),
        }
    }
}
