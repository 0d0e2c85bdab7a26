//! Events and plans in the order of the calendar: by start, then by id.

use sqlx::AnyConnection;

use super::{
    StoreError,
    database::failed,
    dialect::{Dialect, Sql},
};

/// A place in the calendar. The position tells an event from its plan, and copy from copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Microseconds since 1970.
    pub start: i64,
    pub id: [u8; 16],
    pub position: i64,
}

impl Place {
    /// Before everything.
    pub const FIRST: Place = Place { start: i64::MIN, id: [0; 16], position: 0 };
}

const LIST: &str = "select starts_us, id, position from events
    where (starts_us, id, position) > ($1, $2, $3) and starts_us >= $4 and starts_us < $5
    order by starts_us, id, position limit $6";
const LIST_FITTING: Sql = Sql {
    sqlite: "select e.starts_us, e.id, e.position
             from terms join events as e on e.position = terms.rowid
             where terms match $7 and (e.starts_us, e.id, e.position) > ($1, $2, $3)
               and e.starts_us >= $4 and e.starts_us < $5
             order by e.starts_us, e.id, e.position limit $6",
    postgres: "select e.starts_us, e.id, e.position
               from terms join events as e on e.position = terms.position
               where terms.words @@ cast($7 as tsquery)
                 and (e.starts_us, e.id, e.position) > ($1, $2, $3)
                 and e.starts_us >= $4 and e.starts_us < $5
               order by e.starts_us, e.id, e.position limit $6",
};

/// Places after `after` that start within `span` and whose words fit `words`, if there are any.
pub async fn list(
    db: &mut AnyConnection,
    dialect: Dialect,
    words: Option<&str>,
    after: Place,
    span: std::ops::Range<i64>,
    limit: usize,
) -> Result<Vec<Place>, StoreError> {
    let sql = if words.is_some() { dialect.pick(LIST_FITTING) } else { LIST };
    let query = sqlx::query_as(sql).bind(after.start).bind(after.id.to_vec()).bind(after.position);
    let query = query.bind(span.start).bind(span.end).bind(limit as i64);
    let rows: Vec<(i64, Vec<u8>, i64)> = match words {
        Some(words) => query.bind(words.to_owned()).fetch_all(db).await,
        None => query.fetch_all(db).await,
    }
    .map_err(failed)?;
    rows.into_iter()
        .map(|(start, id, position)| {
            let id = id.try_into().map_err(|_| StoreError::Damaged { what: "event id" })?;
            Ok(Place { start, id, position })
        })
        .collect()
}
