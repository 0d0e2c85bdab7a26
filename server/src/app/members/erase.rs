//! Erasing a member: asked for, previewed, ordered, carried out here; receipts come in by themselves.
//!
//! The order is in the ledger outside the database before anything is deleted. From then on nobody
//! reads the person, whatever the tables still hold, also after they were put back from a backup.

use yizhan_proto::v1::tombstone::Reason;

use super::{
    disclose,
    read::{Own, find_own, home_feed},
};
use crate::{
    app::{
        App,
        approvals::{self, Task},
        copies::{self, Copies},
        erasures::{self, Erasure},
        error::{Error, Result},
        groups,
        holders::own_word,
        ledgers, moves, people,
        records::{self, Found},
        sight::Sight,
        transfers,
    },
    domain::{
        audience::Audience,
        audit::{Deed, NO_RECORD},
        disclosure::Disclosed,
        erasure::{ErasureMove, ErasureState, Identity},
        group::Place,
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Operation,
        text::Invalid,
    },
    feed::change::{Change, CommitError},
    identity::caller::Caller,
    planted::{self, Fault},
    store,
};

/// Tries where somebody writes the member meanwhile.
const TRIES: usize = 5;

/// What somebody asks for.
#[derive(Default, Debug)]
pub struct Wish {
    /// Only say what would go.
    pub preview: bool,
    /// How it was made sure that the person has asked; empty: as is usual.
    pub identity: String,
}

/// What an erasure would remove, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Preview {
    pub records: u32,
    pub appearances: u32,
    pub points: Vec<PointCode>,
}

/// An erasure that was carried out here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Erased {
    pub order: RecordId,
    pub removed: u32,
}

/// What became of a wish.
pub enum Answer {
    Preview(Preview),
    /// This approval is needed first; nothing has changed.
    Asked(RecordId),
    Done(Erased),
}

/// Erases a member: at once if the person orders it, with a second person if somebody else does.
/// Asked again after it was done, it answers with the same order.
pub async fn erase(app: &App, caller: &Caller, id: RecordId, wish: Wish) -> Result<Answer> {
    if let Some(erased) = known(app, caller, id)? {
        return Ok(Answer::Done(erased));
    }
    let home = match home_of(app, caller, id).await {
        Err(Error::NotFound { .. }) if was_here(app, caller, id).await? => {
            // Erased on another node of the point: there is no order here.
            return Ok(Answer::Done(Erased { order: NO_RECORD, removed: 0 }));
        }
        found => found?,
    };
    let state = ErasureState::Requested;
    let is_own = caller.is_person(&home, id);
    check_identity(is_own, &wish.identity)?;
    let state = state.after(ErasureMove::CheckIdentity)?.after(ErasureMove::Preview)?;
    if wish.preview {
        app.audit.looked(caller, Operation::EraseMember, [(Kind::MEMBER, id)]).await?;
        return Ok(Answer::Preview(preview(app, &home, id).await?));
    }
    if is_own {
        own_word(caller)?;
    } else if caller.persons(Operation::EraseMember) > 1 {
        let subject = id.to_string();
        let task = Task::EraseMember { home: home.to_string(), member: subject.clone() };
        let about = (&home, subject.as_str());
        let asked = approvals::order(app, caller, Operation::EraseMember, about, &task).await?;
        return Ok(Answer::Asked(asked));
    }
    state.after(ErasureMove::Order)?;
    let (app, deed) = (app.clone(), caller.deed(Operation::EraseMember));
    // In a task of its own: what is ordered is carried out, whoever still waits for it.
    let carrying_out = tokio::spawn(async move { execute_erasure(&app, deed, &home, id).await });
    Ok(Answer::Done(carrying_out.await.map_err(|_| Error::Busy)??))
}

