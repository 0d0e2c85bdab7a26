//! The host's side when a point that it hosted gets a node of its own.
//!
//! The writer has stopped writing and sealed a last state that names the new key. What lies in `home`
//! and `sealed` goes by parcels, a bounded number at a time, and with it whatever of the point lies in
//! this node's own tables: who signs in, files, parcels that nobody has settled. Each letter is posted in
//! the transaction that notes how far it has come, so that a crash loses and doubles nothing. The rows
//! stay here until the point has said that it has them; then nothing of them is left in any file.

use prost::Message;
use tracing::{debug, info, warn};
use yizhan_proto::v1::{self, HomeHandOver, Letter, letter};

use super::{App, error::Result, help_requests, people};
use crate::{
    domain::{
        account::AccountId,
        audience::{Audience, FeedId},
        audit::Deed,
        grant::{Grant, Purpose},
        id::{PointCode, RecordId},
        kind::Kind,
        policy::Role,
        position::{Row, Sequence},
        time::Time,
    },
    feed::{change::Change, seal::Seal},
    link::frame::{PAGE_BYTES, PAGE_ROWS, Packer},
    parcel::{office::SendError, receipts::scrub, seal::SealError},
    store::{
        CopyState, FeedStore, Slot, StoreError, accounts, attachments,
        hand_overs::{self, Progress, Stage, Step},
        leaving::{self, Waiting},
        parcels::{self, Connection, Failure},
        words::Channel,
    },
};

/// Letters posted in one run of the job.
const AT_ONCE: usize = 64;
/// Letters to the point that are not settled; more wait.
const UNDER_WAY_MAX: u64 = 64;
/// Audiences whose rows never go over a link.
pub const PRIVATE: [Audience; 2] = [Audience::Sealed, Audience::Home];
/// Accounts of one letter, and senders whose settled parcels one letter names.
const ACCOUNTS: u32 = 64;
const SERIES: u32 = 256;
/// Settled numbers of one sender in one letter.
const NUMBERS: u32 = 1_000;

/// Goes on with every home that this node has hosted and that has a node of its own now.
pub async fn run(app: &App) -> Result<()> {
    let roster = app.keys.roster();
    let own = &app.keys.point;
    let left = roster.points().filter(|entry| roster.handed_over_by(&entry.code) == Some(own));
    let left: Vec<PointCode> = left.map(|entry| entry.code.clone()).collect();
    for home in left {
        match stage(app, &home).await? {
            Stage::Sending => send(app, &home).await?,
            Stage::Sent | Stage::Cleared => {}
            Stage::Settled => clear(app, &home).await?,
        }
    }
    Ok(())
}

async fn stage(app: &App, home: &PointCode) -> Result<Stage> {
    let progress = hand_overs::find(&mut *app.db.reader().await?, home).await?;
    Ok(progress.unwrap_or_default().stage)
}

async fn send(app: &App, home: &PointCode) -> Result<()> {
    for _ in 0..AT_ONCE {
        // In a task of its own: a stop must not leave a transaction open.
        let step = tokio::spawn(step(app.clone(), home.clone()));
        let step = step.await;
        if !step.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))? {
            break;
        }
    }
    Ok(())
}

