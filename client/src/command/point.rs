//! `yizhan point`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        answers::{point_state, point_states},
        json, overlay, parse_day,
        point::{self, COLUMNS},
        read,
    },
    error::{Result, present},
    pages::{Page, Paging},
    users::needs_approval,
};
use yizhan_proto::v1::{
    self, ClosePointRequest, CreatePointRequest, GetPointRequest, GetPointResponse,
    ListPointsRequest, UpdatePointRequest,
};

use super::{Context, peer, read_json, request_id};

#[derive(Subcommand)]
pub enum Point {
    /// The directory of points
    List(List),
    /// One point
    Get {
        /// Its code, such as CN-440100
        code: String,
    },
    /// Add a point, hosted by the node that is asked
    Create {
        /// JSON of the point, with the keys that `get` prints; - for stdin
        #[arg(long, value_name = "F.json")]
        file: PathBuf,
    },
    /// Change a point's entry
    Update(Update),
    /// Close a point for good
    Close(Close),
    /// Let a point into the network; a second person has to agree
    Admit(peer::Admit),
    /// Put a point out of the network; a second person has to agree
    Revoke(peer::Revoke),
    /// Who is in the network, and who was put out
    Peers(peer::Peers),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    paging: Paging,
    /// Only points that serve or lie in this region: a prefix of its code
    #[arg(long, default_value = "")]
    region: String,
    /// proposed, active, paused or closed; all but closed if not given
    #[arg(long, default_value = "")]
    state: String,
}

#[derive(Args)]
pub struct Update {
    /// Its code
    code: String,
    /// JSON of what changes; keys that are left out stay as they are
    #[arg(long, value_name = "F.json", required_unless_present = "verified_on")]
    file: Option<PathBuf>,
    /// The day on which you have checked the entry; you vouch for it from then on
    #[arg(long, value_name = "DAY")]
    verified_on: Option<String>,
}

#[derive(Args)]
pub struct Close {
    /// Its code
    code: String,
    /// Code of the point that takes over
    #[arg(long, default_value = "")]
    successor: String,
    /// Last day of service
    #[arg(long, value_name = "DAY")]
    closed_on: Option<String>,
}

impl Point {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Point::List(list) => list.run(&node).await,
            Point::Get { code } => {
                let answer = get(&node, &code).await?;
                let state = answer.state.as_ref().map(point_state);
                let shown = shown(answer.point, answer.detail, answer.notes)?;
                Ok(shown.with("points", state.into_iter().collect()))
            }
            Point::Create { file } => {
                let point: point::Point = read(read_json(&file)?)?;
                let request = CreatePointRequest {
                    point: Some(v1::Point::try_from(&point)?),
                    request_id: request_id(),
                    detail: point.detail(),
                    notes: point.notes(),
                };
                let created = repeating(|| {
                    let (mut points, request) = (node.points(), request.clone());
                    async move { points.create_point(request).await }
                });
                let created = created.await?;
                shown(created.point, created.detail, created.notes)
            }
            Point::Update(update) => update.run(&node).await,
            Point::Close(close) => close.run(&node).await,
            Point::Admit(admit) => admit.run(&node).await,
            Point::Revoke(revoke) => revoke.run(&node).await,
            Point::Peers(peers) => peers.run(&node).await,
        }
    }
}

impl List {
    async fn run(self, node: &Node) -> Result<Answer> {
        let state = point::state(&self.state)?;
        let fetch = async |page_size, page_token: String| {
            let region = self.region.clone();
            let request = ListPointsRequest { page_size, page_token, region, state };
            let answer = repeating(|| {
                let (mut points, request) = (node.points(), request.clone());
                async move { points.list_points(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.points })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(|point| json(&point::Point::from(point))).collect();
        Ok(Answer::list(items, page.next_page_token, COLUMNS)
            .with("points", point_states(&page.rest)))
    }
}

impl Update {
    async fn run(self, node: &Node) -> Result<Answer> {
        let current = get(node, &self.code).await?;
        let (detail, notes) = (current.detail.as_ref(), current.notes.as_ref());
        let mut point = point::Point::of(&present(current.point)?, detail, notes);
        if let Some(file) = &self.file {
            point = read(overlay(json(&point), read_json(file)?))?;
        }
        if self.verified_on.is_some() {
            point.verified_on = self.verified_on;
            point.asserted_by.clear();
        }
        let request = UpdatePointRequest {
            point: Some(v1::Point::try_from(&point)?),
            detail: point.detail(),
            notes: point.notes(),
        };
        let updated = once(node.points().update_point(request)).await?;
        if !updated.approval.is_empty() {
            return Ok(needs_approval(updated.approval));
        }
        shown(updated.point, updated.detail, updated.notes)
    }
}

impl Close {
    async fn run(self, node: &Node) -> Result<Answer> {
        let closed_on = self.closed_on.as_deref().map(|day| parse_day(day, "closed_on"));
        let closed_on = closed_on.transpose()?;
        let etag = present(get(node, &self.code).await?.point)?.etag;
        let (code, successor) = (self.code, self.successor);
        let request = ClosePointRequest { code, successor, closed_on, etag };
        shown(once(node.points().close_point(request)).await?.point, None, None)
    }
}

async fn get(node: &Node, code: &str) -> Result<GetPointResponse> {
    repeating(|| {
        let (mut points, code) = (node.points(), code.to_owned());
        async move { points.get_point(GetPointRequest { code }).await }
    })
    .await
}

fn shown(
    point: Option<v1::Point>,
    detail: Option<v1::PointDetail>,
    notes: Option<v1::PointNotes>,
) -> Result<Answer> {
    let point = point::Point::of(&present(point)?, detail.as_ref(), notes.as_ref());
    Ok(Answer::one(json(&point)))
}
