//! Whom a point serves is the province's word: what is proposed at a point with a node of its own goes
//! to the provincial point, and that one's word comes back.
//!
//! The proposal itself stays at the point. The province is told which areas it names and a hash of it;
//! its word names the same hash, and sets off what was proposed and nothing else.

use prost::Message;
use tracing::warn;
use yizhan_proto::v1::{self, AreaWord, Letter, area_word::Kind, letter};

use crate::{
    app::{
        App,
        approvals::Task,
        error::{Error, Result},
    },
    domain::{
        approval::{Approval, ApprovalMove, ApprovalState, OPEN_US},
        audit::{Author, Deed},
        id::PointCode,
        kind::Kind as RecordKind,
        policy::Operation,
        time::Time,
    },
    parcel::{
        office::SendError,
        words::{AREA_TEXT_MAX, AREAS_MAX},
    },
    store::{
        StoreError, approvals, audit,
        words::{self, Channel, Word},
    },
    wire::value::{self, time_message},
};

/// Proposals and words of one run.
const AT_ONCE: u32 = 256;
/// Proposals of one point that wait at the province at a time.
const WAITING_MAX: i64 = 64;
/// Longest name of whoever asked or agreed, in bytes.
const NAME_MAX: usize = 200;

/// The province's word, once somebody there has agreed.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Answer {
    /// Code of the point that has proposed.
    pub point: String,
    /// Hash of what it has proposed, in hex.
    pub hash: String,
}

/// Tells the provincial point what waits here for its word.
pub async fn forward(app: &App) -> Result<()> {
    let operation = Operation::ApproveAreas.name();
    let waiting = {
        let db = &mut *app.db.reader().await?;
        approvals::list_unforwarded(db, &operation, AT_ONCE).await?
    };
    for approval in waiting {
        if let Err(error) = forward_one(app, &approval).await {
            let error = &error as &dyn std::error::Error;
            warn!(error, "a proposal waits to be sent to the province");
        }
    }
    Ok(())
}

async fn forward_one(app: &App, approval: &Approval) -> Result<()> {
    let roster = app.keys.roster();
    let province = roster.province_of(&approval.point).map(|entry| entry.code.clone());
    // Where the province's people have their accounts on this very node, they see it here.
    let Some(province) = province.filter(|code| !app.keys.is_home(code)) else { return Ok(()) };
    let Ok(Task::EditPoint { request, .. }) = serde_json::from_str(&approval.task) else {
        return Ok(());
    };
    let Some((hash, areas)) = proposed(&request) else { return Ok(()) };
    let word = AreaWord {
        approval: approval.id.0.to_vec(),
        kind: Kind::Propose.into(),
        proposal_hash: hash.to_vec(),
        areas,
        by: approval.requested_by.clone(),
        expire_time: Some(time_message(approval.expires)),
    };
    let letter = Letter { kind: Some(letter::Kind::AreaWord(word)) };
    let (app, id, point) = (app.clone(), approval.id, approval.point.clone());
    // Both or neither: an answer may come at once. In a task of its own: a stop must not leave a
    // transaction open.
    let sending = tokio::spawn(async move {
        let mut tx = app.db.begin().await?;
        app.post.write(tx.connection(), &point, &province, &letter).await.map_err(unsent)?;
        approvals::forwarded(tx.connection(), id, province.as_str()).await?;
        tx.commit().await?;
        app.post.written(&point, &province);
        Ok(())
    });
    sending.await.map_err(|_| Error::Busy)?
}

fn unsent(error: SendError) -> Error {
    match error {
        SendError::Storage(error) => error.into(),
        error => Error::Precondition { reason: "NOT_SENT", message: error.to_string() },
    }
}

async fn send(app: &App, from: &PointCode, to: &PointCode, letter: Letter) -> Result<()> {
    app.post.send(from.clone(), to.clone(), letter).await.map_err(unsent)
}

/// The hash of what is proposed, and the areas that it names, for people.
fn proposed(request: &str) -> Option<([u8; 32], Vec<String>)> {
    let bytes = hex::decode(request).ok()?;
    let message = v1::UpdatePointRequest::decode(&bytes[..]).ok()?;
    let areas = message.point?.areas.into_iter().take(AREAS_MAX).map(|area| {
        let mut text = area.prefix;
        if !area.languages.is_empty() {
            text = format!("{text}:{}", area.languages.join("+"));
        }
        if area.priority > 0 {
            text = format!("{text}@{}", area.priority);
        }
        text.chars().take(AREA_TEXT_MAX).collect()
    });
    Some((*blake3::hash(&bytes).as_bytes(), areas.collect()))
}

