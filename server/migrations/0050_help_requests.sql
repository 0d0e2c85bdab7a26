-- Help requests as a queue finds them. Nothing of their content is here, and nobody's name.
-- Written for SQLite and PostgreSQL: the runner spells `bytea` for each.

-- One row per live HELP_REQUEST record, and per HELP_STUB of a request that another point handles.
create table help_requests (
  position bigint primary key,
  slot bigint not null,
  id bytea not null,
  reference text not null,
  -- first 16 bytes of the hash of the look-up id
  lookup bytea not null,
  -- number of the state; 0: a stub
  state bigint not null,
  -- 1: still worked on; of a stub: still to be sent
  is_open bigint not null,
  category text not null,
  urgency bigint not null,
  region text not null,
  language text not null,
  assignee text not null,
  received_us bigint not null,
  -- when the next running clock runs out; the largest number if none runs
  due_us bigint not null
);
create index help_requests_lookup on help_requests (lookup);
create index help_requests_reference on help_requests (reference);
create index help_requests_open on help_requests (slot, due_us, id) where is_open = 1;
create index help_requests_ended on help_requests (slot, state, received_us, id) where is_open = 0;

-- One row per live HELP_MESSAGE record.
create table help_messages (
  position bigint primary key,
  request bytea not null,
  time_us bigint not null,
  id bytea not null
);
create index help_messages_request on help_messages (request, time_us, id);

-- Numbers of references that are taken, per point and year. Given out in blocks: a number that
-- anyone may have seen is never given again.
create table help_counters (
  point text not null,
  year bigint not null,
  -- epoch of the point's sealed feed: after another one began, numbers skip ahead
  epoch bigint not null,
  newest bigint not null,
  primary key (point, year)
);

-- Requests that have come by parcel and wait to be entered into the owner's feed.
create table help_arrivals (
  id bytea primary key,
  owner text not null,
  sender text not null,
  -- encoded HelpParcel
  parcel bytea not null,
  arrived_us bigint not null
);

-- At a deputy: another home's sealed records.
create table help_copies (
  home text not null,
  id bytea not null,
  kind bigint not null,
  sequence bigint not null,
  payload bytea not null,
  primary key (home, id)
);

-- At a home: up to where its deputy was sent sealed records.
create table help_deputies (
  home text not null,
  deputy text not null,
  epoch bigint not null,
  sequence bigint not null,
  primary key (home, deputy)
);

-- At a parent: what points below could not keep to. The newest word on each request.
create table help_escalations (
  reference text not null,
  owner text not null,
  parent text not null,
  -- encoded HelpEscalation
  escalation bytea not null,
  arrived_us bigint not null,
  primary key (reference, parent)
);
