//! The desk's queries: by look-up id, by reference, by what runs out next; counters of references; and
//! the local tables beside the feeds.

use sqlx::{AnyConnection, FromRow, Row as _, any::AnyRow};

use super::{
    Slot, StoreError, bulk,
    database::failed,
    dialect::{Dialect, Sql, over_list, over_rows},
    records::{Stored, list},
};
use crate::domain::{
    entry::{DeskEntry, Entry},
    id::RecordId,
    position::Sequence,
};

const ENTER_REQUESTS: Sql = over_rows!(
    "insert into help_requests (position, slot, id, reference, lookup, state, is_open, category,
       urgency, region, language, assignee, received_us, due_us, keep_step, keep_since_us, sealed_by,
       channel)
     select cast(value->>0 as bigint), $2, substr($3, cast(value->>1 as int), 16), value->>2,
            substr($4, cast(value->>1 as int), 16), cast(value->>3 as bigint),
            cast(value->>4 as bigint), value->>5, cast(value->>6 as bigint), value->>7, value->>8,
            value->>9, cast(value->>10 as bigint), cast(value->>11 as bigint),
            cast(value->>12 as bigint), cast(value->>13 as bigint), value->>14, value->>15",
    "where true"
);
const ENTER_MESSAGES: Sql = over_rows!(
    "insert into help_messages (position, id, request, time_us)
     select cast(value->>0 as bigint), substr($2, cast(value->>1 as int), 16),
            substr($3, cast(value->>1 as int), 16), cast(value->>2 as bigint)",
    "where true"
);
/// Rows of (who asks, how many before it, position, id, kind, removed, payload), in one result row.
macro_rules! led {
    (each: $each:literal, given: $given:literal) => {
        concat!(
            "with led as (
               select given.asker, given.messages, h.position, h.id from ", $given, "
               join help_requests h on h.lookup = substr($2, given.asker * 16 + 1, 16)),
             said as (
               select led.asker, led.messages, m.position,
                 row_number() over (partition by led.asker order by m.time_us desc, m.id desc) as nth
               from led join help_messages m on m.request = led.id),
             found as (
               select led.asker, 0 as nth, r.position, r.id, r.kind, r.removed, r.payload
               from led join records r on r.position = led.position
               union all
               select said.asker, said.nth, r.position, r.id, r.kind, r.removed, r.payload
               from said join records r on r.position = said.position
               where said.nth <= said.messages)
             select ", $each, " from "
        )
    };
}
const FIND_BY_LOOKUPS: Sql = Sql {
    sqlite: concat!(
        led!(
            each: "group_concat(position), group_concat(kind), group_concat(removed),
                   group_concat(length(payload)), cast(group_concat(id, '') as blob),
                   cast(group_concat(payload, '') as blob), group_concat(asker)",
            given: "(select key as asker, value as messages from json_each($1)) as given"
        ),
        "(select * from found order by asker, nth, position)"
    ),
    postgres: concat!(
        led!(
            each: "string_agg(cast(position as text), ',' order by asker, nth, position),
                   string_agg(cast(kind as text), ',' order by asker, nth, position),
                   string_agg(cast(removed as text), ',' order by asker, nth, position),
                   string_agg(cast(length(payload) as text), ',' order by asker, nth, position),
                   string_agg(id, cast('' as bytea) order by asker, nth, position),
                   string_agg(payload, cast('' as bytea) order by asker, nth, position),
                   string_agg(cast(asker as text), ',' order by asker, nth, position)",
            given: "(select cast(key - 1 as int) as asker, cast(value as int) as messages
                     from json_array_elements_text(cast($1 as json))
                       with ordinality as list(value, key)) as given"
        ),
        "found"
    ),
};
pub(super) const REMOVE_REQUESTS: Sql =
    over_list!("delete from help_requests where position in (select cast(value as bigint)", ")");
pub(super) const REMOVE_MESSAGES: Sql =
    over_list!("delete from help_messages where position in (select cast(value as bigint)", ")");

