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
};
use yizhan_proto::v1::{
    self, ClosePointRequest, CreatePointRequest, GetPointRequest, GetPointResponse,
    ListPointsRequest, UpdatePointRequest,
};

use super::{Context, read_json, request_id};

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
    #[arg(long, value_name = "F.json")]
    file: PathBuf,
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
                let shown = shown(answer.point)?;
                Ok(shown.with("points", state.into_iter().collect()))
            }
            Point::Create { file } => {
                let point: point::Point = read(read_json(&file)?)?;
                let point = Some(v1::Point::try_from(&point)?);
                let request = CreatePointRequest { point, request_id: request_id() };
                let created = repeating(|| {
                    let (mut points, request) = (node.points(), request.clone());
                    async move { points.create_point(request).await }
                });
                shown(created.await?.point)
            }
            Point::Update(update) => update.run(&node).await,
            Point::Close(close) => close.run(&node).await,
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
        let change = read_json(&self.file)?;
        let current = present(get(node, &self.code).await?.point)?;
        let changed = overlay(json(&point::Point::from(&current)), change);
        let point: point::Point = read(changed)?;
        let request = UpdatePointRequest { point: Some(v1::Point::try_from(&point)?) };
        shown(once(node.points().update_point(request)).await?.point)
    }
}

impl Close {
    async fn run(self, node: &Node) -> Result<Answer> {
        let closed_on = self.closed_on.as_deref().map(|day| parse_day(day, "closed_on"));
        let closed_on = closed_on.transpose()?;
        let etag = present(get(node, &self.code).await?.point)?.etag;
        let (code, successor) = (self.code, self.successor);
        let request = ClosePointRequest { code, successor, closed_on, etag };
        shown(once(node.points().close_point(request)).await?.point)
    }
}

async fn get(node: &Node, code: &str) -> Result<GetPointResponse> {
    repeating(|| {
        let (mut points, code) = (node.points(), code.to_owned());
        async move { points.get_point(GetPointRequest { code }).await }
    })
    .await
}

fn shown(point: Option<v1::Point>) -> Result<Answer> {
    Ok(Answer::one(json(&point::Point::from(&present(point)?))))
}
