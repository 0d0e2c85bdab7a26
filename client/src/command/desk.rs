//! `yizhan desk`: working on the help requests of a point.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use yizhan_client::{
    answer::{Answer, Column},
    channel::{Node, once, repeating},
    document::{
        self,
        help_request::{self as shown, QUEUE_COLUMNS, Queued},
        json as to_json, parse_time, time,
    },
    error::{Error, Result, present},
    pages::{Page, Paging},
    users::needs_approval,
};
use yizhan_proto::v1::{
    AssignDeskRequestRequest, BreakGlassDeskRequestRequest, DeskFigures, DeskRequest,
    DuplicateDeskRequestRequest, GetDeskFiguresRequest, GetDeskRequestRequest,
    GetDeskRequestResponse, ListDeskRequestsRequest, NoteDeskRequestRequest, OfferHandoffRequest,
    RedirectDeskRequestRequest, ReopenDeskRequestRequest, ReplyDeskRequestRequest,
    ResolveDeskRequestRequest, SimulateDeskRoutesRequest, SupplyDeskRequestRequest, SupplyLine,
    TriageDeskRequestRequest, WaitDeskRequestRequest,
};

use super::{Context, attachment, handoff, read_text, request_id};

const FIGURE_COLUMNS: &[Column] = &["point", "id", "category", "state", "channel", "value"];

