//! Who is told of a help request, and where: the people of the desk by what they have set, the client
//! by what it left or set, which only the handling point can read.

use prost::Message;
use yizhan_client::sealed;
use yizhan_proto::v1;

use super::{
    sealing::{CONTENT, NOTICES, is_lost},
    stored::{self, amend},
    track::{Secret, owned},
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        notices::Reader,
    },
    domain::{
        audience::FeedId,
        contact::Email,
        help_request::{HelpRequest, NOTICES_MAX},
        help_state::HelpState,
        id::{PointCode, RecordId},
        language::Language,
        notice::Quiet,
        policy::{Operation, Role},
        text::Invalid,
    },
    identity::caller::Caller,
    notify::target::Target,
    store::notices,
    wire::notice::quiet,
};

/// People of one desk that are told at most.
const STAFF_MAX: u32 = 1_000;

/// Somebody, as notices name them on this node, and where they are told.
pub type Named = (String, Reader);

/// The people of a home's desk who want to be told of something in a category: all handlers, or its
/// supervisors. Whose role is limited is told of nothing else; none: of what has no category that is known.
pub async fn desk(
    app: &App,
    home: &PointCode,
    supervisors: bool,
    category: Option<&str>,
) -> Result<Vec<Named>> {
    let mut db = app.db.reader().await?;
    let staff = notices::list_staff(&mut db, app.outside.now(), STAFF_MAX).await?;
    let own = app.keys.point.as_str();
    let mut named: Vec<Named> = Vec::new();
    for one in staff {
        let is_admin = one.role == Role::PointAdmin.name();
        let works = is_admin || (!supervisors && one.role == Role::Staff.name());
        // Who works at the node's own point works for the points that it hosts.
        let here = one.point == home.as_str() || one.point == own;
        let mut limits = one.categories.split_whitespace();
        let concerns = one.categories.is_empty() || limits.any(|limit| Some(limit) == category);
        let known = named.iter().any(|(person, _)| *person == one.account);
        if works
            && here
            && concerns
            && !known
            && let Some(reader) = app.notices.reader(one.account.as_bytes(), &one.address)
        {
            named.push((one.account, reader));
        }
    }
    Ok(named)
}

/// Whoever handles a request, if there is somebody who wants to be told.
pub async fn handler(app: &App, request: &HelpRequest) -> Result<Option<Named>> {
    if request.assignee.is_empty() {
        return Ok(None);
    }
    let reader = app.notices.find_reader(&request.assignee).await?;
    Ok(reader.map(|reader| (request.assignee.clone(), reader)))
}

/// The client, unless there is no address or it does not want to be told.
pub async fn client(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    request: &HelpRequest,
) -> Result<Option<Named>> {
    if request.intake_key.is_none() || request.content.is_empty() {
        return Ok(None);
    }
    let keys = match app.help.keys.open(app, feed, id, request).await {
        // Where it wanted to be told cannot be read any more.
        Err(error) if is_lost(&error) => return Ok(None),
        keys => keys?,
    };
    let set = sealed::open(&keys.content, NOTICES, &id.0, &request.notices);
    let set = set.and_then(|plain| v1::HelpNotices::decode(&plain[..]).ok()).unwrap_or_default();
    if set.off {
        return Ok(None);
    }
    let email = match Email::parse(&set.email, "email") {
        Ok(email) => Some(email),
        Err(_) => {
            let plain = sealed::open(&keys.content, CONTENT, &id.0, &request.content);
            let content = plain.and_then(|plain| v1::HelpContent::decode(&plain[..]).ok());
            first_email(&content.map(|content| content.contact).unwrap_or_default())
        }
    };
    let language = Language::parse(&set.language, "language");
    let reader = |email| Reader {
        target: Target::Email(email),
        language: language.unwrap_or_else(|_| request.language.clone()),
        quiet: quiet(set.quiet_hours).unwrap_or_default(),
    };
    Ok(email.map(|email| (client_name(id), reader(email))))
}

/// Can the client be told from here?
pub async fn reaches_client(
    app: &App,
    feed: &FeedId,
    id: RecordId,
    request: &HelpRequest,
) -> Result<bool> {
    let client = client(app, feed, id, request).await?;
    Ok(client.is_some_and(|(_, reader)| app.notices.ways.reaches(&reader.target)))
}

/// What notices call the client of a request.
fn client_name(id: RecordId) -> String {
    format!("client {id}")
}

/// The first e-mail address of what the client left to be reached by.
fn first_email(contact: &str) -> Option<Email> {
    let mut words =
        contact.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | '，' | '；'));
    words.find_map(|word| Email::parse(word, "contact").ok())
}

/// Sets where the client is told: sealed by the client, and checked before it is kept.
pub async fn set(app: &App, secret: &Secret, sealed: Vec<u8>) -> Result<HelpState> {
    if sealed.is_empty() || sealed.len() > NOTICES_MAX {
        return Err(Invalid::new("sealed", "wrong_length").into());
    }
    let stored = owned(app, secret).await?;
    let (feed, id) = (stored.feed().clone(), stored.id());
    if stored.request.content.is_empty() {
        return Err(stored::not_found());
    }
    let keys = app.help.keys.open(app, &feed, id, &stored.request).await?;
    let plain = sealed::open(&keys.content, NOTICES, &id.0, &sealed);
    let settings = plain.and_then(|plain| v1::HelpNotices::decode(&plain[..]).ok());
    check(&settings.ok_or_else(|| Invalid::new("sealed", "not_decodable"))?)?;
    let deed = Caller::Anonymous.deed(Operation::TrackHelpRequest);
    let done = amend(app, &feed, id, &deed, |request, _| {
        request.notices.clone_from(&sealed);
        Ok(Vec::new())
    });
    Ok(done.await?.request.state)
}

fn check(settings: &v1::HelpNotices) -> Result<(), Error> {
    if !settings.email.is_empty() {
        Email::parse(&settings.email, "email")?;
    }
    if !settings.language.is_empty() {
        Language::parse(&settings.language, "language")?;
    }
    let _: Option<Quiet> = quiet(settings.quiet_hours.clone())?;
    Ok(())
}
