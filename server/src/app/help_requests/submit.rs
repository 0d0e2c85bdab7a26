//! Taking a request in: one parse, one symmetric seal, one commit shared with whoever else submits.

use jiff::tz::TimeZone;
use prost::Message;
use yizhan_client::sealed::{self, Key};
use yizhan_proto::v1;

use super::{
    desks::{Desks, zone_of},
    posting::merge,
    sealing::{CONTENT, RequestKeys},
    stored::{Stored, lookup_id, sealed_feed},
};
use crate::{
    app::{
        App, attachments,
        error::{Error, Result},
        records,
    },
    domain::{
        deputy::deputy_of,
        help_category::HelpCategory,
        help_clock::{ClockKind, Clocks},
        help_reference::Reference,
        help_request::{HelpRequest, KEY_MAX, WRAP_MAX, channel},
        help_state::{HelpState, Urgency},
        id::{PointCode, RecordId},
        kind::Kind,
        language::Language,
        policy::{Operation, Reach},
        region::{self, Level, Region},
        roster::Roster,
        routing::{ALTERNATIVES_MAX, Alternative, Ask, Decision, Route, chosen, route},
        text::{self, Invalid},
        time::Time,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    store::{
        StoreError,
        help_requests::{self, Arrival},
    },
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
    /// How it reached whoever enters it for its client.
    pub channel: String,
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
            channel: message.channel,
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
    /// RFC 3339; empty while it is open.
    pub opens_at: String,
    pub readers: Vec<v1::HelpReader>,
}

/// Takes a request in, for the point of this node. Durable when this returns.
pub async fn submit(app: &App, caller: &Caller, new: NewHelpRequest) -> Result<Submitted> {
    caller.may(Operation::SubmitHelpRequest)?;
    let is_on_behalf = caller.reach(Operation::WorkHelpRequest) >= Reach::OwnPoint;
    let channel = channel(&new.channel, is_on_behalf)?;
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
    let mut warning = prefer(&desks, &mut decision, new.point.as_ref(), now)?;
    let intake = app.keys.point.clone();
    let id = id_of(app, &intake, &new.key, now);
    let asked = Asked { app, desks: &desks, new: &new, now };
    // Own feeds are taken back from neighbours before anything is written into them.
    let lies_apart = !app.writer.recovery().is_over();
    // Files of a repetition would be claimed for a request that names others.
    let may_be_there = !new.files.is_empty() || app.help.apart.may_be(app).await?;
    if !new.key.is_empty()
        && may_be_there
        && let Some(before) = earlier(&asked, id).await?
    {
        return Ok(before);
    }
    if !app.help.keys.can_seal_to(app, &decision.owner) {
        warning = take_in_here(&mut decision, &intake);
    }
    let year = year_at(&desks, &intake, now);
    let number = app.help.numbers.take(app, &intake, year).await?;
    let short = desks.find(&intake).map_or("C", |desk| &desk.short);
    let reference = Reference::new(short, year, number);

    let key = app.help.keys.current(app, &decision.owner).await?;
    let keys = RequestKeys { content: new.content_key.clone(), note: sealed::random_key() };
    let hours = desks.hours(&decision.owner);
    let content = sealed::seal(&new.content_key, CONTENT, &id.0, &new.content);
    let mut request = HelpRequest {
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
        channel: channel.to_owned(),
        updated: now,
        triaged: None,
        assigned: None,
        waiting: None,
        handoff: None,
        owner_number: 0,
        notices: Vec::new(),
        kept: None,
        kept_at: None,
        passed: None,
        kept_by: None,
        taken_over: None,
    };
    let answer =
        |request: &HelpRequest, owner: &PointCode| asked.submitted(request, owner, warning.clone());
    let parcel = |request: &HelpRequest| v1::HelpParcel {
        id: id.0.to_vec(),
        request: Some(request.clone().into()),
        key_id: key.id.0.to_vec(),
        key: Some(key.record.clone()),
    };
    if lies_apart {
        attachments::claim(app, id, &new.files).await?;
        if !keep_apart(app, id, &decision.owner, parcel(&request)).await? {
            let_go_of_files(&asked, id).await?;
            return earlier(&asked, id).await?.ok_or(Error::Busy);
        }
        return Ok(answer(&request, &decision.owner));
    }
    let is_home = app.keys.is_home(&decision.owner);
    let change = |request: &HelpRequest| {
        let (feed, kind, payload) = if is_home {
            let payload = v1::HelpRequest::from(request.clone()).encode_to_vec();
            (sealed_feed(&decision.owner), Kind::HELP_REQUEST, payload)
        } else {
            let mut stub = stub(&desks, request, &decision.owner, parcel(request));
            stub.files = new.files.iter().map(|file| file.id.clone()).collect();
            (sealed_feed(&intake), Kind::HELP_STUB, stub.encode_to_vec())
        };
        let change = Change::new().by(caller.deed(Operation::SubmitHelpRequest));
        change.expect(feed.clone(), id, None).put(feed, kind, id, payload)
    };
    let mut first = change(&request);
    if is_home && !new.key.is_empty() {
        first = first.sole(sealed_feed(&decision.owner), id, lookup_id(&new.lookup_hash));
    }
    // Claimed first: a file without its request is swept away, a request never lacks a file.
    attachments::claim(app, id, &new.files).await?;
    match app.writer.commit(first).await {
        Err(CommitError::Stale) if !new.key.is_empty() => {
            let_go_of_files(&asked, id).await?;
            // Submitted before under the same key: this is that answer again.
            if let Some(before) = earlier(&asked, id).await? {
                return Ok(before);
            }
            // Or submitted at another node, from which it has come meanwhile.
            merge(app, &decision.owner, id, &mut request).await?;
            app.writer.commit(change(&request)).await?
        }
        committed => committed?,
    };
    if !is_home {
        app.help.post.notify_one();
    }
    Ok(answer(&request, &decision.owner))
}

/// Keeps a request outside the feeds until they can be written; durable when this returns. False if
/// one lies there under this id.
async fn keep_apart(
    app: &App,
    id: RecordId,
    owner: &PointCode,
    parcel: v1::HelpParcel,
) -> Result<bool> {
    let arrival = Arrival {
        sender: app.keys.point.to_string(),
        id,
        owner: owner.to_string(),
        reference: parcel.request.as_ref().map(|one| one.reference.clone()).unwrap_or_default(),
        parcel: parcel.encode_to_vec(),
        arrived_us: app.outside.now().0,
    };
    let app = app.clone();
    // In a task of its own: a client that hangs up must not leave a statement half done.
    let keeping = tokio::spawn(async move {
        let mut db = app.db.local().await?;
        let is_new = help_requests::put_arrival(&mut db, &arrival).await?;
        app.help.apart.add();
        Ok(is_new)
    });
    keeping.await.map_err(|_| Error::Busy)?
}

/// The answer to a submission that was made before under the same key.
async fn earlier(asked: &Asked<'_>, id: RecordId) -> Result<Option<Submitted>> {
    let (app, new) = (asked.app, asked.new);
    let exists = || Error::Exists { noun: "help request under this key" };
    let own = app.keys.point.as_str();
    let apart = help_requests::find_arrival(&mut *app.db.reader().await?, own, id).await?;
    if let Some(arrival) = apart {
        let damaged = || Error::Storage(StoreError::Damaged { what: "arrival" });
        let parcel = v1::HelpParcel::decode(&arrival.parcel[..]).map_err(|_| damaged())?;
        let request = parcel.request.and_then(|request| HelpRequest::try_from(request).ok());
        let request = request.ok_or_else(damaged)?;
        if request.lookup_hash != new.lookup_hash {
            return Err(exists());
        }
        let owner: PointCode = arrival.owner.parse().map_err(|_| damaged())?;
        return Ok(Some(asked.submitted(&request, &owner, String::new())));
    }
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
                return Ok(Some(Submitted {
                    reference,
                    route: stub.route.map(wire::route).unwrap_or_default(),
                    first_answer_by: stub.first_answer_by,
                    ..asked.promise(&owner, String::new())
                }));
            }
            _ => continue,
        };
        if request.lookup_hash != new.lookup_hash {
            return Err(exists());
        }
        if !is_same_text(app, (&owner, id), &request, new).await? {
            return Err(Error::Exists { noun: "help request of another text under this key" });
        }
        return Ok(Some(asked.submitted(&request, &owner, String::new())));
    }
    Ok(None)
}

