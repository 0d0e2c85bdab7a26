-- What nodes that share one database need to know of each other. One node alone has no use for it.

-- Counts writing transactions: who has seen this number has seen everything.
create table turns (number bigint not null);
insert into turns (number) values (0);

-- The transaction that changed a copy last.
alter table copies add column turn bigint not null default 0;

-- Who does what only one node of a point should do, and until when, by the database's clock.
create table leases (
  name text primary key,
  holder bytea not null,
  until_us bigint not null
);
