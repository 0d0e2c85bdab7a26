//! One link for life: whatever a client asks by its code is answered at any node. The point in the
//! reference knows where a request is, or where it went; each step is one question under the same
//! deadline, sealed to the point that it is for. A node on the way learns nothing.

use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;
use yizhan_proto::v1::{self, HelpLookup, HelpLookupAnswer, Letter, help_lookup, letter};

use super::stored::find;
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{self, Secret, Tracked},
    },
    domain::{
        handoff::HandoffMove,
        help_reference::Reference,
        help_state::HelpState,
        id::{PointCode, RecordId},
        policy::Operation,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
};

pub use help_lookup::Question;

/// All steps together.
const DEADLINE: Duration = Duration::from_secs(6);
/// One step: the next may still be worth asking for.
const STEP: Duration = Duration::from_secs(4);
/// Points that a request may have gone through.
const STEPS_MAX: usize = 16;
/// Tries of a consent that others keep overtaking.
const TRIES: usize = 8;

/// What a question came to.
enum Came {
    Shown(Box<v1::TrackHelpRequestResponse>),
    State(HelpState),
    /// Another point has it.
    PassedTo(PointCode),
}

pub async fn track(
    app: &App,
    caller: &Caller,
    request: v1::TrackHelpRequestRequest,
) -> Result<v1::TrackHelpRequestResponse> {
    match follow(app, caller, Question::Track(request)).await? {
        Came::Shown(shown) => Ok(*shown),
        Came::State(_) | Came::PassedTo(_) => Err(Error::NotFound { noun: "help request" }),
    }
}

pub async fn reply(
    app: &App,
    caller: &Caller,
    request: v1::ReplyToHelpRequestRequest,
) -> Result<HelpState> {
    state(follow(app, caller, Question::Reply(request)).await?)
}

pub async fn withdraw(
    app: &App,
    caller: &Caller,
    request: v1::WithdrawHelpRequestRequest,
) -> Result<HelpState> {
    state(follow(app, caller, Question::Withdraw(request)).await?)
}

pub async fn rate(
    app: &App,
    caller: &Caller,
    request: v1::RateHelpRequestRequest,
) -> Result<HelpState> {
    state(follow(app, caller, Question::Rate(request)).await?)
}

/// Sets where the client is told of news.
pub async fn set_notices(
    app: &App,
    caller: &Caller,
    request: v1::SetHelpNoticesRequest,
) -> Result<HelpState> {
    state(follow(app, caller, Question::Notices(request)).await?)
}

/// The client's word on a handoff.
pub async fn consent(
    app: &App,
    caller: &Caller,
    request: v1::ConsentHelpRequestRequest,
) -> Result<HelpState> {
    state(follow(app, caller, Question::Consent(request)).await?)
}

fn state(came: Came) -> Result<HelpState> {
    match came {
        Came::State(state) => Ok(state),
        Came::Shown(_) | Came::PassedTo(_) => Err(Error::NotFound { noun: "help request" }),
    }
}

/// Answers here, or asks along the way that the request has taken.
async fn follow(app: &App, caller: &Caller, question: Question) -> Result<Came> {
    caller.may(Operation::TrackHelpRequest)?;
    let reference = reference_of(&question)?;
    let mut next = match here(app, question.clone()).await {
        Ok(Came::PassedTo(owner)) => owner,
        // Known here to nobody with this code: the point in the reference may know.
        Err(Error::NotFound { noun }) => match intake_of(app, &reference).await? {
            Some(point) if !app.keys.is_home(&point) => point,
            _ => return Err(Error::NotFound { noun }),
        },
        done => return done,
    };
    let until = Instant::now() + DEADLINE;
    for _ in 0..STEPS_MAX {
        let came = match app.keys.is_home(&next) {
            true => here(app, question.clone()).await?,
            false => ask(app, &next, question.clone(), until).await?,
        };
        match came {
            Came::PassedTo(owner) if owner == next => break,
            Came::PassedTo(owner) => next = owner,
            came => return Ok(came),
        }
    }
    Err(unreachable(app, &next))
}