#[derive(Subcommand)]
pub enum Desk {
    /// Open requests, by what runs out next
    Queue(Queue),
    /// Open a request
    Show {
        reference: String,
        /// Why; goes into the audit
        #[arg(long, default_value = "")]
        purpose: String,
    },
    /// Open a request that you do not handle, or a deputy's copy: with a second person, and the
    /// client is told
    BreakGlass {
        reference: String,
        /// Why; the second person and the client read it
        #[arg(long)]
        reason: String,
        /// At a deputy: the owner can be reached, and has lost its key
        #[arg(long)]
        key_lost: bool,
    },
    /// Save a file of a request
    Attachment {
        reference: String,
        /// Id of the file, as `show` names it
        id: String,
        /// Where to; it must not be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Put category and urgency right
    Triage {
        reference: String,
        #[arg(long, default_value = "")]
        category: String,
        #[arg(long, default_value = "")]
        urgency: String,
    },
    /// Take a request, or give it to somebody
    Assign {
        reference: String,
        /// Name of an account; you, if not given
        #[arg(long, default_value = "", value_name = "NAME")]
        to: String,
    },
    /// Answer the client
    Reply {
        reference: String,
        #[arg(long)]
        text: String,
    },
    /// Write a note that the client never sees
    Note {
        reference: String,
        #[arg(long)]
        text: String,
    },
    /// Ask the client; clocks stand still until there is an answer
    Wait {
        reference: String,
        #[arg(long, default_value = "")]
        text: String,
    },
    /// Not ours: say why, and where to go
    Redirect {
        reference: String,
        #[arg(long)]
        reason: String,
        /// Who can help
        #[arg(long)]
        to: String,
        /// Number or link
        #[arg(long)]
        contact: String,
    },
    /// The same as another request
    Duplicate {
        reference: String,
        /// Reference of the request that goes on
        #[arg(long)]
        of: String,
    },
    /// Done
    Resolve {
        reference: String,
        /// A last word to the client
        #[arg(long, default_value = "")]
        text: String,
        /// advised, helped, supplied, introduced
        #[arg(long, default_value = "", value_name = "CODE")]
        outcome: String,
    },
    /// Take a request up again
    Reopen {
        reference: String,
        /// Why; a note
        #[arg(long, default_value = "")]
        text: String,
    },
    /// Counts of every point; small ones of others are hidden
    Figures {
        /// Code of a point
        #[arg(long, default_value = "", value_name = "POINT")]
        point: String,
    },
    /// Hold past requests against a draft of areas and hours
    Route(Route),
    /// Offer a request to another point; its client is asked first
    Handoff {
        reference: String,
        /// Code of the point
        #[arg(long, value_name = "POINT")]
        to: String,
        /// What it is about, in at most 280 characters that name nobody
        #[arg(long, value_name = "T")]
        summary: String,
        /// Why the client is not asked
        #[arg(long = "override", default_value = "", value_name = "REASON")]
        override_reason: String,
    },
    /// Take over a request that was offered
    Accept {
        #[arg(value_name = "HANDOFF")]
        id: String,
    },
    /// Say why an offered request is not taken over
    Decline {
        #[arg(value_name = "HANDOFF")]
        id: String,
        #[arg(long)]
        reason: String,
        /// Code of a point that could take it
        #[arg(long, default_value = "", value_name = "POINT")]
        suggest: String,
    },
    /// Take an offer back
    Recall {
        #[arg(value_name = "HANDOFF")]
        id: String,
    },
    /// Handoffs to and from your point
    Handoffs {
        /// Those that have ended too
        #[arg(long)]
        ended: bool,
        /// All pages: there is one
        #[arg(long, hide = true)]
        all: bool,
    },
    /// Say what is pledged, sent and received, or fix an appointment
    Supply(Supply),
}

#[derive(Args)]
pub struct Queue {
    #[command(flatten)]
    paging: Paging,
    /// received, triaged, assigned, in_progress, waiting_client, resolved, closed, redirected,
    /// duplicate or withdrawn; all open ones, if not given
    #[arg(long, default_value = "", value_name = "S")]
    state: String,
    /// Code of a hosted point
    #[arg(long, default_value = "", value_name = "POINT")]
    point: String,
}

#[derive(Args)]
pub struct Route {
    /// JSON: {"points": [{"code", "areas", "services", "languages", "hours", "closures", "state",
    /// "cover"}]}; what is left out stays as it is
    #[arg(long, value_name = "FILE")]
    simulate: PathBuf,
    /// Received not before this moment
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Received before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
}

#[derive(Args)]
pub struct Supply {
    reference: String,
    /// ITEM:UNIT:NEEDED:PLEDGED:SENT:RECEIVED
    #[arg(long, value_name = "LINE")]
    line: Vec<String>,
    /// Appointment for advice, RFC 3339
    #[arg(long, value_name = "T")]
    slot: Option<String>,
}

impl Desk {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        let mut desk = node.desk();
        let done = match self {
            Desk::Queue(queue) => return queue.run(&node).await,
            Desk::Show { reference, purpose } => return show(&node, reference, purpose).await,
            Desk::BreakGlass { reference, reason, key_lost } => {
                let request = BreakGlassDeskRequestRequest { reference, reason, key_lost };
                let answer = once(desk.break_glass_desk_request(request)).await?;
                if !answer.approval.is_empty() {
                    return Ok(needs_approval(answer.approval));
                }
                return Ok(Answer::one(opened(&present(answer.opened)?)?));
            }
            Desk::Attachment { reference, id, to } => {
                return attachment::save(&node, reference, id, &to).await;
            }
            Desk::Handoff { reference, to, summary, override_reason } => {
                let request = OfferHandoffRequest { reference, to, summary, override_reason };
                return handoff::offer(&node, request).await;
            }
            Desk::Accept { id } => return handoff::accept(&node, id).await,
            Desk::Decline { id, reason, suggest } => {
                return handoff::decline(&node, id, reason, suggest).await;
            }
            Desk::Recall { id } => return handoff::recall(&node, id).await,
            Desk::Handoffs { ended, all: _ } => return handoff::list(&node, ended).await,
            Desk::Supply(supply) => return supply.run(&node).await,
            Desk::Figures { point } => return figures(&node, point).await,
            Desk::Route(route) => return route.run(&node).await,
            Desk::Triage { reference, category, urgency } => {
                let urgency = shown::urgency_value(&urgency)?;
                let request = TriageDeskRequestRequest { reference, category, urgency };
                once(desk.triage_desk_request(request)).await?.request
            }
            Desk::Assign { reference, to } => {
                let request = AssignDeskRequestRequest { reference, to };
                once(desk.assign_desk_request(request)).await?.request
            }
            Desk::Reply { reference, text } => {
                let request = ReplyDeskRequestRequest { reference, text, request_id: request_id() };
                let reply = repeating(|| {
                    let (mut desk, request) = (node.desk(), request.clone());
                    async move { desk.reply_desk_request(request).await }
                });
                reply.await?.request
            }
            Desk::Note { reference, text } => {
                let request = NoteDeskRequestRequest { reference, text, request_id: request_id() };
                let note = repeating(|| {
                    let (mut desk, request) = (node.desk(), request.clone());
                    async move { desk.note_desk_request(request).await }
                });
                note.await?.request
            }
            Desk::Wait { reference, text } => {
                let request = WaitDeskRequestRequest { reference, text };
                once(desk.wait_desk_request(request)).await?.request
            }
            Desk::Redirect { reference, reason, to, contact } => {
                let request = RedirectDeskRequestRequest { reference, reason, to, contact };
                once(desk.redirect_desk_request(request)).await?.request
            }
            Desk::Duplicate { reference, of } => {
                let request = DuplicateDeskRequestRequest { reference, of };
                once(desk.duplicate_desk_request(request)).await?.request
            }
            Desk::Resolve { reference, text, outcome } => {
                let request = ResolveDeskRequestRequest { reference, text, outcome };
                once(desk.resolve_desk_request(request)).await?.request
            }
            Desk::Reopen { reference, text } => {
                let request = ReopenDeskRequestRequest { reference, text };
                once(desk.reopen_desk_request(request)).await?.request
            }
        };
        Ok(Answer::one(queued(&present(done)?)))
    }
}