/// Where a member lies whom the caller may have erased.
async fn home_of(app: &App, caller: &Caller, id: RecordId) -> Result<PointCode> {
    match find_own(app, caller, Operation::EraseMember, id).await? {
        Own::Record(found) => Ok(found.feed.home),
        Own::Cards(cards) => match cards.first() {
            Some(card) => Ok(card.feed.home.clone()),
            None => Err(Error::NotFound { noun: "member" }),
        },
    }
}

/// May whoever asked for it still have the member erased, and is the member still at home there? Whoever
/// was erased since then is.
pub(crate) async fn check_erasable(
    app: &App,
    asker: &Caller,
    home: &PointCode,
    id: RecordId,
) -> Result<()> {
    if known(app, asker, id)?.is_some() || home_of(app, asker, id).await? == *home {
        return Ok(());
    }
    Err(Error::NotFound { noun: "member" })
}

/// The order of a member of the caller's who was erased.
fn known(app: &App, caller: &Caller, id: RecordId) -> Result<Option<Erased>> {
    caller.may(Operation::EraseMember)?;
    let sight = Sight::of(app, caller, Operation::ReadCard, Operation::EraseMember)?;
    let known = app.erasures.find(id).filter(|erasure| sight.is_own(&erasure.home));
    Ok(known.map(|erasure| Erased { order: erasure.order, removed: 0 }))
}

fn check_identity(is_own: bool, identity: &str) -> Result<Identity> {
    let identity = match identity {
        "" if is_own => Identity::SignedIn,
        "" => Identity::InPerson,
        text => Identity::parse(text, "identity")?,
    };
    if (identity == Identity::SignedIn) != is_own {
        return Err(Invalid::new("identity", "unknown_identity_check").into());
    }
    Ok(identity)
}

async fn preview(app: &App, home: &PointCode, id: RecordId) -> Result<Preview> {
    let found = records::find(app, id).await?;
    let own = found.iter().filter(|found| found.feed.home == *home).count();
    let grants = records::grants_of(app, home, id).await?.len();
    let appearances = people::appearances(app, id).await?.len();
    let copies = Copies { db: app.db.clone(), heads: app.heads.clone(), keys: app.keys.clone() };
    let mut points = Vec::new();
    for copy in copies.of_record(home, id).await? {
        let is_held = copy.state == copies::State::Held && copy.audience != Audience::Home;
        if is_held && !points.contains(&copy.point) {
            points.push(copy.point);
        }
    }
    Ok(Preview { records: (own + grants) as u32, appearances: appearances as u32, points })
}

