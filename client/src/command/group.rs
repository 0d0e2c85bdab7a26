//! `yizhan group`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        answers::{point_state, point_states},
        group::{self, COLUMNS, DUTY_COLUMNS, PLACE_COLUMNS},
        json, new_home, parse_day, read,
    },
    error::{Result, present},
    pages::{Page, Paging},
};
use yizhan_proto::v1::{
    self, CreateGroupRequest, EnrolGroupMemberRequest, GetGroupRequest, ListGroupDutyRequest,
    ListGroupMembersRequest, ListGroupsRequest, MoveGroupMemberRequest, MoveGroupRequest,
    SetGroupDutyRequest,
};

use super::{Context, read_json, request_id};

#[derive(Subcommand)]
pub enum Group {
    /// Plan a group at your point
    Create {
        /// JSON of the group, with the keys that `get` prints; - for stdin
        #[arg(long, value_name = "F.json")]
        file: PathBuf,
        /// Code of a hosted point it is for
        #[arg(long, default_value = "", value_name = "POINT")]
        home: String,
    },
    /// One group, and how many are in it
    Get {
        /// Record id, id of its row, or COHORT-4
        id: String,
    },
    /// Groups of every point
    List(List),
    /// Start, complete or archive a group of your point
    Move {
        /// Record id, id of its row, or COHORT-4
        id: String,
        /// running, completed or archived
        #[arg(long)]
        to: String,
    },
    /// Put a member of your point into a group of any point
    Enrol(Enrol),
    /// Appoint a member who has completed a cohort as its key contact, or move one on otherwise
    Appoint(Appoint),
    /// Who is in a group, as far as you may see it
    Members(Members),
    /// Who is on duty, region by region; with --set, enter who is
    Duty(Duty),
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    paging: Paging,
    /// cohort, liaison, delegation or council
    #[arg(long, default_value = "")]
    kind: String,
    /// planned, running, completed or archived
    #[arg(long, default_value = "")]
    state: String,
}

#[derive(Args)]
pub struct Enrol {
    /// Group: record id, id of its row, or COHORT-4
    group: String,
    /// Record id of the member
    #[arg(long)]
    member: String,
    /// key_contact, duty_contact, delegate or council_member; by the kind of group if not given
    #[arg(long, default_value = "")]
    role: String,
    /// First day; today if not given
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Region that a duty contact looks after
    #[arg(long, default_value = "", value_name = "CODE")]
    region: String,
}

#[derive(Args)]
pub struct Appoint {
    /// Group: record id, id of its row, or COHORT-4
    group: String,
    /// Record id of the member
    #[arg(long)]
    member: String,
    /// completed, active_contact, stood_down or ended
    #[arg(long, default_value = "active_contact")]
    to: String,
    /// Day it holds from, or ends on; today if not given
    #[arg(long, value_name = "DAY")]
    on: Option<String>,
}

#[derive(Args)]
pub struct Members {
    /// Group: record id, id of its row, or COHORT-4
    group: String,
    #[command(flatten)]
    paging: Paging,
    /// enrolled, completed, active_contact, stood_down, active or ended
    #[arg(long, default_value = "")]
    state: String,
}

#[derive(Args)]
pub struct Duty {
    /// Group: record id, id of its row, or COHORT-4
    group: String,
    /// Day to look at; today if not given
    #[arg(long, value_name = "DAY")]
    on: Option<String>,
    /// Prefix of a region code; with --set the region itself
    #[arg(long, default_value = "", value_name = "CODE")]
    region: String,
    /// Enter who is on duty, from --from to --to
    #[arg(long, requires = "from", requires = "to", requires = "region", value_name = "PLACE")]
    set: Option<String>,
    /// Place of who covers
    #[arg(long, default_value = "", requires = "set", value_name = "PLACE")]
    cover: String,
    /// First day
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
}