/// Makes requests, stubs and messages findable; one statement per sort, however many there are.
pub(super) async fn enter(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    entries: &[Entry],
) -> Result<(), StoreError> {
    let (mut requests, mut ids, mut lookups) = (Vec::new(), Vec::new(), Vec::new());
    let (mut messages, mut message_ids, mut parents) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let position = slot.position(entry.sequence);
        match &entry.desk {
            None => (),
            Some(DeskEntry::Request(one)) => {
                requests.push(serde_json::json!([
                    position,
                    ids.len() + 1,
                    one.reference,
                    one.state,
                    i64::from(one.is_open),
                    one.category,
                    one.urgency,
                    one.region,
                    one.language,
                    one.assignee,
                    one.received_us,
                    one.due_us,
                    one.keep_step,
                    one.keep_since_us,
                    one.key.map(|key| key.to_string()).unwrap_or_default(),
                    one.channel,
                ]));
                ids.extend(one.id.0);
                lookups.extend(one.lookup);
            }
            Some(DeskEntry::Message { id, request, time_us }) => {
                messages.push(serde_json::json!([position, message_ids.len() + 1, time_us]));
                message_ids.extend(id.0);
                parents.extend(request.0);
            }
        }
    }
    if !requests.is_empty() {
        sqlx::query(dialect.pick(ENTER_REQUESTS))
            .bind(serde_json::Value::from(requests).to_string())
            .bind(i64::from(slot.0))
            .bind(ids)
            .bind(lookups)
            .execute(&mut *db)
            .await
            .map_err(failed)?;
    }
    if !messages.is_empty() {
        sqlx::query(dialect.pick(ENTER_MESSAGES))
            .bind(serde_json::Value::from(messages).to_string())
            .bind(message_ids)
            .bind(parents)
            .execute(&mut *db)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// A row that is all a queue needs to page on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queued {
    pub position: i64,
    /// What the queue is ordered by.
    pub at_us: i64,
    pub id: RecordId,
}

impl FromRow<'_, AnyRow> for Queued {
    fn from_row(row: &AnyRow) -> Result<Queued, sqlx::Error> {
        let id: Vec<u8> = row.try_get("id")?;
        let id = id.try_into().map_err(|_| sqlx::Error::Decode("id length".into()))?;
        Ok(Queued {
            position: row.try_get("position")?,
            at_us: row.try_get("at_us")?,
            id: RecordId(id),
        })
    }
}

/// Requests of one copy that these look-up ids lead to, and which id leads to each.
pub(super) async fn looked_up(
    db: &mut AnyConnection,
    dialect: Dialect,
    slot: Slot,
    lookups: &[[u8; 16]],
) -> Result<Vec<([u8; 16], RecordId)>, StoreError> {
    // Only the look-up id is asked for: the databases would rather go through a whole copy.
    const LOOKED_UP: Sql = over_list!(
        "select h.slot, h.state, h.lookup, h.id",
        "join help_requests h on h.lookup = substr($2, cast(value as int), 16)"
    );
    let found = sqlx::query(dialect.pick(LOOKED_UP))
        .bind(list((0..lookups.len()).map(|at| at as i64 * 16 + 1)))
        .bind(lookups.concat())
        .fetch_all(db)
        .await
        .map_err(failed)?;
    let bytes = |row: &AnyRow, name: &str| -> Result<[u8; 16], StoreError> {
        let bytes: Vec<u8> = row.try_get(name)?;
        bytes.try_into().map_err(|_| StoreError::Damaged { what: "look-up id" })
    };
    let mut requests = Vec::new();
    for row in &found {
        let (lies_in, state): (i64, i64) = (row.try_get("slot")?, row.try_get("state")?);
        if lies_in == i64::from(slot.0) && state > 0 {
            requests.push((bytes(row, "lookup")?, RecordId(bytes(row, "id")?)));
        }
    }
    Ok(requests)
}

/// A look-up id to ask for, and how many messages are wanted with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lookup {
    pub id: [u8; 16],
    pub messages: usize,
}

