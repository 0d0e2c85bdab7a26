//! What a client does with its reference and tracking code. Whoever does not hold the code learns
//! nothing, not even whether there is such a request.

use subtle::ConstantTimeEq;
use yizhan_proto::v1::{self, sealed_message::Author};

use super::{
    desks::Desks,
    leading_on,
    stored::{self, NewMessage, Stored, amend, in_order, message_records, not_found, with_lookup},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        handoffs,
        records::Found,
    },
    domain::{
        help_category::{Answer, HelpCategory},
        help_reference::Reference,
        help_request::{HelpRequest, SEALED_MAX},
        help_state::{HelpMove, HelpState},
        id::{PointCode, RecordId},
        kind::Kind,
        language::Language,
        policy::Operation,
        text::Invalid,
    },
    identity::caller::Caller,
    wire::{
        help_request::{clock_message, rating, route_message, secret_hashes},
        value::{texts_message, time_message},
    },
};

/// Messages that are shown unless more are asked for.
const MESSAGES_DEFAULT: usize = 50;
pub const MESSAGES_MAX: usize = 200;
/// Languages that everything is told in.
const TAGS: [&str; 3] = ["zh-Hans", "zh-Hant", "en"];

/// A reference, and what was derived from the code that belongs to it.
pub struct Secret {
    reference: Reference,
    lookup_hash: [u8; 32],
    mac_hash: [u8; 32],
}

impl Secret {
    /// A mistyped reference is told as such, before anything is looked up.
    pub fn parse(reference: &str, secret: Option<v1::HelpSecret>) -> Result<Secret, Invalid> {
        let reference = Reference::parse(reference, "reference")?;
        let (lookup_hash, mac_hash) = secret_hashes(secret)?;
        Ok(Secret { reference, lookup_hash, mac_hash })
    }

    fn fits(&self, reference: &str, lookup_hash: &[u8], mac_hash: &[u8]) -> bool {
        let same = lookup_hash.ct_eq(&self.lookup_hash) & mac_hash.ct_eq(&self.mac_hash);
        bool::from(same) && reference == self.reference.as_str()
    }
}

/// What a code leads to.
enum Led {
    /// With the newest messages that were found on the way.
    Here(Box<Stored>, Vec<Found>),
    /// To a request that another point handles.
    On(Box<v1::HelpStub>),
}

/// Doubles of doubles that are followed.
const DOUBLES_MAX: usize = 4;

/// Looks up by the code alone: an unknown reference and a wrong code take the same way.
async fn lead(app: &App, secret: &Secret, messages: usize) -> Result<Led> {
    let (mut here, mut on, mut leaving, mut said) = (None, None, None, Vec::new());
    for found in with_lookup(app, &secret.lookup_hash, messages).await? {
        let has_left = has_left(app, &found);
        match found.row.kind {
            Kind::HELP_REQUEST => {
                let stored = Stored::of(found)?;
                let request = &stored.request;
                let reference = request.reference.as_str();
                if secret.fits(reference, &request.lookup_hash, &request.mac_hash) {
                    match has_left {
                        true => {
                            leaving = Some(leading_on::on_its_way(&stored.feed().home, request));
                        }
                        false => here = Some(stored),
                    }
                }
            }
            Kind::HELP_STUB => {
                let stub: v1::HelpStub = found.message()?;
                if secret.fits(&stub.reference, &stub.lookup_hash, &stub.mac_hash) {
                    match has_left {
                        true => leaving = Some(leading_on::to_home(&found.feed.home, stub)),
                        false => on = Some(stub),
                    }
                }
            }
            _ => said.push(found),
        }
    }
    match (here, on.or(leaving)) {
        (Some(stored), _) => instead(app, stored, (said, messages)).await,
        (None, Some(stub)) => Ok(Led::On(Box::new(stub))),
        (None, None) => Err(not_found()),
    }
}

/// Does it belong to a home that has a node of its own by now?
fn has_left(app: &App, found: &Found) -> bool {
    !app.keys.is_home(&found.feed.home)
}

/// The request that goes on in the place of a client's double: a code leads to it by either reference.
/// Of a double whose other has another client, or is gone, itself, with what it has `said`.
async fn instead(app: &App, double: Stored, (said, messages): (Vec<Found>, usize)) -> Result<Led> {
    let (double_id, mut led) = (double.id(), double);
    for _ in 0..DOUBLES_MAX {
        match other(app, &led).await? {
            Some(Led::Here(other, _)) if is_clients(&led, &other.request.lookup_hash) => {
                led = *other;
            }
            Some(Led::On(stub)) if is_clients(&led, &stub.lookup_hash) => return Ok(Led::On(stub)),
            Some(_) | None => break,
        }
    }
    let said = match led.id() == double_id {
        true => said,
        false => message_records(app, led.id(), messages).await?,
    };
    Ok(Led::Here(Box::new(led), said))
}

