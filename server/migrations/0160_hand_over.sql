-- What goes along with the records of a point that was hosted. Written for SQLite and PostgreSQL: the
-- runner spells `bytea` for each.

-- At the former host: stage 3, all is cleared away. Of what is copied and not taken away as it is
-- posted: which, and how far it has come.
alter table hand_overs add column step bigint not null default 0;
alter table hand_overs add column passed text not null default '';

-- At the point's own node: an intake key wrapped for its own case key (encoded RewrappedKey).
alter table arrived_rows add column wrap bytea;

-- Letters with more than rows, in the order in which they came: acted on when the rows are in.
create table arrived_parts (
  number bigint primary key,
  -- encoded HomeHandOver
  part bytea not null
);
