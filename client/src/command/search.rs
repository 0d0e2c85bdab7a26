//! `yizhan search`: the same words to all kinds of records, one kind after the other.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use yizhan_client::{
    answer::{Answer, Column},
    channel::{Node, repeating},
    document::{
        answers::{missing, point_states},
        event, group, json as to_json, member, org, point,
    },
    error::{Error, Result},
    pages::{Page, Paging},
};
use yizhan_proto::v1::{
    ListEventsRequest, ListGroupsRequest, ListOrgsRequest, ListPointsRequest, PointState,
    SearchMembersRequest,
};

use super::Context;

const COLUMNS: &[Column] = &["kind", "id", "name", "region", "state", "home"];
/// Items per page where nobody asks for a number.
const SIZE_DEFAULT: i32 = 50;

#[derive(Args)]
pub struct Search {
    /// Words of a name or title; all must match
    words: String,
    /// Only records of this kind; can be given several times
    #[arg(long, value_enum)]
    kind: Vec<Kind>,
    /// Prefix of a region code: 44, 440100, GB
    #[arg(long, default_value = "", value_name = "PREFIX")]
    region: String,
    /// Code of a home point
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
    /// Ask the homes themselves; members and events only
    #[arg(long)]
    live: bool,
    /// Exit with 0 although some point did not answer
    #[arg(long)]
    allow_partial: bool,
    #[command(flatten)]
    paging: Paging,
}

/// What is looked through, in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Kind {
    Member,
    Event,
    Org,
    Group,
    Point,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Member, Kind::Event, Kind::Org, Kind::Group, Kind::Point];

    fn name(self) -> &'static str {
        match self {
            Kind::Member => "member",
            Kind::Event => "event",
            Kind::Org => "org",
            Kind::Group => "group",
            Kind::Point => "point",
        }
    }
}

type Found = Page<Value, Vec<PointState>>;

impl Search {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        let page = self.paging.fetch(async |size, token| self.page(&node, size, token).await);
        let page = page.await?;
        let mut answer = Answer::list(page.items, page.next_page_token, COLUMNS)
            .with("points", point_states(&page.rest));
        if self.live && !self.allow_partial {
            answer.missing = missing(&page.rest);
        }
        Ok(answer)
    }

    /// A page is filled from one kind after the other. Its token is the kind where the next one
    /// begins, and that kind's own token.
    async fn page(&self, node: &Node, size: i32, token: String) -> Result<Found> {
        let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| self.looks_at(*kind)).collect();
        let (name, inner) = token.split_once(':').unwrap_or_default();
        let mut at = match token.as_str() {
            "" => 0,
            _ => kinds.iter().position(|kind| kind.name() == name).ok_or_else(not_a_token)?,
        };
        let mut inner = inner.to_owned();
        let size = if size == 0 { SIZE_DEFAULT } else { size };
        let mut page = Page { items: Vec::new(), next_page_token: String::new(), rest: Vec::new() };
        while let Some(kind) = kinds.get(at) {
            let left = size - page.items.len() as i32;
            if left <= 0 {
                page.next_page_token = format!("{}:{inner}", kind.name());
                break;
            }
            let found = match self.of_kind(node, *kind, left, inner).await {
                // Not for this caller: what else there is, is shown.
                Err(error) if self.kind.is_empty() && is_denied(&error) => {
                    Page { items: Vec::new(), next_page_token: String::new(), rest: Vec::new() }
                }
                found => found?,
            };
            page.items.extend(found.items.into_iter().filter(|item| self.fits(item)));
            add_states(&mut page.rest, found.rest);
            inner = found.next_page_token;
            if inner.is_empty() {
                at += 1;
            }
        }
        Ok(page)
    }

    fn looks_at(&self, kind: Kind) -> bool {
        self.kind.is_empty() || self.kind.contains(&kind)
    }

    /// What the node was not asked to hold the items against.
    fn fits(&self, item: &Value) -> bool {
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let is_at_home = self.home.is_empty() || text("home") == self.home;
        // A node finds groups and points by kind and state alone.
        let is_local = matches!(text("kind"), "group" | "point");
        let title = format!("{} {}", item["name"], item["code"]).to_lowercase();
        let has = |word: &str| title.contains(&word.to_lowercase());
        let is_named = !is_local || self.words.split_whitespace().all(has);
        let is_inside = text("kind") != "group" || text("region").starts_with(&self.region);
        is_at_home && is_named && is_inside
    }

    async fn of_kind(&self, node: &Node, kind: Kind, size: i32, token: String) -> Result<Found> {
        let (page_size, page_token) = (size, token);
        let (words, region, home) = (self.words.clone(), self.region.clone(), self.home.clone());
        let live = self.live;
        macro_rules! asked {
            ($service:ident, $call:ident, $request:expr, $shown:expr) => {{
                let request = $request;
                let answer = repeating(|| {
                    let (mut service, request) = (node.$service(), request.clone());
                    async move { service.$call(request).await }
                });
                let answer = answer.await?;
                Page {
                    items: answer.items.iter().map($shown).collect(),
                    next_page_token: answer.next_page_token,
                    rest: answer.points,
                }
            }};
        }
        Ok(match kind {
            Kind::Member => asked!(
                members,
                search_members,
                SearchMembersRequest {
                    words,
                    region,
                    home,
                    live,
                    page_size,
                    page_token,
                    ..Default::default()
                },
                |found| shown(kind, member::found(found), ["preferred_name", "city_code", ""])
            ),
            Kind::Event => asked!(
                events,
                list_events,
                ListEventsRequest {
                    words,
                    region,
                    home,
                    live,
                    page_size,
                    page_token,
                    ..Default::default()
                },
                |found| {
                    let found = to_json(&event::Event::from(found));
                    shown(kind, found, ["titles", "region_code", "state"])
                }
            ),
            Kind::Org => asked!(
                orgs,
                list_orgs,
                ListOrgsRequest { words, region, page_size, page_token, ..Default::default() },
                |found| {
                    let found = to_json(&org::Org::of(found, None));
                    shown(kind, found, ["names", "region_code", ""])
                }
            ),
            Kind::Group => asked!(
                groups,
                list_groups,
                ListGroupsRequest { page_size, page_token, ..Default::default() },
                |found| {
                    let found = to_json(&group::Group::from(found));
                    shown(kind, found, ["titles", "scope_region", "state"])
                }
            ),
            Kind::Point => asked!(
                points,
                list_points,
                ListPointsRequest { region, page_size, page_token, ..Default::default() },
                |found| {
                    let found = to_json(&point::Point::from(found));
                    shown(kind, found, ["names", "region_code", "state"])
                }
            ),
        })
    }
}