/// For each of these look-up ids the records that it leads to, and the newest messages of them, newest
/// first. Wrong codes and unknown references find nothing alike. One statement and one result row,
/// however many are asked for: each of them costs more than what it finds.
pub async fn find_by_lookups(
    db: &mut AnyConnection,
    dialect: Dialect,
    lookups: &[Lookup],
) -> Result<Vec<Vec<Stored>>, StoreError> {
    let query = sqlx::query(dialect.pick(FIND_BY_LOOKUPS))
        .bind(list(lookups.iter().map(|lookup| lookup.messages as i64)))
        .bind(lookups.iter().flat_map(|lookup| lookup.id).collect::<Vec<u8>>());
    let found = query.fetch_one(db).await.map_err(failed)?;
    let mut each = vec![Vec::new(); lookups.len()];
    let Some(askers) = found.try_get::<Option<String>, _>(6)? else { return Ok(each) };
    let askers: Vec<&str> = askers.split(',').collect();
    let found = bulk::stored(&found)?;
    let damaged = || StoreError::Damaged { what: "row" };
    if found.len() != askers.len() {
        return Err(damaged());
    }
    for (asker, stored) in askers.into_iter().zip(found) {
        let asker: usize = asker.parse().map_err(|_| damaged())?;
        each.get_mut(asker).ok_or_else(damaged)?.push(stored);
    }
    Ok(each)
}