impl Group {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Group::Create { file, home } => {
                let document: group::Group = read(read_json(&file)?)?;
                let group = Some(v1::Group::try_from(&document)?);
                let home = new_home(home, &document.home)?;
                let request = CreateGroupRequest { group, request_id: request_id(), home };
                let made = repeating(|| {
                    let (mut groups, request) = (node.groups(), request.clone());
                    async move { groups.create_group(request).await }
                });
                shown(made.await?.group)
            }
            Group::Get { id } => {
                let answer = repeating(|| {
                    let (mut groups, id) = (node.groups(), id.clone());
                    async move { groups.get_group(GetGroupRequest { id }).await }
                });
                let answer = answer.await?;
                let state = answer.point.as_ref().map(point_state);
                Ok(shown(answer.group)?
                    .with("places", answer.places.into())
                    .with("persons", answer.persons.into())
                    .with("points", state.into_iter().collect()))
            }
            Group::List(list) => list.run(&node).await,
            Group::Move { id, to } => {
                let state = group::state(&to)?;
                let request = MoveGroupRequest { id, state, etag: String::new() };
                shown(once(node.groups().move_group(request)).await?.group)
            }
            Group::Enrol(enrol) => enrol.run(&node).await,
            Group::Appoint(appoint) => {
                let Appoint { group, member, to, on } = appoint;
                let (state, on) = (group::place_state(&to)?, optional_day(on, "on")?);
                let request = MoveGroupMemberRequest { group, member, state, on };
                place(once(node.groups().move_group_member(request)).await?.member)
            }
            Group::Members(members) => members.run(&node).await,
            Group::Duty(duty) => duty.run(&node).await,
        }
    }
}

impl List {
    async fn run(self, node: &Node) -> Result<Answer> {
        let (kind, state) = (group::kind(&self.kind)?, group::state(&self.state)?);
        let fetch = async |page_size, page_token: String| {
            let request = ListGroupsRequest { page_size, page_token, kind, state };
            let answer = repeating(|| {
                let (mut groups, request) = (node.groups(), request.clone());
                async move { groups.list_groups(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.points })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(|group| json(&group::Group::from(group))).collect();
        Ok(Answer::list(items, page.next_page_token, COLUMNS)
            .with("points", point_states(&page.rest)))
    }
}

impl Enrol {
    async fn run(self, node: &Node) -> Result<Answer> {
        let request = EnrolGroupMemberRequest {
            role: group::role(&self.role)?,
            from: optional_day(self.from, "from")?,
            group: self.group,
            member: self.member,
            duty_region: self.region,
        };
        place(once(node.groups().enrol_group_member(request)).await?.member)
    }
}

impl Members {
    async fn run(self, node: &Node) -> Result<Answer> {
        let state = group::place_state(&self.state)?;
        let fetch = async |page_size, page_token: String| {
            let group = self.group.clone();
            let request = ListGroupMembersRequest { group, page_size, page_token, state };
            let answer = repeating(|| {
                let (mut groups, request) = (node.groups(), request.clone());
                async move { groups.list_group_members(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.points })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(group::card).collect();
        Ok(Answer::list(items, page.next_page_token, PLACE_COLUMNS)
            .with("points", point_states(&page.rest)))
    }
}

impl Duty {
    async fn run(self, node: &Node) -> Result<Answer> {
        if let Some(contact) = self.set {
            let duty = v1::group::Duty {
                region: self.region,
                from: optional_day(self.from, "from")?,
                to: optional_day(self.to, "to")?,
                contact,
                cover: self.cover,
            };
            let etag = String::new();
            let request = SetGroupDutyRequest { group: self.group, duty: Some(duty), etag };
            return shown(once(node.groups().set_group_duty(request)).await?.group);
        }
        let on = optional_day(self.on, "on")?;
        let request = ListGroupDutyRequest { group: self.group, on, region: self.region };
        let answer = repeating(|| {
            let (mut groups, request) = (node.groups(), request.clone());
            async move { groups.list_group_duty(request).await }
        });
        let answer = answer.await?;
        let items = answer.items.iter().map(group::on_duty).collect();
        Ok(Answer::list(items, String::new(), DUTY_COLUMNS)
            .with("uncovered", answer.uncovered.into())
            .with("points", point_states(&answer.points)))
    }
}

fn optional_day(text: Option<String>, field: &str) -> Result<Option<v1::Date>> {
    text.map(|text| parse_day(&text, field)).transpose()
}

fn shown(group: Option<v1::Group>) -> Result<Answer> {
    Ok(Answer::one(json(&group::Group::from(&present(group)?))))
}

fn place(place: Option<v1::GroupMember>) -> Result<Answer> {
    Ok(Answer::one(group::place(&present(place)?)))
}
