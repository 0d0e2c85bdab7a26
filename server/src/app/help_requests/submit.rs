//! Taking a request in: one parse, one symmetric seal, one commit shared with whoever else submits.

use jiff::tz::TimeZone;
use prost::Message;
use yizhan_client::sealed::{self, Key};
use yizhan_proto::v1;

use super::{
    desks::{Desks, zone_of},
    sealing::{CONTENT, RequestKeys},
    stored::{Stored, sealed_feed},
};
use crate::{
    app::{
        App, attachments,
        error::{Error, Result},
        records,
    },
    domain::{
        help_category::HelpCategory,
        help_clock::{ClockKind, Clocks},
        help_reference::Reference,
        help_request::{HelpRequest, KEY_MAX, WRAP_MAX},
        help_state::{HelpState, Urgency},
        id::{PointCode, RecordId},
        kind::Kind,
        language::Language,
        policy::Operation,
        region::{self, Level, Region},
        routing::{Ask, Decision, Route, route},
        text::{self, Invalid},
        time::Time,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    wire::{
        help_request as wire,
        value::{optional_point, time_message},
    },
};

/// How far the moment in a UUIDv7 key may lie from ours, to be taken for the record's id.
const KEY_SKEW_MS: u64 = 24 * 60 * 60 * 1_000;

/// A submission that has been checked.
pub struct NewHelpRequest {
    pub category: HelpCategory,
    pub region: Region,
    pub country: Region,
    pub language: Language,
    pub urgency: Urgency,
    /// Encoded HelpContent.
    pub content: Vec<u8>,
    pub key: String,
    pub lookup_hash: [u8; 32],
    pub mac_hash: [u8; 32],
    pub content_key: Key,
    pub client_wrap: Vec<u8>,
    pub for_other: bool,
    pub point: Option<PointCode>,
    pub files: Vec<v1::HelpFile>,
}

impl TryFrom<v1::SubmitHelpRequestRequest> for NewHelpRequest {
    type Error = Invalid;

    fn try_from(message: v1::SubmitHelpRequestRequest) -> Result<NewHelpRequest, Invalid> {
        let category = HelpCategory::parse(&message.category, "category").map_err(|invalid| {
            let all: Vec<_> = HelpCategory::ALL.iter().map(|one| one.name()).collect();
            invalid.hint(all.join(", "))
        })?;
        let (country, region) = place(&message.country, &message.city, &message.region_code)?;
        let urgency = match message.urgency {
            0 => Urgency::Normal,
            number => Urgency::from_number(number, "urgency")?,
        };
        let content = message.content.unwrap_or_default();
        wire::content(&content, category)?;
        let (lookup_hash, mac_hash) = wire::secret_hashes(message.secret)?;
        let mut content_key = Key::default();
        *content_key = message.content_key[..]
            .try_into()
            .map_err(|_| Invalid::new("content_key", "wrong_length"))?;
        if message.client_wrap.is_empty() || message.client_wrap.len() > WRAP_MAX {
            return Err(Invalid::new("client_wrap", "wrong_length"));
        }
        let files = content.files.clone();
        Ok(NewHelpRequest {
            files,
            category,
            region,
            country,
            language: Language::parse(&message.language, "language")?,
            urgency,
            content: content.encode_to_vec(),
            key: text::line(&message.key, "key", KEY_MAX)?,
            lookup_hash,
            mac_hash,
            content_key,
            client_wrap: message.client_wrap,
            for_other: message.for_other,
            point: optional_point(&message.point, "point")?,
        })
    }
}

/// Country and smallest place that the client named.
fn place(country: &str, city: &str, code: &str) -> Result<(Region, Region), Invalid> {
    let known = Region::parse(text::required(country.to_owned(), "country")?.as_str(), "country");
    let country = known
        .ok()
        .filter(|region| region.entry().level == Level::Area)
        .ok_or_else(|| Invalid::new("country", "not_a_country"))?;
    let inside = |region: Region, field: &str| match region
        .prefixes()
        .any(|prefix| prefix == country.code())
    {
        true => Ok(region),
        false => Err(Invalid::new(field, "not_in_country").hint(country.code())),
    };
    let parse = |text: &str, field: &'static str| {
        region::find(text).ok_or_else(|| Invalid::new(field, "unknown_code"))
    };
    if !code.is_empty() {
        return Ok((country, inside(parse(code, "region_code")?, "region_code")?));
    }
    if !city.is_empty() {
        return Ok((country, inside(parse(city, "city")?, "city")?));
    }
    if country.code() == "CN" {
        return Err(Invalid::new("region_code", "choose_city").hint(city_list()));
    }
    Ok((country, country))
}

