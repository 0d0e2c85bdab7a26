//! Changing a point's entry: at once by whoever may, with a second person's word by whoever may only
//! propose. Staff propose to an administrator of the point; whom a point serves is the province's word.

use prost::Message;
use yizhan_proto::v1;

use super::{
    read::{Seen, get},
    write::{Parts, check_days, check_known, commit, name_asserter, own},
};
use crate::{
    app::{
        App,
        approvals::{self, Task},
        error::{Error, Result},
        sight,
    },
    domain::{
        audit::Deed,
        id::{PointCode, RecordId},
        point::{Point, PointMove},
        policy::Operation,
        text::Invalid,
    },
    identity::caller::Caller,
};

/// Largest entry that waits for somebody's word, in bytes: as much as a sealed row may hold.
const PROPOSAL_MAX: usize = 64 * 1024;

/// What somebody wants an entry to be. Code, parent and node are not changed here.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The whole new entry, with the etag of the version that it was made from.
    pub point: v1::Point,
    pub detail: Option<v1::PointDetail>,
    pub notes: Option<v1::PointNotes>,
}

/// What became of a wish.
#[derive(Debug)]
pub enum Answer {
    Done(Box<Seen>),
    /// This approval is needed first; nothing has changed.
    Asked(RecordId),
}

/// Changes a point's entry, or asks whoever may.
pub async fn update(app: &App, caller: &Caller, mut wish: Wish) -> Result<Answer> {
    caller.may(Operation::ProposePoint)?;
    let code: PointCode = crate::wire::value::point_code(&wish.point.code, "point.code")?;
    if wish.point.etag.is_empty() {
        return Err(Invalid::new("point.etag", "required").into());
    }
    own(app, caller, Operation::ProposePoint, &code).await?;
    name_asserter(app, caller, &mut wish.point.asserted_by);
    let checked = check(app, caller, Operation::ProposePoint, &code, &wish).await?;
    let seen = get(app, caller, &code).await?;
    let moves_parts = (wish.detail.is_some() && wish.detail != seen.detail)
        || (wish.notes.is_some() && wish.notes != seen.notes);
    // The province says whom a point serves, and of that nothing but the areas.
    let is_of_areas = checked.moves_areas && !checked.moves_rest && !moves_parts;
    let may = |operation| sight::homes(app, caller, operation).contains(&code);
    let lacking = match checked.moves_areas {
        true if !may(Operation::ApproveAreas) => Some(Operation::ApproveAreas),
        _ if !is_of_areas && !may(Operation::EditPoint) => Some(Operation::EditPoint),
        _ => None,
    };
    if let Some(operation) = lacking {
        let request = v1::UpdatePointRequest {
            point: Some(wish.point),
            detail: wish.detail,
            notes: wish.notes,
        };
        let request = request.encode_to_vec();
        if request.len() > PROPOSAL_MAX {
            return Err(Invalid::new("point", "too_long").into());
        }
        let task = Task::EditPoint { point: code.to_string(), request: hex::encode(request) };
        let about = (&code, code.as_str());
        return Ok(Answer::Asked(approvals::order(app, caller, operation, about, &task).await?));
    }
    checked.commit(app, caller.deed(Operation::EditPoint)).await?;
    Ok(Answer::Done(Box::new(get(app, caller, &code).await?)))
}

/// Does what was proposed and agreed to, if the entry is still the one that it was made from.
pub async fn carry_out(app: &App, deed: Deed, code: &str, request: &str) -> Result<()> {
    let code: PointCode = code.parse()?;
    let damaged = || Error::Precondition {
        reason: "TASK_UNKNOWN",
        message: "this version does not know the task".into(),
    };
    let bytes = hex::decode(request).map_err(|_| damaged())?;
    let request = v1::UpdatePointRequest::decode(&bytes[..]).map_err(|_| damaged())?;
    let point = request.point.ok_or_else(damaged)?;
    let wish = Wish { point, detail: request.detail, notes: request.notes };
    let node = Caller::Operator { point: app.keys.point.clone() };
    let done = match check(app, &node, Operation::ReadDirectory, &code, &wish).await {
        Ok(checked) => checked.commit(app, deed).await,
        Err(error) => Err(error),
    };
    done.map_err(|error| match error {
        Error::Stale => Error::Precondition {
            reason: "POINT_CHANGED",
            message: "the entry was changed after this was proposed: propose it again".into(),
        },
        error => error,
    })
}

/// A change that breaks no rule.
struct Checked {
    found: crate::app::records::Found,
    point: Point,
    parts: Parts,
    /// It says anew whom the point serves.
    moves_areas: bool,
    /// It says something else anew.
    moves_rest: bool,
}

impl Checked {
    async fn commit(self, app: &App, deed: Deed) -> Result<()> {
        commit(app, &self.found, self.point, self.parts, deed).await
    }
}

async fn check(
    app: &App,
    caller: &Caller,
    operation: Operation,
    code: &PointCode,
    wish: &Wish,
) -> Result<Checked> {
    let found = own(app, caller, operation, code).await?;
    found.check_etag(app, &wish.point.etag)?;
    let mut changed = wish.point.clone();
    let before: v1::Point = found.message()?;
    changed.parent.clone_from(&before.parent);
    changed.node.clone_from(&before.node);
    changed.source.clone_from(&before.source);
    let before: Point = found.value::<v1::Point, _>()?;
    let point: Point = changed.try_into().map_err(|invalid: Invalid| invalid.under("point"))?;
    let moves = [PointMove::Open, PointMove::Pause, PointMove::Resume];
    let is_move = |step: &PointMove| before.state.after(*step) == Ok(point.state);
    if before.state != point.state && !moves.iter().any(is_move) {
        return Err(Invalid::new("point.state", "move_refused").hint(before.state.ways()).into());
    }
    check_days(app, &point)?;
    point.check_cover().map_err(|invalid| invalid.under("point"))?;
    // What was named before may be gone by now; what is new has to be there.
    for (field, named) in point.named_points() {
        if !before.named_points().any(|known| known == (field, named)) {
            check_known(app, named, &format!("point.{field}"))?;
        }
    }
    let parts = Parts::read(wish.detail.clone(), wish.notes.clone())?;
    let moves_areas = point.areas != before.areas;
    let moves_rest = Point { areas: before.areas.clone(), ..point.clone() } != before;
    Ok(Checked { found, point, parts, moves_areas, moves_rest })
}