/// Posts the next letter; false if there is nothing to do now.
async fn step(app: App, home: PointCode) -> Result<bool> {
    let own = app.keys.point.clone();
    let mut tx = app.db.begin().await?;
    let progress = hand_overs::find(tx.connection(), &home).await?.unwrap_or_default();
    if progress.stage != Stage::Sending {
        return Ok(false);
    }
    let Some(seals) = last_seals(&app, &home) else { return Ok(false) };
    if parcels::count_outgoing(tx.connection(), &own, &home).await? >= UNDER_WAY_MAX {
        return Ok(false);
    }
    let (part, next) = match next_part(&app, tx.connection(), &home, progress.clone()).await? {
        Some(next) => next,
        None => {
            let seals = seals.iter().map(|seal| seal.message().clone()).collect();
            let part = HomeHandOver { last: true, seals, ..of(&home) };
            (part, Progress { stage: Stage::Sent, step: Step::Seals, ..progress })
        }
    };
    let parcel_to: Option<PointCode> =
        part.parcels.first().and_then(|parcel| parcel.to.parse().ok());
    let letter = Letter { kind: Some(letter::Kind::HomeHandOver(part)) };
    match app.post.write(tx.connection(), &own, &home, &letter).await {
        Ok(()) => {}
        Err(SendError::Storage(error)) => return Err(error.into()),
        Err(SendError::Unfit(SealError::TooLarge)) if parcel_to.is_some() => {
            // It left its table in this transaction: counted, and shown as one that was lost.
            warn!(%home, "a parcel of the point is too large to be handed over");
            let (to, now) = (parcel_to.as_ref().unwrap_or(&home), app.outside.now());
            let (lost, why) = (Failure::Undeliverable, "HANDED_OVER");
            parcels::count_failure(tx.connection(), (&home, to), lost, why, 1, now).await?;
        }
        Err(error) => {
            debug!(%home, %error, "records cannot be handed over yet");
            return Ok(false);
        }
    }
    hand_overs::put(tx.connection(), &home, &next).await?;
    tx.commit().await?;
    app.post.written(&own, &home);
    if next.stage == Stage::Sent {
        info!(%home, "records are on their way to the point's own node");
    }
    Ok(true)
}

fn of(home: &PointCode) -> HomeHandOver {
    HomeHandOver { home: home.to_string(), ..HomeHandOver::default() }
}

/// What comes next, and how far that is; none if nothing is left but the seals.
async fn next_part(
    app: &App,
    db: &mut Connection,
    home: &PointCode,
    mut progress: Progress,
) -> Result<Option<(HomeHandOver, Progress)>> {
    loop {
        let found = match progress.step {
            Step::Rows => rows(app, home, &mut progress).await?,
            Step::Taken => taken(app, db, home).await?,
            Step::Settled => settled(db, home, &mut progress).await?,
            Step::Accounts => signing_in(db, home, &mut progress).await?,
            Step::Seals => return Ok(None),
        };
        if let Some(part) = found {
            return Ok(Some((part, progress)));
        }
        progress.step = progress.step.next();
        progress.passed.clear();
    }
}

/// The next rows, with the intake keys among them wrapped for the point's own key.
async fn rows(
    app: &App,
    home: &PointCode,
    progress: &mut Progress,
) -> Result<Option<HomeHandOver>> {
    let Some((feed, rows)) = next_rows(app, home, progress).await? else { return Ok(None) };
    progress.sequence = rows.last().map_or(Sequence(0), |row| row.sequence);
    progress.audience = feed.audience as i64;
    let keys = rewrapped(app, home, &rows)?;
    let (rows_zstd, rows_len) = Packer::new().pack(rows);
    let audience = feed.audience as u32;
    Ok(Some(HomeHandOver { audience, rows_zstd, rows_len, keys, ..of(home) }))
}

fn rewrapped(app: &App, home: &PointCode, rows: &[Row]) -> Result<Vec<v1::RewrappedKey>> {
    let mut keys = Vec::new();
    for row in rows.iter().filter(|row| row.kind == Kind::HELP_KEY && !row.removed) {
        let damaged = |_| StoreError::Damaged { what: "intake key" };
        let record = v1::HelpKey::decode(&row.payload[..]).map_err(damaged)?;
        // One that does not open here would not open there either; its deputy has it.
        let Some(wrap) = app.help.keys.wrap_for(app, &record, row.id, home)? else { continue };
        let (encapsulated, ciphertext) = (wrap.encapsulated, wrap.ciphertext);
        keys.push(v1::RewrappedKey { id: row.id.0.to_vec(), encapsulated, ciphertext });
    }
    Ok(keys)
}