/// Another call under the same key was faster: of the files of this one those stay that the stored request
/// names. Where nobody here can read which, all do.
async fn let_go_of_files(asked: &Asked<'_>, id: RecordId) -> Result<()> {
    let (app, files) = (asked.app, &asked.new.files);
    if files.is_empty() {
        return Ok(());
    }
    for found in records::find(app, id).await? {
        let named: Vec<String> = match found.row.kind {
            Kind::HELP_STUB => found.message::<v1::HelpStub>()?.files,
            Kind::HELP_REQUEST => {
                let stored = Stored::of(found)?;
                if stored.request.content.is_empty() {
                    return Ok(());
                }
                let keys = app.help.keys.open(app, stored.feed(), id, &stored.request).await?;
                let plain = sealed::open(&keys.content, CONTENT, &id.0, &stored.request.content);
                let content = plain.and_then(|plain| v1::HelpContent::decode(&plain[..]).ok());
                let Some(content) = content else { return Ok(()) };
                content.files.into_iter().map(|file| file.id).collect()
            }
            _ => continue,
        };
        let others = files.iter().filter(|file| !named.contains(&file.id));
        let others = others.map(|file| RecordId::parse(&file.id, "content.files"));
        return attachments::release(app, id, others.collect::<Result<_, _>>()?).await;
    }
    Ok(())
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

/// A submission, and what its answer rests on.
struct Asked<'a> {
    app: &'a App,
    desks: &'a Desks,
    new: &'a NewHelpRequest,
    now: Time,
}