/// The numbers of the smallest area around the client that has its own: under CN, Hong Kong and Macao
/// are called at theirs.
fn emergency_numbers(country: Region, region: Region) -> Vec<&'static str> {
    let around = region.prefixes().filter_map(region::find).chain([country]);
    let mut numbers = around.map(|place| &place.entry().emergency_numbers);
    numbers.find(|numbers| !numbers.is_empty()).cloned().unwrap_or_default()
}

/// GB/T 2260 codes of the province's cities, to choose from.
fn city_list() -> String {
    let cities = region::all().filter(|region| {
        region.entry().level == Level::Prefecture && region.code().starts_with("44")
    });
    let shown: Vec<String> =
        cities.map(|city| format!("{} {}", city.code(), city.entry().name_zh)).collect();
    format!("GB/T 2260: {}", shown.join(", "))
}

/// What a client is answered.
pub struct Submitted {
    pub reference: String,
    pub owner: PointCode,
    pub route: Route,
    pub first_answer_by: String,
    pub time_zone: String,
    pub emergency_numbers: Vec<&'static str>,
    pub emergency_first: bool,
    pub is_open: bool,
    pub warning: String,
}

/// Takes a request in, for the point of this node. Durable when this returns.
pub async fn submit(app: &App, caller: &Caller, new: NewHelpRequest) -> Result<Submitted> {
    caller.may(Operation::SubmitHelpRequest)?;
    let now = app.outside.now();
    let desks = app.help.desks.get(app).await?;
    let ask = Ask {
        region: new.region,
        category: new.category,
        language: new.language.clone(),
        urgency: new.urgency,
        at: now,
    };
    let mut decision = route(&desks.all, &desks.duty, &ask);
    let warning = prefer(&desks, &mut decision, new.point.as_ref())?;
    let intake = app.keys.point.clone();
    let id = id_of(app, &intake, &new.key, now);
    let year = year_at(&desks, &intake, now);
    let number = app.help.numbers.take(app, &intake, year).await?;
    let short = desks.find(&intake).map_or("C", |desk| &desk.short);
    let reference = Reference::new(short, year, number);

    let key = app.help.keys.current(app, &decision.owner).await?;
    let keys = RequestKeys { content: new.content_key.clone(), note: sealed::random_key() };
    let hours = desks.hours(&decision.owner);
    let content = sealed::seal(&new.content_key, CONTENT, &id.0, &new.content);
    let request = HelpRequest {
        reference,
        category: new.category,
        urgency: new.urgency,
        region: new.region,
        language: new.language.clone(),
        state: HelpState::Received,
        received: now,
        route: decision.route.clone(),
        clocks: Clocks::on_receipt(new.urgency, now, &hours),
        assignee: String::new(),
        lookup_hash: new.lookup_hash.to_vec(),
        mac_hash: new.mac_hash.to_vec(),
        client_wrap: new.client_wrap.clone(),
        intake_key: Some(key.id),
        wrap: key.wrap(id, &keys),
        content: content.ok_or_else(|| Invalid::new("text", "too_long"))?,
        reopened: 0,
        resolved: None,
        closed: None,
        redirect: Vec::new(),
        duplicate_of: None,
        outcome: String::new(),
        rating: 0,
        source: String::new(),
        intake: intake.to_string(),
        key_hash: key_hash(app, &new.key),
        for_other: new.for_other,
        escalation: 0,
        channel: "client".to_owned(),
        updated: now,
        triaged: None,
        assigned: None,
        waiting: None,
        handoff: None,
        owner_number: 0,
        notices: Vec::new(),
        kept: None,
        kept_at: None,
    };
    let answer = |request: &HelpRequest, owner: &PointCode| {
        submitted(&desks, &new, request, owner, warning.clone(), now)
    };
    let change = if app.keys.is_home(&decision.owner) {
        let feed = sealed_feed(&decision.owner);
        let payload = v1::HelpRequest::from(request.clone()).encode_to_vec();
        Change::new().expect(feed.clone(), id, None).put(feed, Kind::HELP_REQUEST, id, payload)
    } else {
        let feed = sealed_feed(&intake);
        let first_answer_by = answer(&request, &decision.owner).first_answer_by;
        let stub = stub(&request, id, &decision, (key.id, &key.record), first_answer_by);
        let payload = stub.encode_to_vec();
        Change::new().expect(feed.clone(), id, None).put(feed, Kind::HELP_STUB, id, payload)
    };
    let change = change.by(caller.deed(Operation::SubmitHelpRequest));
    // Claimed first: a file without its request is swept away, a request never lacks a file.
    attachments::claim(app, id, &new.files).await?;
    match app.writer.commit(change).await {
        Ok(_) => {
            if !app.keys.is_home(&decision.owner) {
                app.help.post.notify_one();
            }
            Ok(answer(&request, &decision.owner))
        }
        // Submitted before under the same key: this is that answer again.
        Err(CommitError::Stale) if !new.key.is_empty() => {
            repeated(app, &new, id, &desks, now).await
        }
        Err(error) => Err(error.into()),
    }
}

