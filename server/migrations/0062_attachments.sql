-- Files that came with help requests, sealed piece by piece under a key that is nowhere here.
create table attachments (
  id bytea primary key,
  -- 0: on its way in; 1: whole, and waits for its request; 2: its request is stored
  whole bigint not null,
  -- id of the request's record that takes it; empty: none yet
  request bytea not null,
  pieces bigint not null,
  bytes bigint not null,
  created_us bigint not null
);
create index attachments_request on attachments (request);
create index attachments_created on attachments (whole, created_us);

create table attachment_pieces (
  attachment bytea not null,
  number bigint not null,
  sealed bytea not null,
  primary key (attachment, number)
);
