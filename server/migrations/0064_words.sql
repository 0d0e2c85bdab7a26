-- Words about persons that have come by parcel and wait to be entered into the feed of the point they
-- are for: on copies of cards for one destination, and on members who move.
create table words (
  -- 1 copies of cards, 2 moves
  channel bigint not null,
  owner text not null,
  -- id of the copy or the move
  subject bytea not null,
  -- number of the word's kind
  kind bigint not null,
  -- version of a copy; version and part of what moves
  part bigint not null,
  sender text not null,
  -- encoded word
  word bytea not null,
  arrived_us bigint not null,
  primary key (channel, owner, subject, kind, part)
);
create index words_arrived on words (channel, arrived_us);
