//! One export from its first page to its last.

use tokio::sync::mpsc;
use yizhan_proto::v1;

use super::{
    cells::{self, Cells},
    consents, persons,
};
use crate::{
    app::{
        App,
        error::{Error, Result},
        events, groups, members, orgs, points, series,
    },
    domain::{
        code::named,
        event::EventState,
        group::GroupState,
        id::PointCode,
        member::Role,
        point::PointState,
        policy::{Operation, Reach},
        text::Invalid,
    },
    identity::caller::Caller,
};

/// Rows of one page.
const PAGE: i32 = 500;
/// Pages of one export, so that none runs for ever.
const PAGES_MAX: usize = 100_000;

named! {
    /// What can be taken out. Numbers are ours; none is on the wire.
    ExportKind, "unknown_export_kind";
    Member = 1 "member",
    Event = 2 "event",
    Point = 3 "point",
    Org = 4 "org",
    Group = 5 "group",
    Series = 6 "series",
    Grant = 7 "grant",
    GroupMember = 8 "group_member",
}

impl ExportKind {
    /// Rows that are about somebody.
    fn is_of_persons(self) -> bool {
        matches!(self, ExportKind::Member | ExportKind::Grant | ExportKind::GroupMember)
    }
}

/// What to take out, and which of it. Empty or none: all.
#[derive(Clone, Debug)]
pub struct Asked {
    pub kind: ExportKind,
    pub words: String,
    pub region: String,
    pub field: String,
    pub language: String,
    pub role: Option<Role>,
    pub home: Option<PointCode>,
    pub host: Option<PointCode>,
    pub state: String,
    pub series: String,
}

/// A piece of the table, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    Columns(Vec<&'static str>),
    Rows(Vec<Cells>),
    End { rows: u64 },
}

/// Sends the table piece by piece, until it ends or nobody listens. What was taken out is in the
/// audit however it ended.
pub async fn run(
    app: &App,
    caller: &Caller,
    asked: Asked,
    pieces: mpsc::Sender<Piece>,
) -> Result<()> {
    caller.may(Operation::Export)?;
    if asked.kind == ExportKind::Member {
        caller.may(Operation::ExportMembers)?;
    } else if caller.reach(Operation::Export) == Reach::Own {
        return Err(Error::Denied);
    }
    let mut rows = 0;
    let done = send_all(app, caller, &asked, &pieces, &mut rows).await;
    let outcome = format!("{} rows={rows}", asked.kind.name());
    app.audit.note(vec![caller.deed(Operation::Export).on_nothing(outcome)]).await?;
    if done? {
        // Whoever hung up learns nothing, and needs not.
        let _ = pieces.send(Piece::End { rows }).await;
    }
    Ok(())
}

/// False: nobody listens.
async fn send_all(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    pieces: &mpsc::Sender<Piece>,
    rows: &mut u64,
) -> Result<bool> {
    if matches!(asked.kind, ExportKind::Grant | ExportKind::GroupMember) {
        caller.may(Operation::ReadMember)?;
    }
    let columns = columns(app, caller, asked.kind);
    if pieces.send(Piece::Columns(columns.clone())).await.is_err() {
        return Ok(false);
    }
    let mut token = String::new();
    for _ in 0..PAGES_MAX {
        let (page, next) = page(app, caller, asked, &columns, token).await?;
        if asked.kind.is_of_persons() && !page.is_empty() {
            app.audit.spend(caller, page.len() as u64, app.outside.now()).await?;
        }
        *rows += page.len() as u64;
        if !page.is_empty() && pieces.send(Piece::Rows(page)).await.is_err() {
            return Ok(false);
        }
        if next.is_empty() {
            return Ok(true);
        }
        token = next;
    }
    Ok(true)
}

