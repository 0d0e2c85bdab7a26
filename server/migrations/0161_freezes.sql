-- Feeds that are frozen somewhere. Local to a node's database: never replicated. Written for SQLite and
-- PostgreSQL.

-- Here, and their homes have been told.
create table freezes_told (
  home text not null,
  audience bigint not null,
  epoch_counter bigint not null,
  -- 1: two seals of one number are the proof; 0: what the home sealed does not add up
  whole bigint not null,
  primary key (home, audience)
);

-- Ours, and these points have told us.
create table freezes_heard (
  home text not null,
  audience bigint not null,
  point text not null,
  epoch_counter bigint not null,
  number bigint not null,
  whole bigint not null,
  heard_us bigint not null,
  primary key (home, audience, point)
);
