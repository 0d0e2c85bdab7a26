-- What people are told of, by mail and by webhook. Local to a node's database: never replicated.

create table notices (
  -- hash of person, fact and channel: nobody is told of one thing twice
  id bytea primary key,
  channel bigint not null,
  -- the address, encrypted to this point; empty for the point's own webhook, and once it is over
  target bytea not null,
  fact bigint not null,
  language text not null,
  -- reference of a help request, and the label of its state; nothing else is told
  reference text not null,
  label text not null,
  -- quiet hours: IANA zone (empty: none), minutes since local midnight
  zone text not null,
  quiet_from bigint not null,
  quiet_to bigint not null,
  attempts bigint not null,
  due_us bigint not null,
  created_us bigint not null,
  -- 0 while it waits
  over_us bigint not null,
  -- 1 when it was given up
  failed bigint not null
);
create index notices_due on notices (over_us, due_us);

-- Where somebody with an account here wants to be told.
create table notice_addresses (
  account text primary key,
  target bytea not null,
  language text not null,
  zone text not null,
  quiet_from bigint not null,
  quiet_to bigint not null
);