impl Queue {
    async fn run(self, node: &Node) -> Result<Answer> {
        let state = shown::state_value(&self.state)?;
        let fetch = async |page_size, page_token: String| {
            let point = self.point.clone();
            let request = ListDeskRequestsRequest { state, point, page_size, page_token };
            let answer = repeating(|| {
                let (mut desk, request) = (node.desk(), request.clone());
                async move { desk.list_desk_requests(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.escalations })
        };
        let page = self.paging.fetch(fetch).await?;
        let escalations: Vec<Value> = page
            .rest
            .iter()
            .map(|one| {
                let word = one.escalation.clone().unwrap_or_default();
                json!({
                    "owner": one.owner, "reference": word.reference, "category": word.category,
                    "urgency": shown::urgency_word(word.urgency), "clock": word.clock,
                    "due_at": time(word.due_time.as_ref()),
                    "state": shown::state_word(word.state),
                    "arrived_at": time(one.arrive_time.as_ref()),
                })
            })
            .collect();
        let items = page.items.iter().map(queued).collect();
        // Whoever may not pass requests on sees none.
        let offered = handoff::fetch(node, false).await.unwrap_or_default();
        let offered: Vec<Value> = offered.iter().map(document::handoff::document).collect();
        Ok(Answer::list(items, page.next_page_token, QUEUE_COLUMNS)
            .with("handoffs", offered.into())
            .with("escalations", escalations.into()))
    }
}

impl Supply {
    async fn run(self, node: &Node) -> Result<Answer> {
        let lines = self.line.iter().map(|text| line(text)).collect::<Result<_>>()?;
        let slot = self.slot.as_deref().map(|text| parse_time(text, "slot")).transpose()?;
        let request =
            SupplyDeskRequestRequest { reference: self.reference, lines, advice_slot_time: slot };
        let done = once(node.desk().supply_desk_request(request)).await?;
        let content = done.content.as_ref().map(shown::content);
        Ok(Answer::one(queued(&present(done.request)?)).with("content", content.into()))
    }
}

impl Route {
    async fn run(self, node: &Node) -> Result<Answer> {
        let moment = |text: &Option<String>, field: &str| {
            text.as_deref().map(|text| parse_time(text, field)).transpose()
        };
        let request = SimulateDeskRoutesRequest {
            draft: read_text(&self.simulate)?,
            from_time: moment(&self.from, "from")?,
            to_time: moment(&self.to, "to")?,
        };
        let found = repeating(|| {
            let (mut desk, request) = (node.desk(), request.clone());
            async move { desk.simulate_desk_routes(request).await }
        });
        let found = found.await?;
        let moves = found.moves.iter().map(|one| {
            json!({"reference": one.reference, "from": one.from, "to": one.to, "rule": one.rule})
        });
        let loads = found
            .loads
            .iter()
            .map(|one| json!({"point": one.point, "before": one.before, "after": one.after}));
        let document = json!({
            "replayed": found.replayed,
            "moved": found.moved,
            "items": moves.collect::<Vec<_>>(),
            "fallback_before": found.fallback_before,
            "fallback_after": found.fallback_after,
            "later": found.later,
            "breached_before": found.breached_before,
            "breached": found.breached,
            "loads": loads.collect::<Vec<_>>(),
        });
        Ok(Answer::shaped(document, "items", &["reference", "from", "to", "rule"])
            .and_rows("loads", &["point", "before", "after"]))
    }
}

async fn figures(node: &Node, point: String) -> Result<Answer> {
    let answer = repeating(|| {
        let (mut desk, point) = (node.desk(), point.clone());
        async move { desk.get_desk_figures(GetDeskFiguresRequest { point }).await }
    });
    let points = answer.await?.points;
    let shown_point = |one: &DeskFigures| {
        let cells = one.cells.iter().map(|cell| {
            json!({
                "category": cell.category, "state": shown::state_word(cell.state),
                "count": cell.count,
            })
        });
        json!({
            "point": one.point, "answered": one.answered, "open": one.open,
            "overdue": one.overdue, "oldest_minutes": one.oldest_minutes,
            "cells": cells.collect::<Vec<_>>(),
            "channels": one.channels.iter().map(|one| json!({
                "channel": one.channel, "count": one.count,
            })).collect::<Vec<_>>(),
        })
    };
    let missing = points.iter().filter(|one| !one.answered).map(|one| one.point.clone());
    let missing = missing.collect();
    let document = json!({
        "figures": points.iter().flat_map(figures_of).collect::<Vec<_>>(),
        "points": points.iter().map(shown_point).collect::<Vec<_>>(),
    });
    let mut answer = Answer::shaped(document, "figures", FIGURE_COLUMNS)
        .and_rows("points", &["point", "answered", "open", "overdue", "oldest_minutes"]);
    answer.missing = missing;
    Ok(answer)
}

/// A point's numbers one by one, for whoever reads rows.
fn figures_of(one: &DeskFigures) -> Vec<Value> {
    if !one.answered {
        return Vec::new();
    }
    let whole = [
        ("open", json!(one.open)),
        ("overdue", json!(one.overdue)),
        ("oldest_minutes", json!(one.oldest_minutes)),
    ];
    let whole = whole.map(|(id, value)| json!({"point": one.point, "id": id, "value": value}));
    let cells = one.cells.iter().map(|cell| {
        json!({
            "point": one.point, "id": "requests", "category": cell.category,
            "state": shown::state_word(cell.state), "value": cell.count,
        })
    });
    let channels = one.channels.iter().map(|way| {
        json!({"point": one.point, "id": "came_by", "channel": way.channel, "value": way.count})
    });
    whole.into_iter().chain(cells).chain(channels).collect()
}

fn line(text: &str) -> Result<SupplyLine> {
    let wrong =
        || Error::usage(format!("--line is ITEM:UNIT:NEEDED:PLEDGED:SENT:RECEIVED, not {text}"));
    let parts: Vec<&str> = text.split(':').collect();
    let &[item, unit, ref numbers @ ..] = &parts[..] else { return Err(wrong()) };
    let numbers: Vec<i32> = numbers
        .iter()
        .map(|number| number.parse())
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| wrong())?;
    let &[needed, pledged, sent, received] = &numbers[..] else { return Err(wrong()) };
    let (item, unit) = (item.to_owned(), unit.to_owned());
    Ok(SupplyLine { item, unit, needed, pledged, sent, received })
}

async fn show(node: &Node, reference: String, purpose: String) -> Result<Answer> {
    let answer = repeating(|| {
        let mut desk = node.desk();
        let (reference, purpose) = (reference.clone(), purpose.clone());
        async move { desk.get_desk_request(GetDeskRequestRequest { reference, purpose }).await }
    });
    Ok(Answer::one(opened(&answer.await?)?))
}

fn opened(found: &GetDeskRequestResponse) -> Result<Value> {
    let mut document = queued(&present(found.request.clone())?);
    let message = |message: &yizhan_proto::v1::DeskMessage| {
        json!({
            "id": message.id, "from": shown::author_word(message.author),
            "at": time(message.time.as_ref()), "by": message.by, "text": message.text,
        })
    };
    document["content"] = found.content.as_ref().map(shown::content).into();
    document["messages"] = found.messages.iter().map(message).collect::<Vec<_>>().into();
    document["readers"] = json!(found.readers);
    document["advice"] = json!(found.redirect);
    Ok(document)
}

fn queued(request: &DeskRequest) -> Value {
    to_json(&Queued::from(request))
}
