//! `yizhan event`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        answers::{missing, point_state, point_states},
        event::{self, COLUMNS},
        json, new_home, overlay, parse_time, read, same_home,
    },
    error::{Result, present},
    pages::{Page, Paging},
};
use yizhan_proto::v1::{
    self, CancelEventRequest, CreateEventRequest, GetEventRequest, GetEventResponse,
    HoldEventRequest, ListEventsRequest, PostponeEventRequest, PublishEventRequest,
    RescheduleEventRequest, UpdateEventRequest,
};

use super::{Context, read_json, request_id};

#[derive(Subcommand)]
pub enum Event {
    /// Make a draft at your point
    Create(Create),
    /// One event, by id or number such as TALK-20; at its home with the plan
    Get {
        /// Its id or number
        id: String,
    },
    /// Events by start
    List(List),
    /// Change an event's plan
    Update(Update),
    /// Show a draft to everybody
    Publish(Move),
    /// Move a published event to other times
    Reschedule(Reschedule),
    /// Put a published event off
    Postpone(Move),
    /// Call an event off
    Cancel(Move),
    /// Note that an event took place
    Hold(Move),
}

#[derive(Args)]
pub struct Create {
    /// JSON of the event, with the keys that `get` prints; - for stdin
    #[arg(long, value_name = "F.json")]
    file: PathBuf,
    /// Code of a hosted point it is for
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
}

#[derive(Args)]
pub struct List {
    #[command(flatten)]
    paging: Paging,
    /// Words of titles; all must match
    #[arg(default_value = "")]
    words: String,
    /// Code of a series, such as TALK
    #[arg(long, default_value = "", value_name = "CODE")]
    series: String,
    /// draft, published, rescheduled, postponed, running, held, archived or cancelled
    #[arg(long, default_value = "")]
    state: String,
    /// Starting not before this moment
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Starting before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// Code of a home point
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
    /// Code of a point that leads it or has accepted to be a co-host
    #[arg(long, default_value = "", value_name = "POINT")]
    host: String,
    /// Prefix of a region code
    #[arg(long, default_value = "", value_name = "PREFIX")]
    region: String,
    /// Ask the homes themselves
    #[arg(long)]
    live: bool,
    /// Exit with 0 although some point did not answer
    #[arg(long)]
    allow_partial: bool,
}

#[derive(Args)]
pub struct Update {
    /// Its id or number
    id: String,
    /// JSON of what changes; keys that are left out stay as they are
    #[arg(long, value_name = "F.json")]
    file: PathBuf,
}

#[derive(Args)]
pub struct Move {
    /// Its id or number
    id: String,
    /// Only if the event is still this version; the present one if not given
    #[arg(long)]
    etag: Option<String>,
}

#[derive(Args)]
pub struct Reschedule {
    #[command(flatten)]
    event: Move,
    /// New start
    #[arg(long, value_name = "T")]
    starts_at: String,
    /// New end
    #[arg(long, value_name = "T")]
    ends_at: String,
}

impl Event {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        let mut events = node.events();
        let moved = match self {
            Event::Create(create) => return create.run(&node).await,
            Event::List(list) => return list.run(&node).await,
            Event::Update(update) => return update.run(&node).await,
            Event::Get { id } => {
                let answer = get(&node, &id).await?;
                let state = answer.point.as_ref().map(point_state);
                let shown = Answer::one(json(&document(answer)?));
                return Ok(shown.with("points", state.into_iter().collect()));
            }
            Event::Publish(event) => {
                let (id, etag) = event.version(&node).await?;
                once(events.publish_event(PublishEventRequest { id, etag })).await?.event
            }
            Event::Reschedule(to) => {
                let start_time = Some(parse_time(&to.starts_at, "starts_at")?);
                let end_time = Some(parse_time(&to.ends_at, "ends_at")?);
                let (id, etag) = to.event.version(&node).await?;
                let request = RescheduleEventRequest { id, etag, start_time, end_time };
                once(events.reschedule_event(request)).await?.event
            }
            Event::Postpone(event) => {
                let (id, etag) = event.version(&node).await?;
                once(events.postpone_event(PostponeEventRequest { id, etag })).await?.event
            }
            Event::Cancel(event) => {
                let (id, etag) = event.version(&node).await?;
                let request = CancelEventRequest { id: id.clone(), etag };
                match once(events.cancel_event(request)).await?.event {
                    // It never was public: only its home knows of it.
                    None => return Ok(Answer::one(json(&document(get(&node, &id).await?)?))),
                    event => event,
                }
            }
            Event::Hold(event) => {
                let (id, etag) = event.version(&node).await?;
                once(events.hold_event(HoldEventRequest { id, etag })).await?.event
            }
        };
        Ok(Answer::one(json(&event::Event::from(&present(moved)?))))
    }
}