/// Positions of records with this reference, stubs included.
pub async fn find_by_reference(
    db: &mut AnyConnection,
    reference: &str,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar("select position from help_requests where reference = $1 order by position")
        .bind(reference)
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// Open requests of one copy by what runs out next, from just after a place.
pub async fn list_open(
    db: &mut AnyConnection,
    slot: Slot,
    after: (i64, RecordId),
    limit: usize,
) -> Result<Vec<Queued>, StoreError> {
    sqlx::query_as(
        "select position, due_us as at_us, id from help_requests
         where slot = $1 and is_open = 1 and state > 0 and (due_us, id) > ($2, $3)
         order by due_us, id limit $4",
    )
    .bind(i64::from(slot.0))
    .bind(after.0)
    .bind(after.1.0.to_vec())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Open requests of one copy in one state, by what runs out next.
pub async fn list_open_in(
    db: &mut AnyConnection,
    slot: Slot,
    state: i64,
    after: (i64, RecordId),
    limit: usize,
) -> Result<Vec<Queued>, StoreError> {
    sqlx::query_as(
        "select position, due_us as at_us, id from help_requests
         where slot = $1 and is_open = 1 and state = $5 and (due_us, id) > ($2, $3)
         order by due_us, id limit $4",
    )
    .bind(i64::from(slot.0))
    .bind(after.0)
    .bind(after.1.0.to_vec())
    .bind(limit as i64)
    .bind(state)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Requests of one copy that ended in one state, the newest first, from just before a place.
pub async fn list_ended(
    db: &mut AnyConnection,
    slot: Slot,
    state: i64,
    before: (i64, RecordId),
    limit: usize,
) -> Result<Vec<Queued>, StoreError> {
    sqlx::query_as(
        "select position, received_us as at_us, id from help_requests
         where slot = $1 and is_open = 0 and state = $5 and (received_us, id) < ($2, $3)
         order by received_us desc, id desc limit $4",
    )
    .bind(i64::from(slot.0))
    .bind(before.0)
    .bind(before.1.0.to_vec())
    .bind(limit as i64)
    .bind(state)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Requests of a copy, open and ended, in the order of their versions: for those who replay them.
pub async fn list_received(
    db: &mut AnyConnection,
    slot: Slot,
    span: std::ops::Range<i64>,
    after: i64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(
        "select position from help_requests
         where position > $1 and position <= $2 and state > 0
           and received_us >= $3 and received_us < $4 order by position limit $5",
    )
    .bind(after.max(slot.position(Sequence(0))))
    .bind(slot.position(Sequence::MAX))
    .bind(span.start)
    .bind(span.end)
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Open requests of one copy one of whose clocks has run out, the earliest first.
pub async fn list_overdue(
    db: &mut AnyConnection,
    slot: Slot,
    now_us: i64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(
        "select position from help_requests where slot = $1 and is_open = 1 and state > 0
           and due_us < $2 order by due_us, id limit $3",
    )
    .bind(i64::from(slot.0))
    .bind(now_us)
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Stubs of one copy whose request is still to be sent.
pub async fn list_unsent(
    db: &mut AnyConnection,
    slot: Slot,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    sqlx::query_scalar(
        "select position from help_requests where slot = $1 and is_open = 1 and state = 0
         order by due_us, id limit $2",
    )
    .bind(i64::from(slot.0))
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Requests of one copy whose next step of retention is this one and whose phase began before a
/// moment, the earliest first, from just after a place.
pub async fn list_kept(
    db: &mut AnyConnection,
    slot: Slot,
    (step, before_us): (i32, i64),
    after: (i64, RecordId),
    limit: usize,
) -> Result<Vec<Queued>, StoreError> {
    sqlx::query_as(
        "select position, keep_since_us as at_us, id from help_requests
         where slot = $1 and keep_step = $2 and keep_since_us <= $3
           and (keep_since_us, id) > ($4, $5)
         order by keep_since_us, id limit $6",
    )
    .bind(i64::from(slot.0))
    .bind(i64::from(step))
    .bind(before_us)
    .bind(after.0)
    .bind(after.1.0.to_vec())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Does a request of this copy need the key, or is one there of which that is not known?
pub async fn is_key_used(
    db: &mut AnyConnection,
    slot: Slot,
    key: RecordId,
) -> Result<bool, StoreError> {
    let found: Option<i64> = sqlx::query_scalar(
        "select position from help_requests
         where slot = $1 and (sealed_by = $2 or sealed_by = '?') limit 1",
    )
    .bind(i64::from(slot.0))
    .bind(key.to_string())
    .fetch_optional(db)
    .await
    .map_err(failed)?;
    Ok(found.is_some())
}

/// How many requests of one copy there are per category and state.
pub async fn count(
    db: &mut AnyConnection,
    slot: Slot,
) -> Result<Vec<(String, i64, i64)>, StoreError> {
    sqlx::query_as(
        "select category, state, count(*) from help_requests where slot = $1 and state > 0
         group by category, state order by category, state",
    )
    .bind(i64::from(slot.0))
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// How many requests of one copy came which way.
pub async fn count_channels(
    db: &mut AnyConnection,
    slot: Slot,
) -> Result<Vec<(String, i64)>, StoreError> {
    sqlx::query_as(
        "select channel, count(*) from help_requests where slot = $1 and state > 0
         group by channel order by channel",
    )
    .bind(i64::from(slot.0))
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Open requests of one copy, of one category or (empty) of all: how many, how many are overdue, when
/// the oldest was received.
pub async fn count_open(
    db: &mut AnyConnection,
    slot: Slot,
    now_us: i64,
    category: &str,
) -> Result<(i64, i64, Option<i64>), StoreError> {
    sqlx::query_as(
        "select count(*), coalesce(sum(case when due_us < $2 then 1 else 0 end), 0) + 0,
                min(received_us)
         from help_requests where slot = $1 and is_open = 1 and state > 0
           and ($3 = '' or category = $3)",
    )
    .bind(i64::from(slot.0))
    .bind(now_us)
    .bind(category)
    .fetch_one(db)
    .await
    .map_err(failed)
}

/// A request's newest messages, oldest first.
pub async fn list_messages(
    db: &mut AnyConnection,
    request: RecordId,
    limit: usize,
) -> Result<Vec<Stored>, StoreError> {
    let mut newest: Vec<Stored> = sqlx::query_as(
        "select r.position, r.id, r.kind, r.removed, r.payload
         from help_messages m join records r on r.position = m.position
         where m.request = $1 order by m.time_us desc, m.id desc limit $2",
    )
    .bind(request.0.to_vec())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    newest.reverse();
    Ok(newest)
}

/// Takes the next `block` numbers of a point and year, and gives the first. Where the epoch is
/// another than before, `skip` numbers are left out: people may have seen them. So they are where a
/// point that is not in its first epoch has no counter of this one.
pub async fn take_numbers(
    db: &mut AnyConnection,
    (point, year): (&str, i64),
    epoch: i64,
    block: i64,
    skip: i64,
) -> Result<i64, StoreError> {
    let newest: i64 = sqlx::query_scalar(
        "insert into help_counters (point, year, epoch, newest)
         values ($1, $2, $3, $4 + case when $6 = 1 and not exists
           (select 1 from help_counters known where known.point = $1 and known.epoch = $3)
           then $5 else 0 end)
         on conflict (point, year) do update set
           newest = help_counters.newest + $4
             + case when help_counters.epoch = excluded.epoch then 0 else $5 end,
           epoch = excluded.epoch
         returning newest",
    )
    .bind(point)
    .bind(year)
    .bind(epoch)
    .bind(block)
    .bind(skip)
    .bind(i64::from(epoch != 1))
    .fetch_one(db)
    .await
    .map_err(failed)?;
    Ok(newest - block + 1)
}

/// A request that has come by parcel.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Code of the point that took it in. It speaks for its own requests, and for no others.
    pub sender: String,
    pub id: RecordId,
    pub owner: String,
    pub reference: String,
    pub parcel: Vec<u8>,
    pub arrived_us: i64,
}

/// Keeps a request that has come; false if this very sender's is here already, which stays as it is.
pub async fn put_arrival(db: &mut AnyConnection, arrival: &Arrival) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "insert into help_parcels (sender, id, owner, reference, parcel, arrived_us)
         values ($1, $2, $3, $4, $5, $6) on conflict (sender, id) do nothing",
    )
    .bind(&arrival.sender)
    .bind(arrival.id.0.to_vec())
    .bind(&arrival.owner)
    .bind(&arrival.reference)
    .bind(&arrival.parcel[..])
    .bind(arrival.arrived_us)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(done.rows_affected() > 0)
}

/// From here on all arrivals are listed.
pub const FIRST_ARRIVAL: (i64, RecordId) = (i64::MIN, RecordId([0; 16]));

/// What has come and is not entered yet, oldest first, from just after an arrival.
pub async fn list_arrivals(
    db: &mut AnyConnection,
    (arrived_us, id): (i64, RecordId),
    limit: usize,
) -> Result<Vec<Arrival>, StoreError> {
    sqlx::query_as(
        "select sender, id, owner, reference, parcel, arrived_us from help_parcels
         where (arrived_us, id) > ($1, $2) order by arrived_us, id, sender limit $3",
    )
    .bind(arrived_us)
    .bind(id.0.to_vec())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// What a sender's under this id is, if it has come and is not entered yet.
pub async fn find_arrival(
    db: &mut AnyConnection,
    sender: &str,
    id: RecordId,
) -> Result<Option<Arrival>, StoreError> {
    sqlx::query_as(
        "select sender, id, owner, reference, parcel, arrived_us from help_parcels
         where sender = $1 and id = $2",
    )
    .bind(sender)
    .bind(id.0.to_vec())
    .fetch_optional(db)
    .await
    .map_err(failed)
}

/// Has a request come under this id, of whomever?
pub async fn has_arrived(db: &mut AnyConnection, id: RecordId) -> Result<bool, StoreError> {
    let found: i64 = sqlx::query_scalar("select count(*) from help_parcels where id = $1")
        .bind(id.0.to_vec())
        .fetch_one(db)
        .await
        .map_err(failed)?;
    Ok(found > 0)
}

/// The owner of a request that has come and is not entered yet, by its reference.
pub async fn arriving(
    db: &mut AnyConnection,
    reference: &str,
) -> Result<Option<String>, StoreError> {
    sqlx::query_scalar("select owner from help_parcels where reference = $1 limit 1")
        .bind(reference)
        .fetch_optional(db)
        .await
        .map_err(failed)
}

/// Requests of a sender that wait, as far as `limit`.
pub async fn count_arrivals(
    db: &mut AnyConnection,
    sender: &str,
    limit: i64,
) -> Result<i64, StoreError> {
    sqlx::query_scalar(
        "select count(*) from (select 1 from help_parcels where sender = $1 limit $2) as waiting",
    )
    .bind(sender)
    .bind(limit)
    .fetch_one(db)
    .await
    .map_err(failed)
}

pub async fn remove_arrival(
    db: &mut AnyConnection,
    sender: &str,
    id: RecordId,
) -> Result<(), StoreError> {
    sqlx::query("delete from help_parcels where sender = $1 and id = $2")
        .bind(sender)
        .bind(id.0.to_vec())
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

impl FromRow<'_, AnyRow> for Arrival {
    fn from_row(row: &AnyRow) -> Result<Arrival, sqlx::Error> {
        let id: Vec<u8> = row.try_get("id")?;
        let id = id.try_into().map_err(|_| sqlx::Error::Decode("id length".into()))?;
        Ok(Arrival {
            sender: row.try_get("sender")?,
            id: RecordId(id),
            owner: row.try_get("owner")?,
            reference: row.try_get("reference")?,
            parcel: row.try_get("parcel")?,
            arrived_us: row.try_get("arrived_us")?,
        })
    }
}

/// A request whose parcel was closed because its owner had left.
#[derive(Clone, Debug)]
pub struct Returned {
    pub home: String,
    pub id: RecordId,
    pub owner: String,
    pub parcel: Vec<u8>,
}

pub async fn put_returned(db: &mut AnyConnection, one: &Returned) -> Result<(), StoreError> {
    sqlx::query(
        "insert into returned_parcels (home, id, owner, parcel) values ($1, $2, $3, $4)
         on conflict (home, id) do update set owner = excluded.owner, parcel = excluded.parcel",
    )
    .bind(&one.home)
    .bind(one.id.0.to_vec())
    .bind(&one.owner)
    .bind(&one.parcel[..])
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// In the order of homes and ids, from just after a place.
pub async fn list_returned(
    db: &mut AnyConnection,
    (home, id): &(String, RecordId),
    limit: usize,
) -> Result<Vec<Returned>, StoreError> {
    let rows: Vec<(String, Vec<u8>, String, Vec<u8>)> = sqlx::query_as(
        "select home, id, owner, parcel from returned_parcels
         where (home, id) > ($1, $2) order by home, id limit $3",
    )
    .bind(home)
    .bind(id.0.to_vec())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    rows.into_iter()
        .map(|(home, id, owner, parcel)| {
            let id = id.try_into().map_err(|_| StoreError::Damaged { what: "returned parcel" })?;
            Ok(Returned { home, id: RecordId(id), owner, parcel })
        })
        .collect()
}

pub async fn remove_returned(
    db: &mut AnyConnection,
    home: &str,
    id: RecordId,
) -> Result<(), StoreError> {
    sqlx::query("delete from returned_parcels where home = $1 and id = $2")
        .bind(home)
        .bind(id.0.to_vec())
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Is a stub with this reference still to be sent to its owner?
pub async fn is_unsent(db: &mut AnyConnection, reference: &str) -> Result<bool, StoreError> {
    let found: i64 = sqlx::query_scalar(
        "select count(*) from help_requests where reference = $1 and state = 0 and is_open = 1",
    )
    .bind(reference)
    .fetch_one(db)
    .await
    .map_err(failed)?;
    Ok(found > 0)
}

/// Another home's sealed record; a newer version takes the place of an older one. `leads`: the reference
/// of a stub, else empty.
pub async fn put_copy(
    db: &mut AnyConnection,
    home: &str,
    (id, kind, sequence): (RecordId, u32, u64),
    (leads, payload): (&str, &[u8]),
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into help_copies (home, id, kind, sequence, payload, leads)
         values ($1, $2, $3, $4, $5, $6)
         on conflict (home, id) do update set kind = excluded.kind,
           sequence = excluded.sequence, payload = excluded.payload, leads = excluded.leads
         where help_copies.sequence < excluded.sequence",
    )
    .bind(home)
    .bind(id.0.to_vec())
    .bind(i64::from(kind))
    .bind(sequence as i64)
    .bind(payload)
    .bind(leads)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Copies of stubs that lead a reference on, and their homes.
pub async fn list_leads(
    db: &mut AnyConnection,
    reference: &str,
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    sqlx::query_as("select home, payload from help_copies where leads = $1 order by home")
        .bind(reference)
        .fetch_all(db)
        .await
        .map_err(failed)
}

/// The record is no more at its home.
pub async fn remove_copy(
    db: &mut AnyConnection,
    home: &str,
    id: RecordId,
) -> Result<(), StoreError> {
    sqlx::query("delete from help_copies where home = $1 and id = $2")
        .bind(home)
        .bind(id.0.to_vec())
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Nothing of the home is kept here any more.
pub async fn remove_copies(db: &mut AnyConnection, home: &str) -> Result<(), StoreError> {
    sqlx::query("delete from help_copies where home = $1")
        .bind(home)
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// Another home's sealed record, as its deputy keeps it.
pub async fn find_copy(
    db: &mut AnyConnection,
    home: &str,
    id: RecordId,
) -> Result<Option<Vec<u8>>, StoreError> {
    sqlx::query_scalar("select payload from help_copies where home = $1 and id = $2")
        .bind(home)
        .bind(id.0.to_vec())
        .fetch_optional(db)
        .await
        .map_err(failed)
}

/// Another home's sealed record, as its deputy keeps it.
pub struct HeldCopy {
    pub home: String,
    pub id: RecordId,
    pub sequence: u64,
    pub payload: Vec<u8>,
}

/// Copies of one kind by home and id, from just after a place.
pub async fn list_copies(
    db: &mut AnyConnection,
    kind: u32,
    (home, id): &(String, RecordId),
    limit: usize,
) -> Result<Vec<HeldCopy>, StoreError> {
    let rows: Vec<(String, Vec<u8>, i64, Vec<u8>)> = sqlx::query_as(
        "select home, id, sequence, payload from help_copies
         where (home, id) > ($1, $2) and kind = $3 order by home, id limit $4",
    )
    .bind(home)
    .bind(id.0.to_vec())
    .bind(i64::from(kind))
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    rows.into_iter()
        .map(|(home, id, sequence, payload)| {
            let id = id.try_into().map_err(|_| StoreError::Damaged { what: "copy" })?;
            Ok(HeldCopy { home, id: RecordId(id), sequence: sequence as u64, payload })
        })
        .collect()
}

/// Up to where a deputy was sent a home's sealed records, in which epoch.
pub async fn deputy_mark(
    db: &mut AnyConnection,
    home: &str,
    deputy: &str,
) -> Result<(i64, i64), StoreError> {
    let mark =
        sqlx::query_as("select epoch, sequence from help_deputies where home = $1 and deputy = $2")
            .bind(home)
            .bind(deputy)
            .fetch_optional(db)
            .await
            .map_err(failed)?;
    Ok(mark.unwrap_or((0, 0)))
}

/// All deputies of a home that were sent something, present and former, with their marks.
pub async fn list_deputies(
    db: &mut AnyConnection,
    home: &str,
) -> Result<Vec<(String, (i64, i64))>, StoreError> {
    let rows: Vec<(String, i64, i64)> = sqlx::query_as(
        "select deputy, epoch, sequence from help_deputies where home = $1 order by deputy",
    )
    .bind(home)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    Ok(rows.into_iter().map(|(deputy, epoch, sequence)| (deputy, (epoch, sequence))).collect())
}

/// It is no deputy any more; should it become one again, it is sent everything.
pub async fn remove_deputy(
    db: &mut AnyConnection,
    home: &str,
    deputy: &str,
) -> Result<(), StoreError> {
    sqlx::query("delete from help_deputies where home = $1 and deputy = $2")
        .bind(home)
        .bind(deputy)
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

pub async fn set_deputy_mark(
    db: &mut AnyConnection,
    home: &str,
    deputy: &str,
    (epoch, sequence): (i64, i64),
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into help_deputies (home, deputy, epoch, sequence) values ($1, $2, $3, $4)
         on conflict (home, deputy) do update set epoch = excluded.epoch,
           sequence = excluded.sequence",
    )
    .bind(home)
    .bind(deputy)
    .bind(epoch)
    .bind(sequence)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// The newest word on a request that a point below could not keep to.
pub async fn put_escalation(
    db: &mut AnyConnection,
    (reference, owner, parent): (&str, &str, &str),
    escalation: &[u8],
    arrived_us: i64,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into help_escalations (reference, owner, parent, escalation, arrived_us)
         values ($1, $2, $3, $4, $5)
         on conflict (reference, parent) do update set owner = excluded.owner,
           escalation = excluded.escalation, arrived_us = excluded.arrived_us",
    )
    .bind(reference)
    .bind(owner)
    .bind(parent)
    .bind(escalation)
    .bind(arrived_us)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Owner, encoded escalation, arrival; newest first.
pub async fn list_escalations(
    db: &mut AnyConnection,
    parent: &str,
    limit: usize,
) -> Result<Vec<(String, Vec<u8>, i64)>, StoreError> {
    sqlx::query_as(
        "select owner, escalation, arrived_us from help_escalations where parent = $1
         order by arrived_us desc, reference limit $2",
    )
    .bind(parent)
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Points whose requests a parent was told of.
pub async fn list_escalating(
    db: &mut AnyConnection,
    parent: &str,
) -> Result<Vec<String>, StoreError> {
    sqlx::query_scalar(
        "select distinct owner from help_escalations where parent = $1 order by owner",
    )
    .bind(parent)
    .fetch_all(db)
    .await
    .map_err(failed)
}

/// Forgets all that one point could not keep to: nobody is left to say that it is over.
pub async fn remove_escalations_of(
    db: &mut AnyConnection,
    (owner, parent): (&str, &str),
) -> Result<(), StoreError> {
    sqlx::query("delete from help_escalations where parent = $1 and owner = $2")
        .bind(parent)
        .bind(owner)
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// What was noted is over. Only its owner says so.
pub async fn remove_escalation(
    db: &mut AnyConnection,
    (reference, owner, parent): (&str, &str, &str),
) -> Result<(), StoreError> {
    sqlx::query("delete from help_escalations where reference = $1 and owner = $2 and parent = $3")
        .bind(reference)
        .bind(owner)
        .bind(parent)
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}

/// A request whose parent point was told that a promise was not kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Escalated {
    pub request: RecordId,
    pub reference: String,
    pub parent: String,
}

pub async fn put_escalated(
    db: &mut AnyConnection,
    home: &str,
    told: &Escalated,
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into help_escalated (home, request, reference, parent) values ($1, $2, $3, $4)
         on conflict (home, request) do update set parent = excluded.parent",
    )
    .bind(home)
    .bind(told.request.0.to_vec())
    .bind(&told.reference)
    .bind(&told.parent)
    .execute(db)
    .await
    .map_err(failed)?;
    Ok(())
}

/// Of a home, by id, from just after one.
pub async fn list_escalated(
    db: &mut AnyConnection,
    home: &str,
    after: Option<RecordId>,
    limit: usize,
) -> Result<Vec<Escalated>, StoreError> {
    let rows: Vec<(Vec<u8>, String, String)> = sqlx::query_as(
        "select request, reference, parent from help_escalated where home = $1 and request > $2
         order by request limit $3",
    )
    .bind(home)
    .bind(after.map(|RecordId(id)| id.to_vec()).unwrap_or_default())
    .bind(limit as i64)
    .fetch_all(db)
    .await
    .map_err(failed)?;
    rows.into_iter()
        .map(|(request, reference, parent)| {
            let id = request.try_into().map_err(|_| StoreError::Damaged { what: "escalation" })?;
            Ok(Escalated { request: RecordId(id), reference, parent })
        })
        .collect()
}

pub async fn remove_escalated(
    db: &mut AnyConnection,
    home: &str,
    request: RecordId,
) -> Result<(), StoreError> {
    sqlx::query("delete from help_escalated where home = $1 and request = $2")
        .bind(home)
        .bind(request.0.to_vec())
        .execute(db)
        .await
        .map_err(failed)?;
    Ok(())
}