/// The columns of a table, as far as the caller may see them at all.
fn columns(app: &App, caller: &Caller, kind: ExportKind) -> Vec<&'static str> {
    match kind {
        ExportKind::Member => persons::columns(app, caller),
        ExportKind::Event => cells::EVENT.to_vec(),
        ExportKind::Point => cells::POINT.to_vec(),
        ExportKind::Org => cells::ORG.to_vec(),
        ExportKind::Group => cells::GROUP.to_vec(),
        ExportKind::Series => cells::SERIES.to_vec(),
        ExportKind::Grant => consents::GRANT.to_vec(),
        ExportKind::GroupMember => consents::PLACE.to_vec(),
    }
}

/// One page of rows, and the token of the next.
async fn page(
    app: &App,
    caller: &Caller,
    asked: &Asked,
    columns: &[&'static str],
    page_token: String,
) -> Result<(Vec<Cells>, String)> {
    let page_size = PAGE;
    Ok(match asked.kind {
        ExportKind::Member if caller.reach(Operation::ExportMembers) == Reach::Own => {
            let own = members::own_item(app, caller).await?;
            (persons::rows(app, caller, vec![own], columns).await?, String::new())
        }
        ExportKind::Member | ExportKind::Grant | ExportKind::GroupMember => {
            let search = members::Search {
                words: asked.words.clone(),
                region: asked.region.clone(),
                field: asked.field.clone(),
                language: asked.language.clone(),
                role: asked.role,
                home: asked.home.clone(),
                page_size,
                page_token,
                live: false,
            };
            let page = members::search(app, caller, search).await?;
            let rows = match asked.kind {
                ExportKind::Grant => consents::grants(app, caller, &page.items).await?,
                ExportKind::GroupMember => consents::places(app, caller, &page.items).await?,
                _ => persons::rows(app, caller, page.items, columns).await?,
            };
            (rows, page.next_page_token)
        }
        ExportKind::Event => {
            let list = events::Asked {
                series: asked.series.clone(),
                state: state(&asked.state, EventState::parse)?,
                home: asked.home.clone(),
                host: asked.host.clone(),
                region: asked.region.clone(),
                words: asked.words.clone(),
                page_size,
                page_token,
                ..events::Asked::default()
            };
            let page = events::list(app, caller, list).await?;
            (page.items.into_iter().map(cells::event).collect(), page.next_page_token)
        }
        ExportKind::Point => {
            let list = points::Asked {
                region: asked.region.clone(),
                state: state(&asked.state, PointState::parse)?,
                page_size,
                page_token,
            };
            let page = points::list(app, caller, list).await?;
            let rows = page.items.into_iter().map(cells::point).collect::<Result<_>>()?;
            (rows, page.next_page_token)
        }
        ExportKind::Org => {
            let list = orgs::Asked {
                kind: None,
                region: asked.region.clone(),
                words: asked.words.clone(),
                page_size,
                page_token,
            };
            let page = orgs::list(app, caller, list).await?;
            (page.items.into_iter().map(cells::org).collect(), page.next_page_token)
        }
        ExportKind::Group => {
            let state = state(&asked.state, GroupState::parse)?;
            let list = groups::Asked { kind: None, state, page_size, page_token };
            let page = groups::list(app, caller, list).await?;
            (page.items.into_iter().map(cells::group).collect(), page.next_page_token)
        }
        ExportKind::Series => {
            let page = series::list(app, caller, page_size, &page_token).await?;
            (page.items.into_iter().map(cells::series).collect(), page.next_page_token)
        }
    })
}

fn state<T>(text: &str, read: fn(&str, &str) -> Result<T, Invalid>) -> Result<Option<T>> {
    Ok((!text.is_empty()).then(|| read(text, "state")).transpose()?)
}

impl From<Piece> for v1::ExportResponse {
    fn from(piece: Piece) -> v1::ExportResponse {
        use v1::export_response::{self as message, Part};
        let part = match piece {
            Piece::Columns(names) => Part::Columns(message::Columns {
                names: names.into_iter().map(str::to_owned).collect(),
            }),
            Piece::Rows(rows) => Part::Rows(message::Rows {
                rows: rows.into_iter().map(|cells| message::Cells { cells }).collect(),
            }),
            Piece::End { rows } => Part::End(message::End { rows }),
        };
        v1::ExportResponse { part: Some(part) }
    }
}
