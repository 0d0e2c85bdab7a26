-- Events in the order of the calendar; everything else about them is in their record.
create table events (
  position bigint primary key,
  id bytea not null,
  slot bigint not null,
  starts_us bigint not null
);
create index events_starts on events (starts_us, id);