/// The request that goes on in a double's place, at the double's point or passed on from there.
async fn other(app: &App, double: &Stored) -> Result<Option<Led>> {
    let Some(of) = &double.request.duplicate_of else { return Ok(None) };
    for found in stored::with_reference(app, of).await? {
        match found.row.kind {
            _ if found.feed != *double.feed() => (),
            Kind::HELP_REQUEST => {
                return Ok(Some(Led::Here(Box::new(Stored::of(found)?), Vec::new())));
            }
            Kind::HELP_STUB => return Ok(Some(Led::On(Box::new(found.message()?)))),
            _ => (),
        }
    }
    Ok(None)
}

/// Does the same code lead to both?
fn is_clients(double: &Stored, lookup_hash: &[u8]) -> bool {
    double.request.lookup_hash == lookup_hash
}

/// Where a request was passed to, and the reference to ask for there.
pub struct Passed {
    pub owner: PointCode,
    pub reference: Reference,
    /// It was routed there when it was taken in, and not released.
    pub is_routed: bool,
    /// So it was, and is not known to have come.
    pub under_way: bool,
    /// It was released there, and is not known to have come: what is kept of it can come back.
    pub is_kept: bool,
}

impl Passed {
    /// To a point that may have it, for all that is known here.
    pub fn to(owner: PointCode, reference: Reference) -> Passed {
        Passed { owner, reference, is_routed: false, under_way: false, is_kept: false }
    }

    fn of(stub: &v1::HelpStub) -> Result<Passed> {
        Ok(Passed {
            owner: stub.owner.parse().map_err(Error::from)?,
            reference: Reference::parse(&stub.reference, "reference")?,
            is_routed: stub.owner_number == 0,
            under_way: stub.parcel.is_some(),
            is_kept: stub.kept.is_some(),
        })
    }
}

/// Where a request was passed to, if it is not here any more; none if it is here.
pub async fn passed_to(app: &App, secret: &Secret) -> Result<Option<Passed>> {
    match lead(app, secret, 0).await? {
        Led::Here(..) => Ok(None),
        Led::On(stub) => Ok(Some(Passed::of(&stub)?)),
    }
}

/// Where the request of a reference was passed to, whatever the code; none if it is not known to have
/// been.
pub async fn stub_of(app: &App, reference: &Reference) -> Result<Option<Passed>> {
    let mut found = stored::with_reference(app, reference).await?;
    // What leads on from our own feeds first, as for who has the code.
    found.sort_by_key(|found| has_left(app, found));
    for found in found {
        match found.row.kind {
            Kind::HELP_STUB if has_left(app, &found) => {
                let stub = leading_on::to_home(&found.feed.home, found.message()?);
                return Ok(Some(Passed::of(&stub)?));
            }
            Kind::HELP_STUB => return Ok(Some(Passed::of(&found.message()?)?)),
            Kind::HELP_REQUEST if has_left(app, &found) => {
                let stored = Stored::of(found)?;
                let stub = leading_on::on_its_way(&stored.feed().home, &stored.request);
                return Ok(Some(Passed::of(&stub)?));
            }
            Kind::HELP_REQUEST => {
                if let Led::On(stub) = instead(app, Stored::of(found)?, (Vec::new(), 0)).await? {
                    return Ok(Some(Passed::of(&stub)?));
                }
            }
            _ => (),
        }
    }
    Ok(None)
}

/// The request that a code leads to, at its owner.
pub async fn owned(app: &App, secret: &Secret) -> Result<Box<Stored>> {
    match lead(app, secret, 0).await? {
        Led::Here(stored, _) => Ok(stored),
        Led::On(stub) => Err(Error::Precondition {
            reason: "HANDLED_ELSEWHERE",
            message: format!("the request is handled by {}: write to that point", stub.owner),
        }),
    }
}

/// How a request stands, or where it went.
pub enum Tracked {
    Here(Box<v1::TrackHelpRequestResponse>),
    PassedTo(Passed),
}

pub async fn track(app: &App, caller: &Caller, secret: &Secret, limit: usize) -> Result<Tracked> {
    caller.may(Operation::TrackHelpRequest)?;
    let limit = if limit == 0 { MESSAGES_DEFAULT } else { limit.min(MESSAGES_MAX) };
    match lead(app, secret, limit).await? {
        Led::Here(stored, said) => Ok(Tracked::Here(Box::new(shown(app, *stored, &said).await?))),
        Led::On(stub) => Ok(Tracked::PassedTo(Passed::of(&stub)?)),
    }
}

