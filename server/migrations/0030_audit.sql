-- Who wrote what, and who looked at whom: a chain in which each line carries the hash of the one
-- before. Local to this database: never part of a feed.
create table audit (
  number bigint primary key,
  time_us bigint not null,
  -- name of an account, `member <account id>`, `operator`, `node`, `peer <point>`
  actor text not null,
  role text not null,
  -- the point that the actor acts for
  point text not null,
  operation text not null,
  purpose text not null,
  kind bigint not null,
  -- 16 bytes; zeros where a line is about no record, or about one that was erased since
  record bytea not null,
  -- 16 random bytes; zeros with `record`
  salt bytea not null,
  -- hash of salt and record, which the line's hash covers in their place; zeros: about no record
  subject bytea not null,
  outcome text not null,
  previous bytea not null,
  hash bytea not null
);
create index audit_by_record on audit (record, number);
create index audit_by_actor on audit (actor, number);

-- Lines up to `number` were old enough to go; the hash is that of the last of them.
create table audit_base (
  id bigint primary key,
  number bigint not null,
  hash bytea not null
);

-- Rows that a user has taken out by export, per day since 1970.
create table export_rows (
  actor text not null,
  day bigint not null,
  taken bigint not null,
  primary key (actor, day)
);
