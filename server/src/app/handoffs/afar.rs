//! One link for life: whatever a client asks by its code is answered at any node. The point in the
//! reference knows where a request is, or where it went; each step is one question under the same
//! deadline, sealed to the point that it is for. A node on the way learns nothing.

use std::time::Duration;

use prost::Message;
use tokio::time::Instant;
use tonic::Code;
use yizhan_proto::v1::{self, HelpLookup, HelpLookupAnswer, Letter, help_lookup, letter};

use super::stored::{find, in_work};
use crate::{
    app::{
        App,
        error::{Error, Result},
        help_requests::{self, Passed, Secret, Tracked, desks::short_of_code},
    },
    domain::{
        deputy::deputy_of,
        handoff::{HandoffMove, HandoffState, Side},
        help_reference::Reference,
        help_state::HelpState,
        id::{PointCode, RecordId},
        policy::Operation,
        routing::Desk,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    parcel::letters::routed_subject,
    store::{help_requests as help_requests_store, parcels},
};

pub use help_lookup::Question;

/// Reasons that others are asked to pass on.
const OWNER_REVOKED: &str = "OWNER_REVOKED";
const UNDER_WAY: &str = "UNDER_WAY";
/// All steps together.
const DEADLINE: Duration = Duration::from_secs(6);
/// One step: the next may still be worth asking for.
const STEP: Duration = Duration::from_secs(4);
/// Points that a request may have gone through.
const STEPS_MAX: usize = 16;
/// Points that are asked for one reference.
const INTAKES_MAX: usize = 3;
/// Tries of a consent that others keep overtaking.
const TRIES: usize = 8;

/// What a question came to.
enum Came {
    Shown(Box<v1::TrackHelpRequestResponse>),
    State(HelpState),
    /// Another point has it.
    PassedTo(Passed),
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
    let until = Instant::now() + DEADLINE;
    let unknown = match here(app, question.clone()).await {
        Ok(Came::PassedTo(passed)) => return walk(app, question, passed, until).await,
        Err(unknown @ Error::NotFound { .. }) => unknown,
        done => return done,
    };
    // Known here to nobody with this code: the point in the reference may know.
    for owner in intakes_of(app, &reference).await? {
        if app.keys.is_home(&owner) {
            continue;
        }
        if app.keys.roster().has_left(&owner) {
            return match deputy_of(&app.keys.roster(), &owner) {
                Some(deputy) if !app.keys.is_home(&deputy) => {
                    let passed = Passed::to(deputy, reference.clone());
                    match walk(app, question, passed, until).await {
                        Err(Error::NotFound { .. }) => Err(intake_left(&owner)),
                        done => done,
                    }
                }
                _ => Err(intake_left(&owner)),
            };
        }
        let passed = Passed::to(owner, reference.clone());
        match walk(app, question.clone(), passed, until).await {
            Err(Error::NotFound { .. }) => {}
            done => return done,
        }
    }
    Err(unknown)
}

/// Asks from point to point until one has the request.
async fn walk(app: &App, mut question: Question, first: Passed, until: Instant) -> Result<Came> {
    let mut next = first;
    for _ in 0..STEPS_MAX {
        ask_for(&mut question, &next.reference);
        let came = match app.keys.is_home(&next.owner) {
            true => led_here(app, question.clone()).await,
            false => ask(app, &next.owner, question.clone(), until).await,
        };
        let under_way = || Error::UnderWay { point: next.owner.to_string() };
        match came {
            // Whoever led there does not know that it has come: for a right code and for a wrong one.
            Err(Error::NotFound { .. }) if next.under_way => return Err(under_way()),
            Err(Error::Precondition { reason: OWNER_REVOKED, .. })
                if next.under_way || next.is_kept =>
            {
                return Err(under_way());
            }
            Ok(Came::PassedTo(passed)) if passed.owner == next.owner => break,
            Ok(Came::PassedTo(passed)) => next = passed,
            came => return came,
        }
    }
    Err(unreachable(app, &next.owner))
}

async fn ask(app: &App, to: &PointCode, question: Question, until: Instant) -> Result<Came> {
    let tracked = matches!(question, Question::Track(_));
    let asked = parts(&question).0.to_owned();
    let letter =
        Letter { kind: Some(letter::Kind::HelpLookup(HelpLookup { question: Some(question) })) };
    let wait = until.saturating_duration_since(Instant::now()).min(STEP);
    let answer = app.post.ask(to, letter, wait).await.ok().and_then(|answer| answer.kind);
    let Some(letter::Kind::HelpLookupAnswer(answer)) = answer else {
        return Err(unreachable(app, to));
    };
    if answer.code == Code::Unavailable as i32 {
        return Err(match answer.reason.as_str() {
            UNDER_WAY => Error::UnderWay { point: to.to_string() },
            _ => unreachable(app, to),
        });
    }
    if answer.code != Code::Ok as i32 {
        return Err(refused(&answer));
    }
    if !answer.passed_to.is_empty() {
        let asked =
            Some(answer.passed_reference).filter(|other| !other.is_empty()).unwrap_or(asked);
        let (owner, reference) = (answer.passed_to.parse(), Reference::parse(&asked, "reference"));
        let (Ok(owner), Ok(reference)) = (owner, reference) else {
            return Err(unreachable(app, to));
        };
        let (under_way, is_kept) = (answer.under_way, answer.kept);
        return Ok(Came::PassedTo(Passed { under_way, is_kept, ..Passed::to(owner, reference) }));
    }
    match (tracked, answer.track) {
        (true, Some(shown)) => Ok(Came::Shown(Box::new(shown))),
        (true, None) => Err(unreachable(app, to)),
        (false, _) => Ok(Came::State(HelpState::from_number(answer.state, "state")?)),
    }
}

/// Nobody can say more, for a right code and for a wrong one. A neighbour is out of reach since its
/// link went down, others since their last word on their heads came in. An owner that has left the
/// network will not come back: a request that was on its way to it is nowhere any more.
fn unreachable(app: &App, point: &PointCode) -> Error {
    let roster = app.keys.roster();
    if roster.is_revoked(point) {
        return Error::Precondition {
            reason: OWNER_REVOKED,
            message: format!(
                "承办联络点 {point} 已退出网络，请重新提交求助 · {point}, which was to handle this, has \
                 left the network: please submit it again"
            ),
        };
    }
    let server = roster.server_of(point).unwrap_or(point);
    let heard = app.heads.heard(server).map(|heard| heard.at);
    let met = app.links.there_until(server, app.outside.now());
    let since = heard.max(met).map(|at| at.to_string()).unwrap_or_default();
    Error::OwnerUnavailable { point: point.to_string(), since }
}

/// Whoever took it in knew where it went, and does not answer any more: said for right codes and wrong ones,
/// and for references that never were. Its owner still leads every right code to it.
fn intake_left(point: &PointCode) -> Error {
    Error::Precondition {
        reason: OWNER_REVOKED,
        message: format!(
            "接收这份求助的联络点 {point} 已退出网络：请在承办联络点查询，或重新提交 · {point}, which took \
             this in, has left the network: ask at the point that handles it, or submit it again"
        ),
    }
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
    ["NO_HANDOFF_ASKED", "MOVE_REFUSED", "READ_ONLY", "FROZEN", OWNER_REVOKED]
        .into_iter()
        .find(|known| *known == reason)
        .unwrap_or("REFUSED_BY_OWNER")
}

/// Answers a question that another node passes on.
pub async fn answer_lookup(app: &App, lookup: HelpLookup) -> HelpLookupAnswer {
    let Some(question) = lookup.question else {
        return HelpLookupAnswer { code: Code::Unimplemented as i32, ..Default::default() };
    };
    match led_here(app, question).await {
        Ok(Came::Shown(shown)) => HelpLookupAnswer { track: Some(*shown), ..Default::default() },
        Ok(Came::State(state)) => HelpLookupAnswer { state: state.number(), ..Default::default() },
        Ok(Came::PassedTo(passed)) => HelpLookupAnswer {
            passed_to: passed.owner.to_string(),
            passed_reference: passed.reference.to_string(),
            under_way: passed.under_way,
            kept: passed.is_kept,
            ..Default::default()
        },
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
        Ok(Came::PassedTo(passed)) => Ok(Came::PassedTo(on_its_way(app, passed).await?)),
        Err(Error::NotFound { noun }) => match stub_of(app, &reference).await? {
            Some(passed) => Ok(Came::PassedTo(on_its_way(app, passed).await?)),
            None if app.help.apart.may_be(app).await? => {
                // It may lie beside the feeds, or come back with them.
                let intakes = intakes_of(app, &reference).await?;
                match intakes.iter().find(|point| app.keys.is_home(point)) {
                    Some(point) => Err(unreachable(app, point)),
                    None => Err(Error::NotFound { noun }),
                }
            }
            None => Err(Error::NotFound { noun }),
        },
        done => done,
    }
}

/// Where a request went: by a stub of ours, or by our copy of one whose home has left the network.
async fn stub_of(app: &App, reference: &Reference) -> Result<Option<Passed>> {
    if let Some(passed) = help_requests::stub_of(app, reference).await? {
        return Ok(Some(passed));
    }
    let roster = app.keys.roster();
    let copies = {
        let mut db = app.db.reader().await?;
        help_requests_store::list_leads(&mut db, reference.as_str()).await?
    };
    for (home, stub) in copies {
        let has_left = home.parse().is_ok_and(|home| roster.has_left(&home));
        let Ok(stub) = v1::HelpStub::decode(&stub[..]) else { continue };
        // What it still had to send, or to be told of, nobody sends any more.
        let is_there = stub.parcel.is_none() && stub.kept.is_none();
        if let (true, true, Ok(owner)) = (has_left, is_there, stub.owner.parse()) {
            return Ok(Some(Passed::to(owner, reference.clone())));
        }
    }
    Ok(None)
}

/// What was routed elsewhere is under way until its parcel was settled.
async fn on_its_way(app: &App, mut passed: Passed) -> Result<Passed> {
    if passed.is_routed && !passed.under_way {
        let (reference, mut db) = (passed.reference.as_str(), app.db.reader().await?);
        let subject = routed_subject(reference);
        for home in app.keys.homes() {
            passed.under_way |=
                parcels::is_outgoing(&mut db, &home, &passed.owner, &subject).await?;
        }
        passed.under_way |= help_requests_store::is_unsent(&mut db, reference).await?;
    }
    Ok(passed)
}

/// The same for who was led here. A request that was promised to be taken over here may be on its way:
/// then nobody can say more, for a right code and for a wrong one.
async fn led_here(app: &App, question: Question) -> Result<Came> {
    let reference = reference_of(&question)?;
    match here(app, question).await {
        Err(Error::NotFound { noun }) => match awaiting(app, &reference).await? {
            Some(home) => Err(unreachable(app, &home)),
            None => match arriving(app, &reference).await? {
                Some(point) => Err(Error::UnderWay { point }),
                None => Err(Error::NotFound { noun }),
            },
        },
        done => done,
    }
}

/// The owner of a request that has come by parcel and is not in its feed yet.
async fn arriving(app: &App, reference: &Reference) -> Result<Option<String>> {
    let mut db = app.db.reader().await?;
    Ok(help_requests_store::arriving(&mut db, reference.as_str()).await?)
}

/// The home that has promised to take over a request and does not have it yet.
async fn awaiting(app: &App, reference: &Reference) -> Result<Option<PointCode>> {
    for home in app.keys.homes() {
        for noted in in_work(app, &home).await? {
            let is_it = noted.side() == Side::Destination
                && noted.handoff.reference == reference.as_str()
                && noted.state()? == HandoffState::Accepted;
            if is_it {
                return Ok(Some(home));
            }
        }
    }
    Ok(None)
}

/// Answers whoever has the right code.
async fn answered(app: &App, question: Question) -> Result<Came> {
    let secret = secret_of(&question)?;
    let anybody = Caller::Anonymous;
    if !matches!(question, Question::Track(_))
        && let Some(passed) = help_requests::passed_to(app, &secret).await?
    {
        return Ok(Came::PassedTo(passed));
    }
    let state = match question {
        Question::Track(request) => {
            let limit = usize::try_from(request.message_limit)
                .map_err(|_| Invalid::new("message_limit", "negative"))?;
            return Ok(match help_requests::track(app, &anybody, &secret, limit).await? {
                Tracked::Here(shown) => Came::Shown(shown),
                Tracked::PassedTo(passed) => Came::PassedTo(passed),
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

/// Points whose node may have taken the request in, by the short name in its reference: whoever is
/// called that today, then whoever was, in the directory or before that named it, then whoever has left
/// the network.
pub async fn intakes_of(app: &App, reference: &Reference) -> Result<Vec<PointCode>> {
    let short = reference.as_str().split('-').next().unwrap_or("");
    let desks = app.help.desks.get(app).await?;
    let today = desks.all.iter().filter(|desk| desk.short == short);
    let was = |desk: &&Desk| {
        desk.former_shorts.iter().any(|former| former == short)
            || short_of_code(&desk.code) == short
    };
    let before = desks.all.iter().filter(|desk| desk.short != short).filter(was);
    let left = desks.left.iter().filter(|desk| desk.short == short || was(desk));
    let all = today.chain(before).chain(left);
    Ok(all.take(INTAKES_MAX).map(|desk| desk.code.clone()).collect())
}

/// The same question about another reference.
fn ask_for(question: &mut Question, reference: &Reference) {
    let asked = match question {
        Question::Track(q) => &mut q.reference,
        Question::Reply(q) => &mut q.reference,
        Question::Withdraw(q) => &mut q.reference,
        Question::Rate(q) => &mut q.reference,
        Question::Consent(q) => &mut q.reference,
        Question::Notices(q) => &mut q.reference,
    };
    reference.as_str().clone_into(asked);
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