async fn shown(app: &App, stored: Stored, said: &[Found]) -> Result<v1::TrackHelpRequestResponse> {
    let (id, feed) = (stored.id(), stored.feed().clone());
    let desks = app.help.desks.get(app).await?;
    let (label_code, labels) = match other(app, &stored).await? {
        // Of somebody else's request no more is told than how it stands.
        Some(Led::Here(other, _)) => labels(&other.request, &feed.home, &desks),
        Some(Led::On(stub)) => passed_on(&stub.owner.parse().map_err(Error::from)?, &desks),
        None => labels(&stored.request, &feed.home, &desks),
    };
    let request = stored.request;
    let hours = desks.hours(&feed.home);
    let now = app.outside.now();
    let shown =
        in_order(said, &feed)?.into_iter().filter(|(_, message)| message.author() != Author::Note);
    let (closes, deleted) = super::retention::plan(app, &request);
    let handoff_asked = match request.handoff {
        Some(handoff) => handoffs::asked(app, &feed.home, handoff).await?,
        None => None,
    };
    let names = |point: &PointCode| {
        let desk = desks.find(point);
        desk.map(|desk| texts_message(desk.names.clone())).unwrap_or_default()
    };
    Ok(v1::TrackHelpRequestResponse {
        reference: request.reference.to_string(),
        state: request.state.number(),
        label_code,
        labels,
        owner: feed.home.to_string(),
        owner_names: names(&feed.home),
        messages: shown
            .map(|(id, message)| v1::SealedMessage {
                id: id.to_string(),
                author: message.author,
                time: message.time,
                sealed: message.sealed,
            })
            .collect(),
        clocks: request.clocks.0.iter().map(|clock| clock_message(clock, now, &hours)).collect(),
        client_wrap: request.client_wrap,
        content: request.content,
        id: id.to_string(),
        redirect: request.redirect,
        duplicate_of: request.duplicate_of.map(|of| of.to_string()).unwrap_or_default(),
        received_time: Some(time_message(request.received)),
        language: request.language.to_string(),
        route: Some(route_message(request.route)),
        close_due_time: closes.map(time_message),
        delete_due_time: deleted.map(time_message),
        handoff_asked: handoff_asked.map(|asked| v1::HandoffAsked {
            names: asked.to.parse().map(|to| names(&to)).unwrap_or_default(),
            summary: asked.preview.map(|preview| preview.summary).unwrap_or_default(),
            to: asked.to,
            expire_time: asked.expire_time,
        }),
    })
}

/// What a client is told of its request; that it was passed on, until the new owner takes it up.
fn labels(request: &HelpRequest, owner: &PointCode, desks: &Desks) -> (String, Vec<v1::LocalText>) {
    let waits = request.state == HelpState::WaitingClient;
    if request.passed.is_some() && request.state.is_open() && !waits {
        return passed_on(owner, desks);
    }
    let (code, texts) = request.state.label();
    (code.to_owned(), in_three(texts.map(str::to_owned)))
}

/// By the owner's name in each language, as far as the directory knows it.
fn passed_on(owner: &PointCode, desks: &Desks) -> (String, Vec<v1::LocalText>) {
    let named = |tag: &str| {
        let names = &desks.find(owner)?.names;
        names.best(&Language::parse(tag, "language").ok()?)
    };
    let text = |tag: &str, words: &str| match named(tag) {
        Some(name) => format!("{words}{name}"),
        None => format!("{} {owner}", words.trim_end()),
    };
    let [hans, hant, en] = TAGS;
    let texts = [text(hans, "已转交"), text(hant, "已轉交"), text(en, "Passed to ")];
    ("passed_on".to_owned(), in_three(texts))
}

/// The same in each of `TAGS`.
fn in_three(texts: [String; 3]) -> Vec<v1::LocalText> {
    let text = |(tag, text): (&str, String)| v1::LocalText { language: tag.to_owned(), text };
    TAGS.into_iter().zip(texts).map(text).collect()
}

/// Adds a message that the client has sealed, and ends a pause.
pub async fn reply(
    app: &App,
    caller: &Caller,
    secret: &Secret,
    message_id: RecordId,
    sealed: Vec<u8>,
) -> Result<HelpState> {
    caller.may(Operation::TrackHelpRequest)?;
    if sealed.is_empty() || sealed.len() > SEALED_MAX {
        return Err(Invalid::new("sealed", "wrong_length").into());
    }
    let stored = owned(app, secret).await?;
    let (feed, id) = (stored.feed().clone(), stored.id());
    if stored::has_message(app, &feed, id, message_id).await? {
        return Ok(stored.request.state);
    }
    let now = app.outside.now();
    let done =
        amend(app, &feed, id, &caller.deed(Operation::TrackHelpRequest), |request, hours| {
            request.step(HelpMove::Answer, now, hours)?;
            let message = v1::HelpMessage {
                request: id.0.to_vec(),
                author: Author::Client.into(),
                time: Some(time_message(now)),
                sealed: sealed.clone(),
                client_told: false,
            };
            Ok(vec![NewMessage { id: message_id, message }])
        })
        .await?;
    Ok(done.request.state)
}