async fn ask(app: &App, to: &PointCode, question: Question, until: Instant) -> Result<Came> {
    let tracked = matches!(question, Question::Track(_));
    let letter =
        Letter { kind: Some(letter::Kind::HelpLookup(HelpLookup { question: Some(question) })) };
    let wait = until.saturating_duration_since(Instant::now()).min(STEP);
    let answer = app.post.ask(to, letter, wait).await.ok().and_then(|answer| answer.kind);
    let Some(letter::Kind::HelpLookupAnswer(answer)) = answer else {
        return Err(unreachable(app, to));
    };
    if answer.code != Code::Ok as i32 {
        return Err(refused(&answer));
    }
    if !answer.passed_to.is_empty() {
        return Ok(Came::PassedTo(answer.passed_to.parse().map_err(|_| unreachable(app, to))?));
    }
    match (tracked, answer.track) {
        (true, Some(shown)) => Ok(Came::Shown(Box::new(shown))),
        (true, None) => Err(unreachable(app, to)),
        (false, _) => Ok(Came::State(HelpState::from_number(answer.state, "state")?)),
    }
}

/// Nobody can say more, for a right code and for a wrong one. A neighbour is out of reach since its
/// link went down, others since their last word on their heads came in.
fn unreachable(app: &App, point: &PointCode) -> Error {
    let roster = app.keys.roster();
    let server = roster.server_of(point).unwrap_or(point);
    let heard = app.heads.heard(server).map(|heard| heard.at);
    let met = app.links.there_until(server, app.outside.now());
    let since = heard.max(met).map(|at| at.to_string()).unwrap_or_default();
    Error::OwnerUnavailable { point: point.to_string(), since }
}

/// What another point refuses is refused here in the same way.
fn refused(answer: &HelpLookupAnswer) -> Error {
    match Code::from(answer.code) {
        Code::NotFound => Error::NotFound { noun: "help request" },
        Code::InvalidArgument => Invalid::new("state", "move_refused").hint(&answer.message).into(),
        Code::FailedPrecondition => Error::Precondition {
            reason: known_reason(&answer.reason),
            message: answer.message.clone(),
        },
        _ => Error::Busy,
    }
}

fn known_reason(reason: &str) -> &'static str {
    ["NO_HANDOFF_ASKED", "MOVE_REFUSED", "READ_ONLY", "FROZEN"]
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("REFUSED_BY_OWNER")
}

/// Answers a question that another node passes on.
pub async fn answer_lookup(app: &App, lookup: HelpLookup) -> HelpLookupAnswer {
    let Some(question) = lookup.question else {
        return HelpLookupAnswer { code: Code::Unimplemented as i32, ..Default::default() };
    };
    match here(app, question).await {
        Ok(Came::Shown(shown)) => HelpLookupAnswer { track: Some(*shown), ..Default::default() },
        Ok(Came::State(state)) => HelpLookupAnswer { state: state.number(), ..Default::default() },
        Ok(Came::PassedTo(owner)) => {
            HelpLookupAnswer { passed_to: owner.to_string(), ..Default::default() }
        }
        Err(error) => {
            let (code, reason) = error.kind();
            HelpLookupAnswer {
                code: code as i32,
                reason: reason.to_owned(),
                message: error.to_string(),
                ..Default::default()
            }
        }
    }
}

/// Answers from what this node has. A wrong code takes the way of the right one, so that an owner
/// that cannot be reached is said to both.
async fn here(app: &App, question: Question) -> Result<Came> {
    let reference = reference_of(&question)?;
    match answered(app, question).await {
        Err(Error::NotFound { noun }) => match help_requests::stub_owner(app, &reference).await? {
            Some(owner) => Ok(Came::PassedTo(owner)),
            None => Err(Error::NotFound { noun }),
        },
        done => done,
    }
}