/// What leaves these tables in the transaction that posts it: what has come and waits, files, and
/// parcels on their way out.
async fn taken(app: &App, db: &mut Connection, home: &PointCode) -> Result<Option<HomeHandOver>> {
    if let Some(arrival) = next_arrival(db, home).await? {
        return Ok(Some(HomeHandOver { arrivals: vec![arrival], ..of(home) }));
    }
    if let Some(file) = next_piece(app, db, home).await? {
        return Ok(Some(HomeHandOver { file: Some(file), ..of(home) }));
    }
    while let Some(parcel) = parcels::first_of(db, home).await? {
        let (series, number) = (&parcel.series, parcel.number);
        parcels::close(db, series, number).await?;
        let Some(letter) = app.post.reopen(&parcel)? else {
            let (ends, now) = ((&series.from, &series.to), app.outside.now());
            let lost = Failure::Undeliverable;
            parcels::count_failure(db, ends, lost, "KEY_LOST", 1, now).await?;
            continue;
        };
        let handed = v1::HandedParcel {
            to: series.to.to_string(),
            sender_epoch: series.sender_epoch,
            number,
            written_us: parcel.written.0,
            letter: Some(letter),
        };
        return Ok(Some(HomeHandOver { parcels: vec![handed], ..of(home) }));
    }
    Ok(None)
}

async fn next_arrival(db: &mut Connection, home: &PointCode) -> Result<Option<v1::HandedArrival>> {
    let handed = |waiting: Waiting, kind: letter::Kind| v1::HandedArrival {
        from: waiting.sender,
        letter: Some(Letter { kind: Some(kind) }),
        arrived_us: waiting.arrived_us,
    };
    let damaged = |_| StoreError::Damaged { what: "arrival" };
    if let Some(waiting) = leaving::take_request(db, home).await? {
        let parcel = v1::HelpParcel::decode(&waiting.bytes[..]).map_err(damaged)?;
        return Ok(Some(handed(waiting, letter::Kind::HelpParcel(parcel))));
    }
    if let Some(waiting) = leaving::take_handoff_word(db, home).await? {
        let word = v1::HandoffWord::decode(&waiting.bytes[..]).map_err(damaged)?;
        return Ok(Some(handed(waiting, letter::Kind::HandoffWord(word))));
    }
    if let Some(waiting) = leaving::take_word(db, Channel::Transfers, home).await? {
        let word = v1::TransferWord::decode(&waiting.bytes[..]).map_err(damaged)?;
        return Ok(Some(handed(waiting, letter::Kind::TransferWord(word))));
    }
    if let Some(waiting) = leaving::take_word(db, Channel::Moves, home).await? {
        let word = v1::MoveWord::decode(&waiting.bytes[..]).map_err(damaged)?;
        return Ok(Some(handed(waiting, letter::Kind::MoveWord(word))));
    }
    Ok(None)
}

/// The next piece of a file; a file whose last piece has gone is forgotten.
async fn next_piece(
    app: &App,
    db: &mut Connection,
    home: &PointCode,
) -> Result<Option<v1::HandedFile>> {
    let sealed = FeedId::new(home.clone(), Audience::Sealed);
    let Some(slot) = own_slot(app, &sealed) else { return Ok(None) };
    while let Some((file, request)) = leaving::next_file(db, slot).await? {
        let Some(piece) = attachments::first_piece(db, file).await? else {
            attachments::delete(db, file).await?;
            continue;
        };
        attachments::delete_piece(db, file, piece.number).await?;
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        return Ok(Some(v1::HandedFile {
            id: file.0.to_vec(),
            request: request.0.to_vec(),
            number: count(piece.number),
            pieces: count(piece.of),
            sealed: piece.sealed,
        }));
    }
    Ok(None)
}

