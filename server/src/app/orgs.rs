//! Organisations: what anybody may see, and what points know of them beside.

use prost::Message;
use yizhan_proto::v1;

use super::{
    App, answers,
    error::{Error, Result},
    points,
    records::{self, Found},
    sight::{self, Sight},
};
use crate::{
    domain::{
        analyzer::{Filter, Query, filter},
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
        org::{Org, OrgDetail, OrgType},
        page::{Question, page_size},
        policy::Operation,
        region::RegionPrefix,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
};

/// Bytes of a place in a page token: a position.
const PLACE: usize = 16;

/// Which organisations to list. Empty or none: all.
#[derive(Default, Debug)]
pub struct Asked {
    pub kind: Option<OrgType>,
    pub region: String,
    pub words: String,
    pub page_size: i32,
    pub page_token: String,
}

/// One page of organisations, and what it rests on.
pub struct Page {
    pub items: Vec<v1::Org>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// An organisation, as far as the caller may see it.
pub struct Seen {
    pub org: v1::Org,
    pub detail: Option<v1::OrgDetail>,
    pub point: v1::PointState,
}

/// Lists organisations in the order of their record ids, which is that of their making.
pub async fn list(app: &App, caller: &Caller, asked: Asked) -> Result<Page> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let size = page_size(asked.page_size)?;
    let question = Question::new("orgs")
        .with(asked.kind.map_or("", OrgType::name))
        .with(&asked.region)
        .with(&asked.words);
    let after: Option<[u8; PLACE]> = question.place(&asked.page_token)?;
    let mut query = Query::parse(&asked.words)?.filter(Filter::Kind, &Kind::ORG.0.to_string());
    if let Some(kind) = asked.kind {
        query = query.filter(Filter::Sort, kind.name());
    }
    if !asked.region.is_empty() {
        let prefix = RegionPrefix::parse(&asked.region, "region")?;
        query = query.filter(Filter::Region, prefix.as_str());
    }
    let mut all = match query.is_hopeless {
        true => Vec::new(),
        false => records::all_carrying_anywhere(app, &query.terms).await?,
    };
    all.retain(|found| {
        let is_after = after.is_none_or(|after| found.row.id.0 > after);
        found.is(Kind::ORG, Audience::Public) && is_after
    });
    all.sort_by_key(|found| found.row.id);
    let mut items = Vec::new();
    let mut next_page_token = String::new();
    for found in &all {
        let org = shown(app, found)?;
        if !query.fits(org.names.iter().map(|name| name.text.as_str())) {
            continue;
        }
        if items.len() == size {
            let last = items.last().map(|org: &v1::Org| org.id.clone()).unwrap_or_default();
            next_page_token = question.token(&RecordId::parse(&last, "id")?.0);
            break;
        }
        items.push(org);
    }
    let points = answers::points(app, &sight, &[Audience::Public]);
    Ok(Page { items, next_page_token, points })
}

/// Gets an organisation by record id or source id; with what points know, for those who work at one.
pub async fn get(app: &App, caller: &Caller, name: &str) -> Result<Seen> {
    let sight = Sight::of(app, caller, Operation::ReadDirectory, Operation::ReadDirectory)?;
    let inner = Sight::of(app, caller, Operation::ReadOrgDetail, Operation::ReadOrgDetail).ok();
    let found = match RecordId::parse(name, "id") {
        Ok(id) => records::find(app, id).await?,
        Err(_) => records::carrying_anywhere(app, filter(Filter::Source, name)).await?,
    };
    let org = found.into_iter().find(|found| found.is(Kind::ORG, Audience::Public));
    let org = org.ok_or(Error::NotFound { noun: "organisation" })?;
    let details = records::find(app, org.row.id).await?;
    let detail = details.iter().find(|found| {
        let may = inner.as_ref().is_some_and(|sight| sight.allows(&found.feed));
        found.is(Kind::ORG_DETAIL, Audience::Network) && may
    });
    let detail = detail.map(Found::message).transpose()?;
    let point = answers::point(app, &sight, &org.feed.home, &[Audience::Public]);
    Ok(Seen { org: shown(app, &org)?, detail, point })
}

/// Enters an organisation at the caller's point.
pub async fn create(
    app: &App,
    caller: &Caller,
    mut new: v1::Org,
    detail: Option<v1::OrgDetail>,
    home: Option<PointCode>,
    request_id: &str,
) -> Result<Seen> {
    caller.may(Operation::EditOrg)?;
    let home = sight::home_for(app, caller, Operation::EditOrg, home)?;
    let id = records::id_of_request(app, &home, Kind::ORG, request_id)?;
    new.source.clear();
    points::name_asserter(app, caller, &mut new.asserted_by);
    let org: Org = new.try_into().map_err(|invalid: Invalid| invalid.under("org"))?;
    let feed = FeedId::new(home.clone(), Audience::Public);
    let payload = v1::Org::from(org).encode_to_vec();
    let change = Change::new().expect(feed.clone(), id, None).put(feed, Kind::ORG, id, payload);
    let change = with_detail(change, &home, id, detail)?;
    match app.writer.commit(change.by(caller.deed(Operation::EditOrg))).await {
        // Made by the same request before: this is its answer again.
        Err(CommitError::Stale) if !request_id.is_empty() => (),
        done => drop(done?),
    }
    get(app, caller, &id.to_string()).await
}

/// Changes an organisation of the caller's point.
pub async fn update(
    app: &App,
    caller: &Caller,
    mut changed: v1::Org,
    detail: Option<v1::OrgDetail>,
) -> Result<Seen> {
    caller.may(Operation::EditOrg)?;
    let id = RecordId::parse(&changed.id, "org.id")?;
    if changed.etag.is_empty() {
        return Err(Invalid::new("org.etag", "required").into());
    }
    let found = records::find(app, id).await?;
    let found = found.into_iter().find(|found| found.is(Kind::ORG, Audience::Public));
    let found = found.ok_or(Error::NotFound { noun: "organisation" })?;
    let home = found.feed.home.clone();
    if !sight::homes(app, caller, Operation::EditOrg).contains(&home) {
        return Err(match app.keys.is_home(&home) {
            true => Error::Denied,
            false => Error::NotHome { home: home.to_string() },
        });
    }
    found.check_etag(app, &changed.etag)?;
    points::name_asserter(app, caller, &mut changed.asserted_by);
    changed.source = found.message::<v1::Org>()?.source;
    let org: Org = changed.try_into().map_err(|invalid: Invalid| invalid.under("org"))?;
    let payload = v1::Org::from(org).encode_to_vec();
    let change = Change::new().expect(found.feed.clone(), id, Some(found.row.sequence)).put(
        found.feed.clone(),
        Kind::ORG,
        id,
        payload,
    );
    let change = with_detail(change, &home, id, detail)?;
    app.writer.commit(change.by(caller.deed(Operation::EditOrg))).await?;
    get(app, caller, &id.to_string()).await
}

fn with_detail(
    change: Change,
    home: &PointCode,
    id: RecordId,
    detail: Option<v1::OrgDetail>,
) -> Result<Change> {
    let Some(detail) = detail else { return Ok(change) };
    let detail: OrgDetail =
        detail.try_into().map_err(|invalid: Invalid| invalid.under("detail"))?;
    let feed = FeedId::new(home.clone(), Audience::Network);
    let payload = v1::OrgDetail::from(detail).encode_to_vec();
    Ok(change.put(feed, Kind::ORG_DETAIL, id, payload))
}

fn shown(app: &App, found: &Found) -> Result<v1::Org> {
    let mut org: v1::Org = found.message()?;
    org.id = found.row.id.to_string();
    org.home = found.feed.home.to_string();
    org.etag = found.etag(app);
    if org.asserted_by.is_empty() {
        org.asserted_by.clone_from(&org.home);
    }
    Ok(org)
}