/// Carries an order out: ledger first, then everything in one transaction. Done twice, it is done once.
pub(crate) async fn execute_erasure(
    app: &App,
    deed: Deed,
    home: &PointCode,
    id: RecordId,
) -> Result<Erased> {
    let order = match app.erasures.find(id) {
        Some(known) => known.order,
        None => {
            if versions(app, home, id).await?.is_empty() {
                return Err(Error::NotFound { noun: "member" });
            }
            enter(app, home, id).await?
        }
    };
    let mut removed = 0;
    for attempt in 1.. {
        let Some(change) = change(app, deed.clone(), home, id, order).await? else { break };
        match app.writer.commit(change).await {
            Ok(committed) => {
                removed = committed.changed.iter().filter(|changed| **changed).count() as u32;
                break;
            }
            Err(CommitError::Stale) if attempt < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
    forget_locally(app, id).await?;
    Ok(Erased { order, removed })
}

/// Writes the order into the ledger, durable.
async fn enter(app: &App, home: &PointCode, id: RecordId) -> Result<RecordId> {
    let order = app.outside.record_id();
    let erasure = Erasure { order, record: id, home: home.clone(), ordered: app.outside.now() };
    ledgers::enter(&app.db, erasures::FILE, &app.erasures, erasure).await?;
    Ok(order)
}

/// What nobody but this database knows of a person: sign-in, and what was asked about the person.
pub(crate) async fn forget_locally(app: &App, id: RecordId) -> Result<()> {
    let db = app.db.clone();
    let forgetting = tokio::spawn(async move {
        let mut tx = db.begin().await?;
        store::accounts::delete_of_member(tx.connection(), id).await?;
        store::approvals::forget(tx.connection(), &id.to_string()).await?;
        tx.commit().await
    });
    forgetting.await.map_err(|_| Error::Busy)??;
    Ok(())
}

/// Those versions of the member that are still there at its home.
async fn versions(app: &App, home: &PointCode, id: RecordId) -> Result<Vec<Found>> {
    let mut found = records::find_even_erased(app, id).await?;
    found.retain(|found| {
        found.feed.home == *home
            && matches!(found.row.kind, Kind::MEMBER | Kind::CARD | Kind::PUBLIC_CARD)
    });
    Ok(found)
}

/// The change that leaves nothing; none if nothing is left.
async fn change(
    app: &App,
    deed: Deed,
    home: &PointCode,
    id: RecordId,
    order: RecordId,
) -> Result<Option<Change>> {
    let versions = versions(app, home, id).await?;
    let grants = records::grants_of(app, home, id).await?;
    if versions.is_empty() && grants.is_empty() {
        return Ok(None);
    }
    let mut named = vec![id];
    named.extend(grants.iter().map(|grant| grant.row.id));
    let mut change = Change::new().by(deed.clone()).forget(deed, order, named);
    for found in versions {
        change = change.expect(found.feed, id, Some(found.row.sequence));
    }
    Ok(Some(erasure(app, change, home, id).await?))
}

/// Erases again whoever is in the ledger and back in the tables, as after a restore.
pub(crate) async fn replay(app: &App) -> Result<()> {
    if planted::is(Fault::SkipErasureReplay) {
        return Ok(());
    }
    for erasure in app.erasures.all() {
        if !app.keys.is_home(&erasure.home) {
            continue;
        }
        let deed = Deed::of_node("erase_again");
        let (home, id) = (&erasure.home, erasure.record);
        let Some(change) = change(app, deed, home, id, erasure.order).await? else { continue };
        tracing::warn!(order = %erasure.order, "an erased person was in the tables: erased again");
        app.writer.reconcile(change).await?;
        forget_locally(app, id).await?;
    }
    Ok(())
}

/// Adds to a change that nothing of a member is left at its home.
pub(crate) async fn erasure(
    app: &App,
    mut change: Change,
    home: &PointCode,
    id: RecordId,
) -> Result<Change> {
    for grant in records::grants_of(app, home, id).await? {
        change = change.remove(grant.feed, grant.row.id, Reason::Erased);
    }
    // The appearances stay counted, as one person's, by a token that nobody can make again.
    let token = app.outside.random();
    for at in app.keys.homes() {
        change = people::revise(app, change, &at, id, |appearance| {
            appearance.member = None;
            appearance.release = None;
            appearance.display_names = Default::default();
            appearance.token = token;
        })
        .await?;
        // So does a place in a group.
        change = groups::revise(app, change, &at, id, Place::forget).await?;
    }
    change = transfers::follow(app, change, home, id, None).await?;
    change = moves::ended_with(app, change, home, id).await?;
    change = change.remove(home_feed(home), id, Reason::Erased);
    Ok(disclose(change, home, id, Disclosed::default(), Reason::Erased))
}

/// Was there such a member at one of the caller's own homes?
async fn was_here(app: &App, caller: &Caller, id: RecordId) -> Result<bool> {
    let sight = Sight::of(app, caller, Operation::ReadCard, Operation::EraseMember)?;
    let readable = app.heads.readable_slots();
    let versions = store::records::find(&mut *app.db.reader().await?, id).await?;
    Ok(versions.iter().any(|stored| {
        let feed = readable.get(&stored.slot);
        matches!(stored.row.kind, Kind::MEMBER | Kind::CARD | Kind::PUBLIC_CARD)
            && stored.row.removed
            && feed.is_some_and(|feed| sight.is_own(&feed.home))
    }))
}