/// The next senders whose parcels to the point are settled here. `passed`: sender, epoch and number.
async fn settled(
    db: &mut Connection,
    home: &PointCode,
    progress: &mut Progress,
) -> Result<Option<HomeHandOver>> {
    let mut words = progress.passed.split(' ');
    let sender = words.next().unwrap_or_default().to_owned();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let (epoch, after) = (number(), number());
    // Numbers of the series that the letter before could not name all of.
    if let (Some(epoch), Some(after)) = (epoch, after) {
        let from: PointCode = sender.parse()?;
        let series = parcels::Series { from, to: home.clone(), sender_epoch: epoch };
        let mark = parcels::find_mark(db, &series).await?.unwrap_or(0);
        let part = settled_of(db, &series, mark, after, progress).await?;
        return Ok(Some(HomeHandOver { settled: vec![part], ..of(home) }));
    }
    let marks = parcels::list_marks(db, home, (&sender, epoch.unwrap_or(0)), SERIES).await?;
    let mut settled = Vec::new();
    for (series, mark) in marks {
        let part = settled_of(db, &series, mark, 0, progress).await?;
        let is_long = part.numbers.len() as u32 >= NUMBERS / 4;
        settled.push(part);
        if is_long {
            break;
        }
    }
    Ok((!settled.is_empty()).then(|| HomeHandOver { settled, ..of(home) }))
}

async fn settled_of(
    db: &mut Connection,
    series: &parcels::Series,
    mark: u64,
    after: u64,
    progress: &mut Progress,
) -> Result<v1::SettledParcels> {
    let numbers = parcels::list_settled(db, series, after, NUMBERS).await?;
    progress.passed = format!("{} {}", series.from, series.sender_epoch);
    if let Some((last, _)) = numbers.last().filter(|_| numbers.len() as u32 == NUMBERS) {
        progress.passed = format!("{} {last}", progress.passed);
    }
    let number = |(number, reason)| v1::SettledNumber { number, reason };
    Ok(v1::SettledParcels {
        from: series.from.to_string(),
        sender_epoch: series.sender_epoch,
        mark,
        numbers: numbers.into_iter().map(number).collect(),
    })
}

/// The next accounts, with their passwords' hashes: their owners sign in at the point's own node as
/// they did here. `passed`: the name of the last one.
async fn signing_in(
    db: &mut Connection,
    home: &PointCode,
    progress: &mut Progress,
) -> Result<Option<HomeHandOver>> {
    let mut handed = Vec::new();
    for (account, password_hash) in leaving::accounts(db, home, &progress.passed, ACCOUNTS).await? {
        progress.passed.clone_from(&account.name);
        let roles = roles(db, account.id, home).await?;
        let known = accounts::one_time(db, account.id).await?;
        handed.push(v1::HandedAccount {
            id: account.id.0.to_vec(),
            name: account.name,
            role: account.role.name().to_owned(),
            password_hash,
            password_given: account.password_given,
            password_by: account.password_by,
            confirmed_by: account.confirmed_by,
            created_us: account.created.0,
            disabled_us: account.disabled.map(|Time(us)| us),
            member: account.member.map(|RecordId(id)| id.to_vec()).unwrap_or_default(),
            otp_secret: known.secret.unwrap_or_default(),
            otp_step: known.step,
            roles,
        });
    }
    Ok((!handed.is_empty()).then(|| HomeHandOver { accounts: handed, ..of(home) }))
}

async fn roles(
    db: &mut Connection,
    account: AccountId,
    home: &PointCode,
) -> Result<Vec<v1::HandedRole>> {
    let granted = accounts::grants(db, account).await?;
    let there = granted
        .into_iter()
        .filter(|grant| grant.point == *home && grant.role != Role::ProvincialAdmin);
    let role = |grant: crate::domain::account::RoleGrant| v1::HandedRole {
        role: grant.role.name().to_owned(),
        categories: grant.categories,
        from_us: grant.from.0,
        to_us: grant.to.map(|Time(us)| us),
        granted_by: grant.granted_by,
    };
    Ok(there.map(role).collect())
}

/// The last seals of a home's feeds; none as long as one is not sealed for the last time.
fn last_seals(app: &App, home: &PointCode) -> Option<Vec<Seal>> {
    let successor = app.keys.successor(home)?;
    let mut seals = Vec::new();
    for audience in Audience::RECORDS {
        let held = app.heads.find(&FeedId::new(home.clone(), audience)).and_then(|view| view.held);
        let Some(held) = held else { continue };
        match held.seal {
            Some(seal) if seal.statement().successor == Some(successor) => {
                seals.push(seal.as_ref().clone());
            }
            _ if held.state == CopyState::Own => return None,
            // The point writes it already: its operator did not wait for us.
            _ => {}
        }
    }
    Some(seals)
}

