//! Finding members: at the caller's own homes by what the home knows, elsewhere by cards.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use yizhan_proto::v1;

use super::read::{looked, own, rank_of};
use crate::{
    app::{
        App, answers,
        error::{Error, Result},
        live::{self, Wanted},
        records::{Found, Readable, at_one_home, has_left},
        scan::Scan,
        sight::Sight,
        transfers,
    },
    domain::{
        analyzer::{Filter, Query, filter},
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
        language::Language,
        member::Role,
        page::{Question, page_size},
        policy::Operation,
        region::RegionPrefix,
        text::{self, Invalid},
    },
    identity::caller::Caller,
    store::{Slot, database::Reader, records, search},
    wire::terms::MOVED,
};

/// Longest code of a field, in characters.
const FIELD_MAX: usize = 64;
/// Feeds that an answer about members rests on, the one that counts most first.
const AUDIENCES: [Audience; 4] =
    [Audience::Home, Audience::Network, Audience::Domestic, Audience::Public];

/// What to look for. Empty or none: all.
#[derive(Default, Debug)]
pub struct Search {
    pub words: String,
    pub region: String,
    pub field: String,
    pub language: String,
    pub role: Option<Role>,
    pub home: Option<PointCode>,
    pub page_size: i32,
    pub page_token: String,
    pub live: bool,
}

/// One page of members, and what it rests on.
pub struct Page {
    pub items: Vec<v1::FoundMember>,
    pub next_page_token: String,
    pub points: Vec<v1::PointState>,
}

/// Finds members, each once: by the home record where the caller may read that, else by the card,
/// else by the public card.
pub async fn search(app: &App, caller: &Caller, asked: Search) -> Result<Page> {
    let sight = Sight::of(app, caller, Operation::ReadCard, Operation::ReadMember)?;
    let size = page_size(asked.page_size)?;
    let question = question(&asked, &sight);
    let after = question.place(&asked.page_token)?.map_or(0, i64::from_be_bytes);
    let query = query(&asked)?;
    let audiences = audiences(&sight);
    let live = match asked.live {
        true => Some(live::ask(app, caller, Wanted { audiences, figures: false }).await?),
        false => None,
    };
    let mut points = answers::points(app, &sight, audiences);
    live.inspect(|live| live.mark(&mut points));
    let mut page = Page { items: Vec::new(), next_page_token: String::new(), points };
    if query.is_hopeless {
        return Ok(page);
    }

    let (readable, kinds) = sources(app, &sight);
    let slots = slots_of(&readable);
    // Words are rarer than kinds; where there are none, the kind is what is looked up.
    let is_bare = asked.words.trim().is_empty();
    let any: Vec<String> = [Kind::MEMBER, Kind::CARD, Kind::TRANSFER, Kind::PUBLIC_CARD]
        .iter()
        .filter(|kind| is_bare && kinds.contains(kind))
        .map(|kind| filter(Filter::Kind, &kind.0.to_string()))
        .collect();
    let words = search::expression(app.db.dialect, &query.terms, &any).unwrap_or_default();

    let mut db = app.db.reader().await?;
    // Where nobody has ever moved, nobody can be shown at two homes.
    let moved = search::expression(app.db.dialect, &[], &[filter(Filter::Kind, MOVED)]);
    let mut moved = Scan::new(&app.db, moved.unwrap_or_default(), slots_of(&readable), 0);
    let any_moved = !moved.next(&mut db, 1).await?.is_empty();
    let mut scan = Scan::new(&app.db, words, slots, after);
    let mut shown = Vec::new();
    let mut last = after;
    let mut is_full = false;
    while !is_full && !scan.is_over() && !scan.is_tired() {
        let positions = scan.next(&mut db, size + 1 - page.items.len()).await?;
        let stored = records::at(&mut db, app.db.dialect, &positions).await?;
        let richest = richest(app, &mut db, (&readable, any_moved), &sight, &stored).await?;
        for stored in stored {
            let position = stored.slot.position(stored.row.sequence);
            let Some(found) = Found::of(&readable, stored) else { continue };
            let (home, id) = (&found.feed.home, found.row.id);
            if app.erasures.holds(id) || has_left(app, home, id) {
                continue;
            }
            // `public` holds other kinds too. Of copies only those that came here are found by words.
            let is_member = found.row.kind == layer(&found.feed) || is_received(&found);
            let is_poorer = richest.get(&found.row.id).is_some_and(|best| best.is_better(&found));
            if !is_member || is_poorer {
                continue;
            }
            let item = item(&found)?;
            if !query.fits(item.names.iter().map(|name| name.full.as_str())) {
                continue;
            }
            if page.items.len() == size {
                is_full = true;
                break;
            }
            shown.push((found.feed.audience, found.row.kind, found.row.id));
            page.items.push(item);
            last = position;
        }
    }
    drop(db);
    looked(app, caller, shown).await?;
    if is_full {
        page.next_page_token = question.token(&last.to_be_bytes());
    } else if scan.is_tired() {
        page.next_page_token = question.token(&scan.at().to_be_bytes());
    }
    Ok(page)
}

