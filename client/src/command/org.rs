//! `yizhan org`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        answers::{point_state, point_states},
        json, new_home,
        org::{self, COLUMNS},
        overlay, read, same_home,
    },
    error::{Result, present},
    pages::{Page, Paging},
};
use yizhan_proto::v1::{
    self, CreateOrgRequest, GetOrgRequest, GetOrgResponse, ListOrgsRequest, UpdateOrgRequest,
};

use super::{Context, read_json, request_id};

#[derive(Subcommand)]
pub enum Org {
    /// Organisations of every point
    List(List),
    /// One organisation, with what it reports
    Get {
        /// Record id, or the id of the row it was imported from
        id: String,
    },
    /// Enter an organisation at your point
    Create {
        /// JSON of the organisation, with the keys that `get` prints; - for stdin
        #[arg(long, value_name = "F.json")]
        file: PathBuf,
        /// Code of a hosted point it is for
        #[arg(long, default_value = "", value_name = "POINT")]
        home: String,
    },
    /// Change an organisation of your point
    Update {
        /// Record id, or the id of the row it was imported from
        id: String,
        /// JSON of what changes; keys that are left out stay as they are
        #[arg(long, value_name = "F.json")]
        file: PathBuf,
    },
}

#[derive(Args)]
pub struct List {
    /// Parts of a name; all must match
    #[arg(default_value = "")]
    words: String,
    #[command(flatten)]
    paging: Paging,
    /// park, university, institute, department, association or company
    #[arg(long = "type", default_value = "")]
    kind: String,
    /// Prefix of a region code
    #[arg(long, default_value = "", value_name = "PREFIX")]
    region: String,
}

impl Org {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Org::List(list) => list.run(&node).await,
            Org::Get { id } => {
                let answer = get(&node, &id).await?;
                let state = answer.point.as_ref().map(point_state);
                let shown = shown(answer.org, answer.detail)?;
                Ok(shown.with("points", state.into_iter().collect()))
            }
            Org::Create { file, home } => {
                let document: org::Org = read(read_json(&file)?)?;
                let request = CreateOrgRequest {
                    org: Some(document.org()?),
                    detail: document.detail()?,
                    request_id: request_id(),
                    home: new_home(home, &document.home)?,
                };
                let made = repeating(|| {
                    let (mut orgs, request) = (node.orgs(), request.clone());
                    async move { orgs.create_org(request).await }
                });
                let made = made.await?;
                shown(made.org, made.detail)
            }
            Org::Update { id, file } => {
                let change = read_json(&file)?;
                let current = get(&node, &id).await?;
                let known = org::Org::of(&present(current.org)?, current.detail.as_ref());
                let known = json(&known);
                let changed: org::Org = read(overlay(known.clone(), change))?;
                same_home(&known, &changed.home)?;
                let request =
                    UpdateOrgRequest { org: Some(changed.org()?), detail: changed.detail()? };
                let made = once(node.orgs().update_org(request)).await?;
                shown(made.org, made.detail)
            }
        }
    }
}

impl List {
    async fn run(self, node: &Node) -> Result<Answer> {
        let kind = org::kind(&self.kind)?;
        let fetch = async |page_size, page_token: String| {
            let request = ListOrgsRequest {
                page_size,
                page_token,
                r#type: kind,
                region: self.region.clone(),
                words: self.words.clone(),
            };
            let answer = repeating(|| {
                let (mut orgs, request) = (node.orgs(), request.clone());
                async move { orgs.list_orgs(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.points })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(|org| json(&org::Org::of(org, None))).collect();
        Ok(Answer::list(items, page.next_page_token, COLUMNS)
            .with("points", point_states(&page.rest)))
    }
}

async fn get(node: &Node, id: &str) -> Result<GetOrgResponse> {
    repeating(|| {
        let (mut orgs, id) = (node.orgs(), id.to_owned());
        async move { orgs.get_org(GetOrgRequest { id }).await }
    })
    .await
}

fn shown(org: Option<v1::Org>, detail: Option<v1::OrgDetail>) -> Result<Answer> {
    Ok(Answer::one(json(&org::Org::of(&present(org)?, detail.as_ref()))))
}
