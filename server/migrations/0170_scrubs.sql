-- Something was deleted whose bytes still lie in the database's log, which is emptied for that. One row at
-- most. Local to a node's database: never replicated. Written for SQLite and PostgreSQL.
create table scrubs (
  what text primary key,
  noted_us bigint not null
);