/// Takes a request back; one that was taken back stays so.
pub async fn withdraw(app: &App, caller: &Caller, secret: &Secret) -> Result<HelpState> {
    caller.may(Operation::TrackHelpRequest)?;
    let stored = owned(app, secret).await?;
    if stored.request.state == HelpState::Withdrawn {
        return Ok(HelpState::Withdrawn);
    }
    let now = app.outside.now();
    let done = amend(
        app,
        stored.feed(),
        stored.id(),
        &caller.deed(Operation::TrackHelpRequest),
        |request, hours| {
            request.step(HelpMove::Withdraw, now, hours)?;
            Ok(Vec::new())
        },
    )
    .await?;
    Ok(done.request.state)
}

/// Notes how it went.
pub async fn rate(app: &App, caller: &Caller, secret: &Secret, stars: u32) -> Result<HelpState> {
    caller.may(Operation::TrackHelpRequest)?;
    if rating(stars)? == 0 {
        return Err(Invalid::new("rating", "out_of_range").hint("1 to 5").into());
    }
    let stored = owned(app, secret).await?;
    let done = amend(
        app,
        stored.feed(),
        stored.id(),
        &caller.deed(Operation::TrackHelpRequest),
        |request, _| {
            if !matches!(request.state, HelpState::Resolved | HelpState::Closed) {
                return Err(Invalid::new("state", "move_refused")
                    .hint(request.state.name())
                    .into());
            }
            request.rating = stars;
            Ok(Vec::new())
        },
    )
    .await?;
    Ok(done.request.state)
}

/// What can be asked for, and what is asked in return.
pub fn categories(caller: &Caller) -> Result<Vec<v1::HelpCategory>> {
    caller.may(Operation::SubmitHelpRequest)?;
    let question = |question: &crate::domain::help_category::Question| {
        use v1::help_question::Type;
        let (kind, choices) = match question.answer {
            Answer::Text => (Type::Text, &[][..]),
            Answer::YesNo => (Type::YesNo, &[][..]),
            Answer::Number => (Type::Number, &[][..]),
            Answer::Date => (Type::Date, &[][..]),
            Answer::Choice(choices) => (Type::Choice, choices),
        };
        v1::HelpQuestion {
            code: question.code.to_owned(),
            texts: in_three(question.texts.map(str::to_owned)),
            r#type: kind.into(),
            choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
        }
    };
    let category = |category: &HelpCategory| v1::HelpCategory {
        code: category.name().to_owned(),
        names: in_three(category.names().map(str::to_owned)),
        questions: category.questions().iter().map(question).collect(),
    };
    Ok(HelpCategory::ALL.iter().map(category).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        help_request::samples::{always, request},
        time::Time,
    };

    fn desks() -> Desks {
        let mut desk = super::super::desks::of_code(&"CN-440100".parse().unwrap());
        for (tag, name) in [("zh-Hans", "广州联络点"), ("en", "Guangzhou Contact Point")] {
            let language = Language::parse(tag, "names").unwrap();
            desk.names.add(language, name.into(), "names").unwrap();
        }
        Desks { all: vec![desk], duty: "CN-440000".parse().unwrap(), left: Vec::new() }
    }

    fn said(request: &HelpRequest, owner: &str) -> [String; 3] {
        let (_, labels) = labels(request, &owner.parse().unwrap(), &desks());
        labels.into_iter().map(|label| label.text).collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn what_was_passed_on_is_told_by_the_points_name_until_it_is_taken_up() {
        let mut passed = request();
        assert_eq!(said(&passed, "CN-440100")[2], "Received", "routed there, and passed by nobody");
        passed.passed = Some(Time(1));
        let told = ["已转交广州联络点", "已轉交广州联络点", "Passed to Guangzhou Contact Point"];
        assert_eq!(said(&passed, "CN-440100"), told);
        assert_eq!(said(&passed, "AU-SYD")[0], "已转交 AU-SYD", "the directory does not know it");
        passed.step(HelpMove::Triage, Time(2), &always()).unwrap();
        passed.step(HelpMove::Answer, Time(3), &always()).unwrap();
        assert_eq!(said(&passed, "CN-440100"), told);
        passed.step(HelpMove::Assign, Time(4), &always()).unwrap();
        assert_eq!(said(&passed, "CN-440100")[2], "In progress");
    }
}
