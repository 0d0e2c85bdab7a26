-- Words on handoffs that have come by parcel and wait to be entered into the feed of the point they
-- are for.
create table handoff_words (
  owner text not null,
  handoff bytea not null,
  kind bigint not null,
  -- of a message of the request: its id; empty else
  extra bytea not null,
  sender text not null,
  -- encoded HandoffWord: sealed where it holds anything of the client
  word bytea not null,
  arrived_us bigint not null,
  primary key (owner, handoff, kind, extra)
);
create index handoff_words_arrived on handoff_words (arrived_us);