/// Answers whoever has the right code.
async fn answered(app: &App, question: Question) -> Result<Came> {
    let secret = secret_of(&question)?;
    let anybody = Caller::Anonymous;
    if !matches!(question, Question::Track(_))
        && let Some(owner) = help_requests::passed_to(app, &secret).await?
    {
        return Ok(Came::PassedTo(owner));
    }
    let state = match question {
        Question::Track(request) => {
            let limit = usize::try_from(request.message_limit)
                .map_err(|_| Invalid::new("message_limit", "negative"))?;
            return Ok(match help_requests::track(app, &anybody, &secret, limit).await? {
                Tracked::Here(shown) => Came::Shown(shown),
                Tracked::PassedTo(owner) => Came::PassedTo(owner),
            });
        }
        Question::Reply(request) => {
            let id = RecordId::parse(&request.message_id, "message_id")?;
            help_requests::reply(app, &anybody, &secret, id, request.sealed).await?
        }
        Question::Withdraw(_) => help_requests::withdraw(app, &anybody, &secret).await?,
        Question::Rate(request) => {
            let stars =
                u32::try_from(request.rating).map_err(|_| Invalid::new("rating", "negative"))?;
            help_requests::rate(app, &anybody, &secret, stars).await?
        }
        Question::Consent(request) => answer_offer(app, &secret, request.agree).await?,
        Question::Notices(request) => {
            help_requests::readers::set(app, &secret, request.sealed).await?
        }
    };
    Ok(Came::State(state))
}

/// The client agrees to a handoff, or does not; the same word again changes nothing.
async fn answer_offer(app: &App, secret: &Secret, agree: bool) -> Result<HelpState> {
    for _ in 0..TRIES {
        let stored = help_requests::owned(app, secret).await?;
        let none = || Error::Precondition {
            reason: "NO_HANDOFF_ASKED",
            message: "nobody has asked to pass this request on".into(),
        };
        let id = stored.request.handoff.ok_or_else(none)?;
        let mut noted = find(app, &stored.feed().home, id).await?.ok_or_else(none)?;
        if !noted.state()?.is_open() {
            return Err(none());
        }
        let now = app.outside.now();
        if agree && noted.handoff.consent_time.is_some() {
            return Ok(stored.request.state);
        }
        if agree {
            noted.handoff.consent_time = Some(crate::wire::value::time_message(now));
        }
        let step = if agree { HandoffMove::Consent } else { HandoffMove::Refuse };
        noted.step(step, now)?;
        match app.writer.commit(noted.put(Change::new())).await {
            Ok(_) => {
                app.help.post.notify_one();
                return Ok(stored.request.state);
            }
            Err(CommitError::Stale) => continue,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Busy)
}

/// The point whose node took the request in, by the short name in its reference.
async fn intake_of(app: &App, reference: &Reference) -> Result<Option<PointCode>> {
    let short = reference.as_str().split('-').next().unwrap_or("");
    let desks = app.help.desks.get(app).await?;
    Ok(desks.all.iter().find(|desk| desk.short == short).map(|desk| desk.code.clone()))
}

fn reference_of(question: &Question) -> Result<Reference> {
    Ok(Reference::parse(parts(question).0, "reference")?)
}

fn secret_of(question: &Question) -> Result<Secret> {
    let (reference, secret) = parts(question);
    Ok(Secret::parse(reference, secret.cloned())?)
}

fn parts(question: &Question) -> (&str, Option<&v1::HelpSecret>) {
    match question {
        Question::Track(q) => (&q.reference, q.secret.as_ref()),
        Question::Reply(q) => (&q.reference, q.secret.as_ref()),
        Question::Withdraw(q) => (&q.reference, q.secret.as_ref()),
        Question::Rate(q) => (&q.reference, q.secret.as_ref()),
        Question::Consent(q) => (&q.reference, q.secret.as_ref()),
        Question::Notices(q) => (&q.reference, q.secret.as_ref()),
    }
}