/// What all kinds show alike, and the whole document as its own list shows it.
fn shown(kind: Kind, record: Value, [name, region, state]: [&str; 3]) -> Value {
    json!({
        "kind": kind.name(),
        "id": record["id"],
        "code": record["code"],
        "home": record["home"],
        "name": record[name],
        "region": record[region],
        "state": record[state],
        "record": record,
    })
}

/// One state per point: a point lacks if it lacks in any answer.
fn add_states(all: &mut Vec<PointState>, more: Vec<PointState>) {
    for state in more {
        match all.iter_mut().find(|known| known.point == state.point) {
            Some(known) if known.answered && !state.answered => *known = state,
            Some(_) => (),
            None => all.push(state),
        }
    }
}

fn is_denied(error: &Error) -> bool {
    matches!(error.code, "PERMISSION_DENIED" | "UNAUTHENTICATED")
}

fn not_a_token() -> Error {
    Error::field("page_token", "not_a_page_token", "is not of this question", "不是有效的翻页标记")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(words: &str, region: &str, home: &str) -> Search {
        let paging = Paging { limit: None, page_token: None, all: false };
        let (words, region, home) = (words.into(), region.into(), home.into());
        Search { words, region, home, kind: vec![], live: false, allow_partial: false, paging }
    }

    #[test]
    fn groups_are_found_by_words_region_and_home() {
        let group = json!({
            "id": "1", "home": "CN-440000", "titles": {"en": "Training Cohort 1"},
            "scope_region": "440000", "state": "completed",
        });
        let group = shown(Kind::Group, group, ["titles", "scope_region", "state"]);
        assert_eq!(group["name"]["en"], "Training Cohort 1");
        for (words, region, home, fits) in [
            ("cohort training", "44", "CN-440000", true),
            ("", "", "", true),
            ("cohort 2", "", "", false),
            ("cohort", "GB", "", false),
            ("cohort", "", "GB-LON", false),
        ] {
            assert_eq!(search(words, region, home).fits(&group), fits, "{words} {region} {home}");
        }
    }

    #[test]
    fn a_point_that_lacks_in_one_answer_lacks_in_all() {
        let state = |answered| PointState { point: "HK".into(), answered, ..Default::default() };
        let mut all = vec![state(true)];
        add_states(&mut all, vec![state(false)]);
        add_states(&mut all, vec![state(true)]);
        assert_eq!(all, [state(false)]);
    }
}
