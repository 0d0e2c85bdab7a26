//! `yizhan series`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use yizhan_client::{
    answer::Answer,
    channel::repeating,
    document::{
        answers::{point_state, point_states},
        json, new_home, read,
        series::{self, COLUMNS},
    },
    error::{Result, present},
    pages::{Page, Paging},
};
use yizhan_proto::v1::{self, CreateSeriesRequest, GetSeriesRequest, ListSeriesRequest};

use super::{Context, read_json, request_id};

#[derive(Subcommand)]
pub enum Series {
    /// Start a series at your point
    Create(Create),
    /// All series
    List(Paging),
    /// One series
    Get {
        /// Its code, such as TALK
        code: String,
    },
}

#[derive(Args)]
pub struct Create {
    /// JSON of the series, with the keys that `get` prints; - for stdin
    #[arg(long, value_name = "F.json")]
    file: PathBuf,
    /// Code of a hosted point it is for
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
}

impl Series {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Series::Create(create) => {
                let document: series::Series = read(read_json(&create.file)?)?;
                let request = CreateSeriesRequest {
                    series: Some(v1::Series::try_from(&document)?),
                    request_id: request_id(),
                    home: new_home(create.home, &document.home)?,
                };
                let created = repeating(|| {
                    let (mut series, request) = (node.series(), request.clone());
                    async move { series.create_series(request).await }
                });
                Ok(Answer::one(shown(&present(created.await?.series)?)))
            }
            Series::List(paging) => {
                let fetch = async |page_size, page_token: String| {
                    let request = ListSeriesRequest { page_size, page_token };
                    let answer = repeating(|| {
                        let (mut series, request) = (node.series(), request.clone());
                        async move { series.list_series(request).await }
                    });
                    let answer = answer.await?;
                    let next_page_token = answer.next_page_token;
                    Ok(Page { items: answer.items, next_page_token, rest: answer.points })
                };
                let page = paging.fetch(fetch).await?;
                let items = page.items.iter().map(shown).collect();
                Ok(Answer::list(items, page.next_page_token, COLUMNS)
                    .with("points", point_states(&page.rest)))
            }
            Series::Get { code } => {
                let answer = repeating(|| {
                    let (mut series, code) = (node.series(), code.clone());
                    async move { series.get_series(GetSeriesRequest { code }).await }
                });
                let answer = answer.await?;
                let state = answer.point.as_ref().map(point_state);
                Ok(Answer::one(shown(&present(answer.series)?))
                    .with("points", state.into_iter().collect()))
            }
        }
    }
}

fn shown(series: &v1::Series) -> serde_json::Value {
    json(&series::Series::from(series))
}