fn audiences(sight: &Sight) -> &'static [Audience] {
    if sight.reads_disclosed() { &AUDIENCES } else { &[Audience::Public] }
}

fn question(asked: &Search, sight: &Sight) -> Question {
    Question::new("members")
        .with(&asked.words)
        .with(&asked.region)
        .with(&asked.field)
        .with(&asked.language)
        .with(asked.role.map_or("", Role::name))
        .with(asked.home.as_ref().map_or("", PointCode::as_str))
        .with(&sight.name())
}

fn query(asked: &Search) -> Result<Query, Invalid> {
    let mut query = Query::parse(&asked.words)?;
    if !asked.region.is_empty() {
        let prefix = RegionPrefix::parse(&asked.region, "region")?;
        query = query.filter(Filter::Region, prefix.as_str());
    }
    if !asked.field.is_empty() {
        query = query.filter(Filter::Field, &text::line(&asked.field, "field", FIELD_MAX)?);
    }
    if !asked.language.is_empty() {
        let language = Language::parse(&asked.language, "language")?;
        query = query.filter(Filter::Language, language.as_str());
    }
    if let Some(role) = asked.role {
        query = query.filter(Filter::Role, role.name());
    }
    if let Some(home) = &asked.home {
        query = query.filter(Filter::Home, home.as_str());
    }
    Ok(query)
}

/// The kind of member record that a feed holds; `public` holds others too.
fn layer(feed: &FeedId) -> Kind {
    match feed.audience {
        Audience::Home | Audience::Sealed => Kind::MEMBER,
        Audience::Domestic | Audience::Network => Kind::CARD,
        Audience::Public | Audience::Roster => Kind::PUBLIC_CARD,
    }
}

/// The copies to look into. At a home of the caller's own the home records hold everything that its
/// cards do; its cards are looked at for members whose home record was lost.
fn sources(app: &App, sight: &Sight) -> (Readable, Vec<Kind>) {
    let mut kinds = Vec::new();
    let mut readable = BTreeMap::clone(&app.heads.readable_slots());
    readable.retain(|_, feed| {
        let is_source = sight.allows(feed);
        if is_source {
            kinds.push(layer(feed));
            if feed.audience == Audience::Home {
                kinds.push(Kind::TRANSFER);
            }
        }
        is_source
    });
    (readable, kinds)
}

fn slots_of(readable: &Readable) -> BTreeSet<Slot> {
    readable.keys().copied().collect()
}

/// What the caller may see of a member, at its best.
struct Best {
    rank: u8,
    /// Where the member is shown.
    homes: Vec<PointCode>,
}

impl Best {
    fn is_better(&self, found: &Found) -> bool {
        self.rank < rank_of(found.row.kind) || !self.homes.contains(&found.feed.home)
    }
}