/// The answer to a submission that was made before.
async fn repeated(
    app: &App,
    new: &NewHelpRequest,
    id: RecordId,
    desks: &Desks,
    now: Time,
) -> Result<Submitted> {
    let exists = || Error::Exists { noun: "help request under this key" };
    for found in records::find(app, id).await? {
        let (request, owner) = match found.row.kind {
            Kind::HELP_REQUEST => {
                let owner = found.feed.home.clone();
                (Stored::of(found)?.request, owner)
            }
            Kind::HELP_STUB => {
                let stub: v1::HelpStub = found.message()?;
                if stub.lookup_hash != new.lookup_hash {
                    return Err(exists());
                }
                let owner: PointCode = stub.owner.parse().map_err(Error::from)?;
                let reference = stub.reference.clone();
                return Ok(Submitted {
                    reference,
                    route: stub.route.map(wire::route).unwrap_or_default(),
                    first_answer_by: stub.first_answer_by,
                    ..promise(desks, new, &owner, String::new(), now)
                });
            }
            _ => continue,
        };
        if request.lookup_hash != new.lookup_hash {
            return Err(exists());
        }
        if !is_same_text(app, (&owner, id), &request, new).await? {
            return Err(Error::Exists { noun: "help request of another text under this key" });
        }
        return Ok(submitted(desks, new, &request, &owner, String::new(), now));
    }
    Err(Error::Busy)
}

/// Does a request say what is submitted again? Files are uploaded anew with every attempt, so they
/// do not tell. Where the text is gone, nobody can say otherwise.
async fn is_same_text(
    app: &App,
    (home, id): (&PointCode, RecordId),
    request: &HelpRequest,
    new: &NewHelpRequest,
) -> Result<bool> {
    if request.content.is_empty() {
        return Ok(true);
    }
    let keys = app.help.keys.open(app, &sealed_feed(home), id, request).await?;
    let plain = sealed::open(&keys.content, CONTENT, &id.0, &request.content);
    let known = plain.and_then(|plain| v1::HelpContent::decode(&plain[..]).ok());
    let said = v1::HelpContent::decode(&new.content[..]).ok();
    let text = |content: Option<v1::HelpContent>| content.map(|content| content.text);
    Ok(text(known) == text(said))
}

fn submitted(
    desks: &Desks,
    new: &NewHelpRequest,
    request: &HelpRequest,
    owner: &PointCode,
    warning: String,
    now: Time,
) -> Submitted {
    let promised = promise(desks, new, owner, warning, now);
    let first = request.clocks.find(ClockKind::FirstResponse);
    let due = first.and_then(|clock| clock.due);
    Submitted {
        reference: request.reference.to_string(),
        route: request.route.clone(),
        first_answer_by: due.map(|due| local(due, &promised.time_zone)).unwrap_or_default(),
        ..promised
    }
}

/// What does not depend on the stored request.
fn promise(
    desks: &Desks,
    new: &NewHelpRequest,
    owner: &PointCode,
    warning: String,
    now: Time,
) -> Submitted {
    let zone = zone_of(new.region).map(|zone| zone.as_str().to_owned());
    let owners = || {
        let desk = desks.find(owner)?;
        Some(desk.zone.iana_name()?.to_owned())
    };
    Submitted {
        reference: String::new(),
        owner: owner.clone(),
        route: Route::default(),
        first_answer_by: String::new(),
        time_zone: zone.or_else(owners).unwrap_or_else(|| "UTC".to_owned()),
        emergency_numbers: emergency_numbers(new.country, new.region),
        emergency_first: matches!(new.urgency, Urgency::Emergency | Urgency::Urgent)
            || new.category == HelpCategory::MedicalAdvice,
        is_open: desks.hours(owner).is_open(now),
        warning,
    }
}