impl Create {
    async fn run(self, node: &Node) -> Result<Answer> {
        let document: event::Event = read(read_json(&self.file)?)?;
        let request = CreateEventRequest {
            plan: Some(v1::EventPlan::try_from(&document)?),
            request_id: request_id(),
            home: new_home(self.home, &document.home)?,
        };
        let created = repeating(|| {
            let (mut events, request) = (node.events(), request.clone());
            async move { events.create_event(request).await }
        });
        Ok(Answer::one(json(&event::Event::from(&present(created.await?.plan)?))))
    }
}

impl List {
    async fn run(self, node: &Node) -> Result<Answer> {
        let time = |text: &Option<String>, field| {
            text.as_deref().map(|text| parse_time(text, field)).transpose()
        };
        let asked = ListEventsRequest {
            series: self.series,
            state: event::state(&self.state)?,
            from_time: time(&self.from, "from")?,
            to_time: time(&self.to, "to")?,
            home: self.home,
            region: self.region,
            words: self.words,
            live: self.live,
            host: self.host,
            ..ListEventsRequest::default()
        };
        let fetch = async |page_size, page_token: String| {
            let request = ListEventsRequest { page_size, page_token, ..asked.clone() };
            let answer = repeating(|| {
                let (mut events, request) = (node.events(), request.clone());
                async move { events.list_events(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.points })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(|event| json(&event::Event::from(event))).collect();
        let mut answer = Answer::list(items, page.next_page_token, COLUMNS)
            .with("points", point_states(&page.rest));
        if self.live && !self.allow_partial {
            answer.missing = missing(&page.rest);
        }
        Ok(answer)
    }
}

impl Update {
    async fn run(self, node: &Node) -> Result<Answer> {
        let change = read_json(&self.file)?;
        let current = json(&document(get(node, &self.id).await?)?);
        let changed: event::Event = read(overlay(current.clone(), change))?;
        same_home(&current, &changed.home)?;
        let request = UpdateEventRequest { plan: Some(v1::EventPlan::try_from(&changed)?) };
        let updated = once(node.events().update_event(request)).await?.plan;
        Ok(Answer::one(json(&event::Event::from(&present(updated)?))))
    }
}

impl Move {
    /// Record id and version of the event that moves on.
    async fn version(self, node: &Node) -> Result<(String, String)> {
        let current = document(get(node, &self.id).await?)?;
        Ok((current.id, self.etag.unwrap_or(current.etag)))
    }
}

async fn get(node: &Node, id: &str) -> Result<GetEventResponse> {
    repeating(|| {
        let (mut events, id) = (node.events(), id.to_owned());
        async move { events.get_event(GetEventRequest { id }).await }
    })
    .await
}

/// The plan where the caller may see it, else the public side.
fn document(answer: GetEventResponse) -> Result<event::Event> {
    match answer.plan {
        Some(plan) if plan.event.is_some() => Ok(event::Event::from(&plan)),
        _ => Ok(event::Event::from(&present(answer.event)?)),
    }
}