/// The richest that the caller may see of members whose card is among the hits, at one home: they are
/// found by that alone.
async fn richest(
    app: &App,
    db: &mut Reader,
    (readable, any_moved): (&Readable, bool),
    sight: &Sight,
    stored: &[records::Stored],
) -> Result<HashMap<RecordId, Best>> {
    let may_be_poorer = |stored: &&records::Stored| match stored.row.kind {
        Kind::PUBLIC_CARD => any_moved || sight.reads_disclosed(),
        Kind::TRANSFER => true,
        Kind::CARD => {
            any_moved || readable.get(&stored.slot).is_some_and(|feed| sight.is_own(&feed.home))
        }
        _ => any_moved,
    };
    let ids: Vec<RecordId> =
        stored.iter().filter(may_be_poorer).map(|stored| stored.row.id).collect();
    let mut all: HashMap<RecordId, Vec<Found>> = HashMap::new();
    for found in records::find_many(db, app.db.dialect, &ids).await? {
        let found = Found::of(readable, found).filter(|found| sight.allows(&found.feed));
        if let Some(found) = found {
            all.entry(found.row.id).or_default().push(found);
        }
    }
    let best = all.into_iter().filter_map(|(id, found)| {
        let found = if any_moved { at_one_home(found) } else { found };
        let rank = found.iter().map(|found| rank_of(found.row.kind)).min()?;
        let homes = found.into_iter().map(|found| found.feed.home).collect();
        Some((id, Best { rank, homes }))
    });
    Ok(best.collect())
}

fn is_received(found: &Found) -> bool {
    matches!(transfers::received(found), Ok(Some(_)))
}

/// The caller's own record, as a search would find it.
pub async fn own_item(app: &App, caller: &Caller) -> Result<v1::FoundMember> {
    let id = caller.member().ok_or(Error::NotFound { noun: "member" })?;
    let found = own(app, caller, Operation::ReadMember, id).await?;
    app.audit.looked(caller, Operation::ExportMembers, [(Kind::MEMBER, id)]).await?;
    item(&found)
}

fn item(found: &Found) -> Result<v1::FoundMember> {
    let mut item = v1::FoundMember {
        id: found.row.id.to_string(),
        home: found.feed.home.to_string(),
        audience: found.feed.audience.name().to_owned(),
        ..Default::default()
    };
    let preferred;
    match found.row.kind {
        Kind::MEMBER => {
            let member: v1::Member = found.message()?;
            preferred = member.preferred_script;
            item.names = member.names;
            item.city_code = member.city_code;
            item.fields =
                Some(member.field_group).filter(|group| !group.is_empty()).into_iter().collect();
            item.expertise = member.expertise;
            item.languages.push(member.preferred_language);
            for language in member.other_languages {
                if !item.languages.contains(&language) {
                    item.languages.push(language);
                }
            }
            item.roles = member.roles;
            item.availability = member.availability;
        }
        Kind::CARD | Kind::TRANSFER => {
            let card: v1::Card = match transfers::received(found)? {
                Some((card, from)) => {
                    item.home = from.to_string();
                    item.audience = transfers::AUDIENCE.to_owned();
                    card
                }
                None => found.message()?,
            };
            preferred = card.preferred_script;
            item.names = card.names;
            item.city_code = card.city_code;
            item.fields = card.fields;
            item.expertise = card.expertise;
            item.languages = card.languages;
            item.roles = card.roles;
            item.availability = card.availability;
        }
        _ => {
            let card: v1::PublicCard = found.message()?;
            preferred = card.preferred_script;
            item.names = card.names;
            item.expertise = card.expertise;
        }
    }
    let name = item.names.iter().find(|name| name.script == preferred).or(item.names.first());
    item.preferred_name = name.map(|name| name.full.clone()).unwrap_or_default();
    Ok(item)
}
