//! Whoever looks here at a member of another home is told there: the person reads at home who looked,
//! wherever that was. The audit itself is the outbox: what it has gained since the last run goes out.

use std::collections::BTreeMap;

use tracing::debug;
use yizhan_proto::v1::{self, Letter, letter};

use super::{App, error::Result, records::Found, transfers};
use crate::{
    domain::{
        audit::Line,
        id::{PointCode, RecordId},
        kind::Kind,
    },
    parcel::{looks::LOOKS_MAX, office::SendError},
    store::{audit, database::Transaction, records},
};

/// Lines looked through in one step.
const LINES: usize = 1_000;
/// Steps of one run, so that a long list does not keep other jobs waiting for the writer.
const STEPS: usize = 20;

/// Tells the homes of what the audit has gained.
pub async fn tell(app: &App) -> Result<()> {
    for _ in 0..STEPS {
        let db = &mut *app.db.reader().await?;
        let told = audit::looks_told(db).await?;
        let lines = audit::after(db, told, LINES).await?;
        let Some(last) = lines.last().map(|line| line.number) else { return Ok(()) };
        let is_end = lines.len() < LINES;
        let looks = of_others(app, lines).await?;
        post(app, looks, last).await?;
        if is_end {
            return Ok(());
        }
    }
    Ok(())
}

/// Those lines that say that somebody was shown a card of another home, by home.
async fn of_others(
    app: &App,
    lines: Vec<Line>,
) -> Result<BTreeMap<PointCode, Vec<v1::looks::Look>>> {
    let is_look =
        |line: &Line| matches!(line.kind, Kind::CARD | Kind::TRANSFER) && line.outcome == "shown";
    let lines: Vec<Line> = lines.into_iter().filter(is_look).collect();
    let mut ids: Vec<RecordId> = lines.iter().map(|line| line.record).collect();
    ids.sort_unstable();
    ids.dedup();
    let slots = app.heads.readable_slots();
    let mut homes: BTreeMap<RecordId, PointCode> = BTreeMap::new();
    for stored in records::find_many(&mut *app.db.reader().await?, app.db.dialect, &ids).await? {
        let Some(feed) = slots.get(&stored.slot) else { continue };
        let id = stored.row.id;
        let home = match stored.row.kind {
            Kind::CARD => Some(feed.home.clone()),
            Kind::TRANSFER => {
                let found = Found { feed: feed.clone(), row: stored.row };
                transfers::received(&found)?.map(|(_, home)| home)
            }
            _ => None,
        };
        if let Some(home) = home.filter(|home| !app.keys.is_home(home)) {
            homes.insert(id, home);
        }
    }
    let mut looks: BTreeMap<PointCode, Vec<v1::looks::Look>> = BTreeMap::new();
    for line in lines {
        let Some(home) = homes.get(&line.record) else { continue };
        looks.entry(home.clone()).or_default().push(v1::looks::Look {
            member: line.record.0.to_vec(),
            time_us: line.time.0,
            actor: line.actor,
            role: line.role,
            point: line.point,
            operation: line.operation,
            purpose: line.purpose,
        });
    }
    Ok(looks)
}

/// The words, and how far the audit has been looked through, in one transaction.
async fn post(
    app: &App,
    looks: BTreeMap<PointCode, Vec<v1::looks::Look>>,
    last: u64,
) -> Result<()> {
    let app = app.clone();
    // In a task of its own: a stop must not leave a transaction open.
    let posting = tokio::spawn(async move {
        let own = app.keys.point.clone();
        let mut tx: Transaction = app.db.begin().await?;
        let mut written = Vec::new();
        for (home, looks) in looks {
            for looks in looks.chunks(LOOKS_MAX) {
                let looks = v1::Looks { looks: looks.to_vec() };
                let letter = Letter { kind: Some(letter::Kind::Looks(looks)) };
                match app.post.write(tx.connection(), &own, &home, &letter).await {
                    Ok(()) => written.push(home.clone()),
                    Err(SendError::Storage(error)) => return Err(error.into()),
                    // Put out, or away for so long that its outbox is full: the looks stay in our audit.
                    Err(error) => debug!(%home, %error, "a home cannot be told who looked here"),
                }
            }
        }
        audit::set_looks_told(tx.connection(), last).await?;
        tx.commit().await?;
        for home in written {
            app.post.written(&own, &home);
        }
        Ok(())
    });
    posting.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}
