//! What differs between SQLite and PostgreSQL: lists as parameters, and the full-text index.

/// A statement where the two databases need two texts.
#[derive(Clone, Copy)]
pub struct Sql {
    pub sqlite: &'static str,
    pub postgres: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// A question for one word, as `FIND_TERMS` takes it.
    pub fn word(self, term: &str) -> String {
        match self {
            Dialect::Sqlite => format!("\"{}\"", term.replace('"', "\"\"")),
            Dialect::Postgres => format!("'{}'", term.replace('\'', "''").replace('\\', "\\\\")),
        }
    }

    pub fn pick(self, sql: Sql) -> &'static str {
        match self {
            Dialect::Sqlite => sql.sqlite,
            Dialect::Postgres => sql.postgres,
        }
    }
}

/// A statement over `$1`, a JSON array of arrays: `value->>0` is a row's first cell, as text. SQLite's
/// `json_each` would spell every row out as text, to be parsed again for each of its cells.
macro_rules! over_rows {
    ($before:literal, $after:literal) => {
        $crate::store::dialect::Sql {
            sqlite: concat!($before, " from jsonb_each($1) as given ", $after),
            postgres: concat!(
                $before,
                " from json_array_elements(cast($1 as json)) as given(value) ",
                $after
            ),
        }
    };
}

/// A statement over `$1`, a JSON array of numbers: `number` is one of them.
macro_rules! over_numbers {
    ($before:literal, $after:literal) => {
        $crate::store::dialect::Sql {
            sqlite: concat!(
                $before,
                " from (select value as number from json_each($1)) as given ",
                $after
            ),
            postgres: concat!(
                $before,
                " from (select cast(value as bigint) as number
                        from json_array_elements_text(cast($1 as json)) as list(value)) as given ",
                $after
            ),
        }
    };
}

/// A statement over `$1`, a JSON array of numbers: `cast(value as bigint)` is one of them.
macro_rules! over_list {
    ($before:literal, $after:literal) => {
        $crate::store::dialect::Sql {
            sqlite: concat!($before, " from json_each($1) as given ", $after),
            postgres: concat!(
                $before,
                " from json_array_elements_text(cast($1 as json)) as given(value) ",
                $after
            ),
        }
    };
}

pub(super) use {over_list, over_numbers, over_rows};

/// Begins to read: all statements that follow see one state.
pub const BEGIN_SNAPSHOT: Sql =
    Sql { sqlite: "begin", postgres: "begin isolation level repeatable read, read only" };

/// Enters words under positions. Rows: [position, words].
pub const ENTER_TERMS: Sql = Sql {
    sqlite: "insert into terms (rowid, words)
             select cast(value->>0 as bigint), value->>1 from jsonb_each($1)",
    postgres: "insert into terms (position, words)
               select cast(value->>0 as bigint), array_to_tsvector(string_to_array(value->>1, ' '))
               from json_array_elements(cast($1 as json)) as given(value)",
};

/// Forgets the words of positions.
pub const REMOVE_TERMS: Sql = Sql {
    sqlite: "delete from terms where rowid in
             (select cast(value as bigint) from json_each($1))",
    postgres: "delete from terms where position in
               (select cast(value as bigint) from json_array_elements_text(cast($1 as json)))",
};

/// Positions above $1 and up to $2 that have words.
pub const ENTERED_TERMS: Sql = Sql {
    sqlite: "select rowid as position from terms where rowid > $1 and rowid <= $2",
    postgres: "select position from terms where position > $1 and position <= $2",
};

/// Rewrites the full-text index, so that the words of deleted records are gone from the file.
/// PostgreSQL's `vacuum` cannot run inside a transaction and is the operator's (README).
pub const OPTIMIZE_TERMS: Sql =
    Sql { sqlite: "insert into terms (terms) values ('optimize')", postgres: "select 1" };

/// Positions whose words fit, from just after $2, at most $3.
pub const FIND_TERMS: Sql = Sql {
    sqlite: "select rowid as position from terms
             where terms match $1 and rowid > $2 order by rowid limit $3",
    postgres: "select position from terms
               where words @@ cast($1 as tsquery) and position > $2 order by position limit $3",
};