/// Enters proposals of other points, and the province's words on ours. One that was entered twice was
/// entered once.
pub async fn enter(app: &App) -> Result<()> {
    let waiting = {
        let db = &mut *app.db.reader().await?;
        words::list(db, Channel::Areas, 1..=2, AT_ONCE).await?
    };
    for word in waiting {
        let app = app.clone();
        let entering = tokio::spawn(async move { enter_one(&app, &word).await });
        entering.await.map_err(|_| Error::Busy)??;
    }
    Ok(())
}

async fn enter_one(app: &App, arrived: &Word) -> Result<()> {
    let now = app.outside.now();
    let entry = read(arrived, now);
    let mut tx = app.db.begin().await?;
    let dialect = tx.dialect;
    let db = tx.connection();
    let done = match entry {
        Some(Entry::Proposal(approval)) => {
            let from = &arrived.sender;
            let open = approvals::count_open_by(db, &format!("{from} ")).await?;
            open < WAITING_MAX && approvals::insert_once(db, &approval).await?
        }
        Some(Entry::Word { hash, by }) => {
            agreed(db, arrived, &hash).await?
                && approvals::give(db, arrived.subject, &by, now).await?
        }
        None => {
            warn!(from = %arrived.sender, "a word on areas that cannot be read");
            false
        }
    };
    if done {
        let outcome = match arrived.kind == Kind::Propose as i64 {
            true => "approval_asked",
            false => "approval_given",
        };
        let actor = format!("peer {}", arrived.sender);
        let author = Author { actor, role: "peer", point: arrived.sender.clone() };
        let operation = Operation::ApproveAreas.name();
        let deed = Deed { author, operation, purpose: "data_quality" };
        let acts = [deed.act(RecordKind(0), arrived.subject, outcome)];
        audit::append(db, dialect, &acts, now, app.outside.random()).await?;
    }
    words::delete(db, Channel::Areas, arrived).await?;
    tx.commit().await?;
    Ok(())
}

enum Entry {
    Proposal(Box<Approval>),
    Word { hash: Vec<u8>, by: String },
}

/// None of what does not keep to the rules.
fn read(arrived: &Word, now: Time) -> Option<Entry> {
    let word = AreaWord::decode(&arrived.word[..]).ok()?;
    let by = format!("{} {}", arrived.sender, word.by);
    if by.len() > NAME_MAX || by.chars().any(char::is_control) {
        return None;
    }
    if word.kind() == Kind::Approve {
        return Some(Entry::Word { hash: word.proposal_hash, by });
    }
    let hash = hex::encode(&word.proposal_hash);
    let task = Task::SayAreas(Answer { point: arrived.sender.clone(), hash });
    let asked = word.expire_time.and_then(|time| value::time(time, "expire_time").ok());
    let latest = Time(now.0 + OPEN_US);
    let areas = if word.areas.is_empty() { "-".to_owned() } else { word.areas.join(" ") };
    Some(Entry::Proposal(Box::new(Approval {
        id: arrived.subject,
        operation: Operation::ApproveAreas.name(),
        subject: format!("{}: {areas}", arrived.sender),
        task: serde_json::to_string(&task).ok()?,
        point: arrived.owner.parse().ok()?,
        requested_by: by,
        requested: now,
        expires: asked.map_or(latest, |asked| asked.min(latest)),
        state: ApprovalState::Open,
        decided_by: String::new(),
        decided: None,
        outcome: String::new(),
    })))
}

/// Is it the word of whoever was asked, on what is still proposed?
async fn agreed(
    db: &mut words::Connection,
    arrived: &Word,
    hash: &[u8],
) -> Result<bool, StoreError> {
    let Some((approval, asked)) = approvals::find_forwarded(db, arrived.subject).await? else {
        return Ok(false);
    };
    let is_open = approval.state.after(ApprovalMove::Give).is_ok();
    let task = serde_json::from_str(&approval.task);
    let Ok(Task::EditPoint { request, .. }) = task else { return Ok(false) };
    let same = proposed(&request).is_some_and(|(known, _)| known[..] == *hash);
    Ok(is_open && same && asked == arrived.sender && approval.point.as_str() == arrived.owner)
}

/// Sends the province's word. Sent twice, it is heard once.
pub async fn say(app: &App, approval: &Approval, answer: &Answer) -> Result<()> {
    let point: PointCode = answer.point.parse()?;
    let word = AreaWord {
        approval: approval.id.0.to_vec(),
        kind: Kind::Approve.into(),
        proposal_hash: hex::decode(&answer.hash).unwrap_or_default(),
        by: approval.decided_by.clone(),
        ..AreaWord::default()
    };
    let letter = Letter { kind: Some(letter::Kind::AreaWord(word)) };
    send(app, &approval.point, &point, letter).await
}