impl Asked<'_> {
    fn submitted(&self, request: &HelpRequest, owner: &PointCode, warning: String) -> Submitted {
        Submitted {
            reference: request.reference.to_string(),
            route: request.route.clone(),
            first_answer_by: first_answer_by(self.desks, request, owner),
            ..self.promise(owner, warning)
        }
    }

    /// What does not depend on the stored request.
    fn promise(&self, owner: &PointCode, warning: String) -> Submitted {
        let new = self.new;
        let hours = self.desks.hours(owner);
        let time_zone = client_zone(self.desks, new.region, owner);
        let is_open = hours.is_open(self.now);
        let opens = hours.opens(self.now).filter(|_| !is_open);
        Submitted {
            reference: String::new(),
            owner: owner.clone(),
            route: Route::default(),
            first_answer_by: String::new(),
            emergency_numbers: emergency_numbers(new.country, new.region),
            emergency_first: matches!(new.urgency, Urgency::Emergency | Urgency::Urgent)
                || new.category == HelpCategory::MedicalAdvice,
            is_open,
            warning,
            opens_at: opens.map(|opens| local(opens, &time_zone)).unwrap_or_default(),
            time_zone,
            readers: readers(&self.app.keys.roster(), owner),
        }
    }
}

/// Who can read what is sealed for an owner.
fn readers(roster: &Roster, owner: &PointCode) -> Vec<v1::HelpReader> {
    use v1::help_reader::Role;
    let host = roster.server_of(owner).filter(|host| *host != owner).cloned();
    let others = [(host, Role::Host), (deputy_of(roster, owner), Role::Deputy)];
    let others = others.into_iter().filter_map(|(point, role)| Some((point?, role)));
    let reader = |(point, role): (PointCode, Role)| v1::HelpReader {
        point: point.to_string(),
        role: role.into(),
    };
    std::iter::once((owner.clone(), Role::Owner)).chain(others).map(reader).collect()
}

