-- Copies of feeds, their rows, and what is on its way into them.
-- Written for SQLite and PostgreSQL: the runner spells `bytea` and `bigint primary key` for each.

-- One copy of one incarnation of a feed. `slot` numbers it; two of one feed exist only while a new
-- epoch is being fetched, or an old one cleared away.
create table copies (
  slot bigint primary key,
  home text not null,
  audience bigint not null,
  epoch_counter bigint not null,
  epoch_random bytea not null,
  -- 1 own, 2 filling, 3 indexing, 4 current, 5 catching up, 6 retired
  state bigint not null,
  number bigint not null,
  sequence bigint not null,
  live bigint not null,
  -- the set hash of exactly the rows that are in `records`
  sum bytea not null,
  -- the seal of exactly this state; empty while filling
  seal bytea not null,
  -- the verified seal that is being moved to; empty unless catching up
  target bytea not null,
  -- rows up to here cannot replace each other while filling
  distinct_to bigint not null,
  -- rows up to here are searchable
  indexed bigint not null
);
create index copies_feed on copies (home, audience);

-- position = slot * 2^40 + sequence: rows of one copy lie together, in the order they are relayed.
create table records (
  position bigint primary key,
  slot bigint not null,
  id bytea not null,
  kind bigint not null,
  removed bigint not null,
  payload bytea not null
);
create unique index records_id on records (id, slot);

-- Rows that have arrived for a copy that is in use, before they are verified as a whole.
create table staged (
  position bigint primary key,
  slot bigint not null,
  id bytea not null,
  kind bigint not null,
  removed bigint not null,
  payload bytea not null
);
create unique index staged_id on staged (id, slot);

-- Seals seen of every feed, whoever showed them: two of one number prove equivocation.
create table seals (
  home text not null,
  audience bigint not null,
  epoch_counter bigint not null,
  number bigint not null,
  seal bytea not null,
  primary key (home, audience, epoch_counter, number)
);

create table equivocations (
  home text not null,
  audience bigint not null,
  epoch_counter bigint not null,
  -- an encoded Equivocation
  proof bytea not null,
  found_us bigint not null,
  primary key (home, audience, epoch_counter)
);

-- A home's newest list of all its heads.
create table statements (
  home text not null primary key,
  number bigint not null,
  statement bytea not null,
  heard_us bigint not null
);

-- What a node knows of itself: its point, its network. One row a name.
create table facts (
  name text not null primary key,
  value text not null
);