/// RFC 3339 with the offset of a zone.
fn local(at: Time, zone: &str) -> String {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    match jiff::Timestamp::from_microsecond(at.0) {
        Ok(at) => at.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => String::new(),
    }
}

/// A client may choose a point against the routing, and is told what that means.
fn prefer(
    desks: &Desks,
    decision: &mut Decision,
    wish: Option<&PointCode>,
) -> Result<String, Invalid> {
    let Some(wish) = wish.filter(|wish| **wish != decision.owner) else { return Ok(String::new()) };
    if desks.find(wish).is_none() {
        return Err(Invalid::new("point", "unknown_point"));
    }
    let routed = std::mem::replace(&mut decision.owner, wish.clone());
    decision.route.alternatives.insert(
        0,
        crate::domain::routing::Alternative {
            point: routed.to_string(),
            note: "routed".to_owned(),
        },
    );
    decision.route.reason = format!("because the client chose {wish}; {}", decision.route.reason);
    decision.route.rule = format!("chosen={wish} {}", decision.route.rule);
    Ok(format!(
        "{wish} was chosen; {routed} serves this place and may answer sooner · 您选择了 {wish}；本地由 {routed} 受理，可能更快"
    ))
}

fn stub(
    request: &HelpRequest,
    id: RecordId,
    decision: &Decision,
    (key_id, key): (RecordId, &v1::HelpKey),
    first_answer_by: String,
) -> v1::HelpStub {
    v1::HelpStub {
        reference: request.reference.to_string(),
        lookup_hash: request.lookup_hash.clone(),
        mac_hash: request.mac_hash.clone(),
        owner: decision.owner.to_string(),
        parcel: Some(v1::HelpParcel {
            id: id.0.to_vec(),
            request: Some(request.clone().into()),
            key_id: key_id.0.to_vec(),
            key: Some(key.clone()),
        }),
        key_hash: request.key_hash.clone(),
        received_time: Some(time_message(request.received)),
        route: Some(wire::route_message(request.route.clone())),
        first_answer_by,
        owner_number: 0,
    }
}

/// The same key at the same point makes the same record. A key that is a UUIDv7 of today keeps new
/// records next to each other.
fn id_of(app: &App, intake: &PointCode, key: &str, now: Time) -> RecordId {
    if key.is_empty() {
        return app.outside.record_id();
    }
    let now_ms = now.millis().max(0) as u64;
    let made = uuid::Uuid::try_parse(key).ok().and_then(|id| id.get_timestamp());
    let made_ms = made.map(|time| {
        let (seconds, nanos) = time.to_unix();
        seconds.saturating_mul(1_000) + u64::from(nanos / 1_000_000)
    });
    let made_ms = made_ms.filter(|made| made.abs_diff(now_ms) < KEY_SKEW_MS).unwrap_or(0);
    let source = format!("help {intake} {key}");
    RecordId::of_source(&app.keys.network, Kind::HELP_REQUEST.0, &source, made_ms)
}

/// Tells that two submissions came under one key, also at two nodes, without keeping the key.
fn key_hash(app: &App, key: &str) -> Vec<u8> {
    if key.is_empty() {
        return Vec::new();
    }
    let mut hasher = blake3::Hasher::new_derive_key("yizhan 2026 key of a help request");
    hasher.update(app.keys.network.as_bytes()).update(&[0]).update(key.as_bytes());
    hasher.finalize().as_bytes()[..16].to_vec()
}

/// The year it is at the point that counts.
fn year_at(desks: &Desks, point: &PointCode, now: Time) -> i16 {
    let zone = desks.find(point).map_or(TimeZone::UTC, |desk| desk.zone.clone());
    jiff::Timestamp::from_microsecond(now.0).map_or(1970, |now| zone.to_datetime(now).year())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_in_hong_kong_is_told_its_numbers_under_whichever_country() {
        for (country, city, code, first) in [
            ("CN", "", "HK", "999"),
            ("HK", "HKHKG", "", "999"),
            ("CN", "", "MO", "999"),
            ("CN", "", "440100", "110"),
            ("GB", "GBLON", "", "999"),
            ("GB", "", "", "999"),
        ] {
            let (country, region) = place(country, city, code).unwrap();
            assert_eq!(
                emergency_numbers(country, region).first(),
                Some(&first),
                "{country} {code}"
            );
        }
    }
}