/// When the first answer is promised, in the client's zone.
fn first_answer_by(desks: &Desks, request: &HelpRequest, owner: &PointCode) -> String {
    let first = request.clocks.find(ClockKind::FirstResponse);
    let due = first.and_then(|clock| clock.due);
    due.map(|due| local(due, &client_zone(desks, request.region, owner))).unwrap_or_default()
}

/// The zone of the place a request is about, or of its owner.
fn client_zone(desks: &Desks, region: Region, owner: &PointCode) -> String {
    let zone = zone_of(region).map(|zone| zone.as_str().to_owned());
    let owners = || {
        let desk = desks.find(owner)?;
        Some(desk.zone.iana_name()?.to_owned())
    };
    zone.or_else(owners).unwrap_or_else(|| "UTC".to_owned())
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
    now: Time,
) -> Result<String, Invalid> {
    let Some(wish) = wish.filter(|wish| **wish != decision.owner) else { return Ok(String::new()) };
    if desks.find(wish).is_none() {
        return Err(Invalid::new("point", "unknown_point"));
    }
    let none = || Invalid::new("point", "takes_no_requests").hint(wish);
    let (desk, reason) = chosen(&desks.all, wish, now).ok_or_else(none)?;
    decision.route.reason = format!("{reason}; {}", decision.route.reason);
    decision.route.rule = format!("chosen={wish} {}", decision.route.rule);
    if desk.code == decision.owner {
        return Ok(String::new());
    }
    let owner = &desk.code;
    let routed = std::mem::replace(&mut decision.owner, owner.clone());
    decision.route.alternatives.retain(|one| one.point != owner.as_str());
    decision
        .route
        .alternatives
        .insert(0, Alternative { point: routed.to_string(), note: "routed".to_owned() });
    decision.route.alternatives.truncate(ALTERNATIVES_MAX);
    Ok(format!(
        "{owner} was chosen; {routed} serves this place and may answer sooner · 您选择了 {owner}；本地由 {routed} 受理，可能更快"
    ))
}

/// A node that has just joined, or whose roster has not come yet, knows no key of the point that serves a
/// place: nobody is turned away for that. What the client has to know.
fn take_in_here(decision: &mut Decision, intake: &PointCode) -> String {
    let routed = std::mem::replace(&mut decision.owner, intake.clone());
    let route = &mut decision.route;
    route.rule = format!("unheard={routed} {}", route.rule);
    route.reason = format!(
        "nothing has been heard of {routed} here yet: {intake} takes it in · 本节点尚未收到 {routed} 的信息，由 {intake} 受理; {}",
        route.reason
    );
    route.alternatives.retain(|one| one.point != intake.as_str());
    let note = "routed".to_owned();
    route.alternatives.insert(0, Alternative { point: routed.to_string(), note });
    route.alternatives.truncate(ALTERNATIVES_MAX);
    format!(
        "{intake} takes this in until {routed} is known here · 在收到 {routed} 的信息之前，由 {intake} 受理"
    )
}

/// What stays here of a request that another point handles; the parcel until it is sent.
pub fn stub(
    desks: &Desks,
    request: &HelpRequest,
    owner: &PointCode,
    parcel: v1::HelpParcel,
) -> v1::HelpStub {
    v1::HelpStub {
        reference: request.reference.to_string(),
        lookup_hash: request.lookup_hash.clone(),
        mac_hash: request.mac_hash.clone(),
        owner: owner.to_string(),
        parcel: Some(parcel),
        key_hash: request.key_hash.clone(),
        received_time: Some(time_message(request.received)),
        route: Some(wire::route_message(request.route.clone())),
        first_answer_by: first_answer_by(desks, request, owner),
        owner_number: 0,
        ..v1::HelpStub::default()
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
