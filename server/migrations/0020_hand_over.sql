-- Records of a point that was hosted, on their way to the node that it has got.
-- Written for SQLite and PostgreSQL: the runner spells `bytea` for each.

-- At the former host: how far it has come.
create table hand_overs (
  home text not null primary key,
  -- 0: rows follow, 1: everything is in the outbox, 2: the point has said that it has them
  stage bigint not null,
  -- rows of this audience up to this sequence are in the outbox, and all of lower audiences
  audience bigint not null,
  sequence bigint not null
);

-- At the point's own node: rows that have arrived and are not yet in its feeds.
create table arrived_rows (
  audience bigint not null,
  sequence bigint not null,
  id bytea not null,
  kind bigint not null,
  removed bigint not null,
  payload bytea not null,
  primary key (audience, sequence)
);

-- The last seal of each feed that goes over; audience 0, with an empty one: there are no others.
create table arrived_seals (
  audience bigint not null primary key,
  seal bytea not null
);
