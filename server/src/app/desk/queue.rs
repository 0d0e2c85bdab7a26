//! The queue of a point: what is open by what runs out next, what has ended by when it came.

use yizhan_proto::v1;

use super::{escalation::escalated, handles, show::desk_request};
use crate::{
    app::{
        App,
        error::Result,
        help_requests::{
            desks::Desks,
            stored::{Stored, found_at, sealed_feed},
        },
        sight,
    },
    domain::{
        help_state::HelpState,
        id::{PointCode, RecordId},
        kind::Kind,
        page::{Question, page_size},
        policy::{Operation, Reach},
    },
    identity::caller::Caller,
    store::{Slot, help_requests},
};

/// Bytes of a place in a page token: the moment, and the record.
const PLACE: usize = 24;
/// Rows looked at for one page by somebody who sees only some of them.
const LOOKED_MAX: usize = 10_000;

/// Which requests to list.
#[derive(Default, Debug)]
pub struct Asked {
    /// None: all open ones.
    pub state: Option<HelpState>,
    /// None: all of the caller's homes.
    pub point: Option<PointCode>,
    pub page_size: i32,
    pub page_token: String,
}

/// One page, the token of the next, and what points below could not keep to.
#[derive(Debug)]
pub struct Listed {
    pub items: Vec<v1::DeskRequest>,
    pub next_page_token: String,
    pub escalations: Vec<v1::EscalatedRequest>,
}

/// One page of a queue.
pub async fn list(app: &App, caller: &Caller, asked: Asked) -> Result<Listed> {
    let reach = caller.may(Operation::ReadHelpRequest)?;
    let size = page_size(asked.page_size)?;
    let mut homes = match (reach, caller.point()) {
        (Reach::Assigned, Some(point)) => vec![point.clone()],
        _ => sight::homes(app, caller, Operation::ReadHelpRequest),
    };
    homes.retain(|home| asked.point.as_ref().is_none_or(|point| point == home));
    let names: Vec<&str> = homes.iter().map(PointCode::as_str).collect();
    let question =
        Question::new("desk").with(asked.state.map_or("", HelpState::name)).with(&names.join(" "));
    let after = question.place::<PLACE>(&asked.page_token)?.map(place);
    let desks = app.help.desks.get(app).await?;
    let mut view = View { app, caller, desks: &desks, asked: &asked, looked: 0 };

    let mut all = Vec::new();
    for home in &homes {
        all.extend(view.page(home, after, size + 1).await?);
    }
    let newest_first = asked.state.is_some_and(|state| !state.is_open());
    match newest_first {
        true => all.sort_by_key(|one| std::cmp::Reverse(one.place)),
        false => all.sort_by_key(|one| one.place),
    }
    let next = match all.get(size) {
        Some(_) => question.token(&bytes(all[size - 1].place)),
        None => String::new(),
    };
    all.truncate(size);
    let shown: Vec<Item> = all;
    let records = shown.iter().map(|one| (Kind::HELP_REQUEST, one.place.1));
    app.audit.looked(caller, Operation::ReadHelpRequest, records).await?;
    let escalations = match reach {
        Reach::OwnPoint | Reach::Everything => escalated(app, &homes).await?,
        _ => Vec::new(),
    };
    let items = shown.into_iter().map(|one| one.shown).collect();
    Ok(Listed { items, next_page_token: next, escalations })
}

struct Item {
    place: (i64, RecordId),
    shown: v1::DeskRequest,
}

struct View<'a> {
    app: &'a App,
    caller: &'a Caller,
    desks: &'a Desks,
    asked: &'a Asked,
    looked: usize,
}

impl View<'_> {
    /// The next requests of one home.
    async fn page(
        &mut self,
        home: &PointCode,
        after: Option<(i64, RecordId)>,
        size: usize,
    ) -> Result<Vec<Item>> {
        let feed = sealed_feed(home);
        let Some(held) = self.app.heads.find(&feed).and_then(|view| view.held) else {
            return Ok(Vec::new());
        };
        let (now, hours) = (self.app.outside.now(), self.desks.hours(home));
        let mut db = self.app.db.reader().await?;
        let mut items = Vec::new();
        let mut after = after;
        while items.len() < size && self.looked < LOOKED_MAX {
            let rows = self.rows(&mut db, held.slot, after, size).await?;
            self.looked += rows.len();
            let last = rows.last().map(|row| (row.at_us, row.id));
            let positions: Vec<i64> = rows.iter().map(|row| row.position).collect();
            for found in found_at(self.app, &mut db, &positions).await? {
                let stored = Stored::of(found)?;
                let at = rows.iter().find(|row| row.id == stored.id());
                let is_shown = handles(self.app, self.caller, Operation::ReadHelpRequest, &stored);
                if let Some(at) = at.filter(|_| is_shown) {
                    let shown = desk_request(&stored, &hours, now);
                    items.push(Item { place: (at.at_us, at.id), shown });
                }
            }
            if rows.len() < size {
                break;
            }
            after = last;
        }
        Ok(items)
    }

    async fn rows(
        &self,
        db: &mut crate::store::parcels::Connection,
        slot: Slot,
        after: Option<(i64, RecordId)>,
        limit: usize,
    ) -> Result<Vec<help_requests::Queued>> {
        let first = (i64::MIN, RecordId([0; 16]));
        let last = (i64::MAX, RecordId([0xff; 16]));
        Ok(match self.asked.state {
            None => help_requests::list_open(db, slot, after.unwrap_or(first), limit).await?,
            Some(state) if state.is_open() => {
                let state = i64::from(state.number());
                let after = after.unwrap_or(first);
                help_requests::list_open_in(db, slot, state, after, limit).await?
            }
            Some(state) => {
                let state = i64::from(state.number());
                let before = after.unwrap_or(last);
                help_requests::list_ended(db, slot, state, before, limit).await?
            }
        })
    }
}

fn place(bytes: [u8; PLACE]) -> (i64, RecordId) {
    let (mut at, mut id) = ([0; 8], [0; 16]);
    at.copy_from_slice(&bytes[..8]);
    id.copy_from_slice(&bytes[8..]);
    (i64::from_be_bytes(at), RecordId(id))
}

fn bytes(place: (i64, RecordId)) -> [u8; PLACE] {
    let mut bytes = [0; PLACE];
    bytes[..8].copy_from_slice(&place.0.to_be_bytes());
    bytes[8..].copy_from_slice(&place.1.0);
    bytes
}