/// The rows after those that are in the outbox.
async fn next_rows(
    app: &App,
    home: &PointCode,
    progress: &Progress,
) -> Result<Option<(FeedId, Vec<Row>)>> {
    for audience in PRIVATE {
        let after = match audience as i64 {
            number if number < progress.audience => continue,
            number if number == progress.audience => progress.sequence,
            _ => Sequence(0),
        };
        let feed = FeedId::new(home.clone(), audience);
        let Some(slot) = own_slot(app, &feed) else { continue };
        let page = app.db.page(slot, after, PAGE_ROWS, PAGE_BYTES).await?;
        if let Some(page) = page.filter(|page| !page.rows.is_empty()) {
            return Ok(Some((feed, page.rows)));
        }
    }
    Ok(None)
}

fn own_slot(app: &App, feed: &FeedId) -> Option<Slot> {
    let held = app.heads.find(feed)?.held?;
    (held.state == CopyState::Own).then_some(held.slot)
}

/// Events of the homes here that name members of the point by a release of theirs have to ask there from
/// now on whether they still may.
async fn note_releases(app: &App, home: &PointCode) -> Result<()> {
    let feed = FeedId::new(home.clone(), Audience::Home);
    let Some(slot) = own_slot(app, &feed) else { return Ok(()) };
    let mut after = Sequence(0);
    loop {
        let page = app.db.page(slot, after, PAGE_ROWS, PAGE_BYTES).await?;
        let rows = page.map(|page| page.rows).unwrap_or_default();
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.sequence;
        for row in rows.into_iter().filter(|row| row.kind == Kind::GRANT && !row.removed) {
            let grant = v1::Grant::decode(&row.payload[..]).ok();
            let Some(grant) = grant.and_then(|grant| Grant::try_from(grant).ok()) else { continue };
            if grant.purpose != Purpose::MediaRelease {
                continue;
            }
            let member = grant.member.record();
            let change = Change::new().by(Deed::of_node("hand_over"));
            let change = people::gone_to(app, change, (home, home), member).await?;
            if !change.writes.is_empty() {
                app.writer.commit(change).await?;
            }
        }
    }
}

/// Nothing that only the point may know is kept here once it has everything: neither in tables nor in
/// the index nor in the log. Every step starts from what is stored, and the last says that it is done.
async fn clear(app: &App, home: &PointCode) -> Result<()> {
    note_releases(app, home).await?;
    let sealed = FeedId::new(home.clone(), Audience::Sealed);
    if let Some(slot) = own_slot(app, &sealed) {
        help_requests::leading_on::leave_stubs(app, home, slot).await?;
    }
    for audience in PRIVATE {
        let feed = FeedId::new(home.clone(), audience);
        if own_slot(app, &feed).is_some() {
            info!(%feed, "handed over: cleared away here");
            app.writer.retire(feed).await;
        }
    }
    // In a task of its own, because it holds transactions.
    let clearing = tokio::spawn(scrub_of(app.clone(), home.clone()));
    clearing.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))
}

async fn scrub_of(app: App, home: PointCode) -> Result<()> {
    let mut tx = app.db.begin().await?;
    if hand_overs::has_private(tx.connection(), &home).await? {
        // The writer is at work on it, here or at another node of this database.
        return Ok(());
    }
    leaving::clear(tx.connection(), &home).await?;
    tx.commit().await?;
    if !scrub(&app.db).await? {
        debug!(%home, "bytes of the point are still in the log");
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    let progress = hand_overs::find(tx.connection(), &home).await?.unwrap_or_default();
    hand_overs::put(tx.connection(), &home, &Progress { stage: Stage::Cleared, ..progress })
        .await?;
    tx.commit().await?;
    info!(%home, "handed over: nothing is left here of what only the point may know");
    Ok(())
}
