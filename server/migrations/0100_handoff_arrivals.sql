-- Words on handoffs that have come, in place of handoff_words: what one point says never stands in for
-- what another says. Written for SQLite and PostgreSQL.
create table handoff_arrivals (
  owner text not null,
  sender text not null,
  handoff bytea not null,
  kind bigint not null,
  -- of a message of the request: its id; of a piece of a file: its name; empty else
  extra bytea not null,
  -- 0: on the handoff itself; 1: follows a request that has to be known here first
  lane bigint not null,
  request bytea not null,
  arrived_us bigint not null,
  -- encoded HandoffWord: sealed where it holds anything of the client
  word bytea not null,
  primary key (owner, sender, handoff, kind, extra)
);
create index handoff_arrivals_arrived on handoff_arrivals (lane, arrived_us);
create index handoff_arrivals_waiting on handoff_arrivals (owner, sender, lane);

-- What follows a request has always named it as its handoff.
insert into handoff_arrivals
    (owner, sender, handoff, kind, extra, lane, request, arrived_us, word)
  select owner, sender, handoff, kind, extra, case when kind in (6, 8) then 1 else 0 end, handoff,
    arrived_us, word
  from handoff_words;
delete from handoff_words;
