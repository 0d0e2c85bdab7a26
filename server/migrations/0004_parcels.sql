-- Parcels on their way out, what has come in, and receipts for removals.
-- Written for SQLite and PostgreSQL: the runner spells `bytea` for each.

-- The newest number given to a parcel. A number is never given twice within a sender's epoch.
create table outbox_numbers (
  sender text not null,
  destination text not null,
  sender_epoch bigint not null,
  newest bigint not null,
  primary key (sender, destination, sender_epoch)
);

-- Durable parcels that the destination has not settled yet.
create table outbox (
  sender text not null,
  destination text not null,
  sender_epoch bigint not null,
  number bigint not null,
  -- parcels of one subject go one after the other; empty: in no order
  subject bytea not null,
  -- encoded Parcel
  parcel bytea not null,
  -- the letter once more, sealed to the sender's own case key
  kept bytea not null,
  -- the destination's case key that the parcel is sealed to
  sealed_to bytea not null,
  written_us bigint not null,
  primary key (sender, destination, sender_epoch, number)
);
create index outbox_subject on outbox (sender, destination, subject);

-- Parcels that were closed without effect, by outcome (`undeliverable`, `refused`).
create table outbox_failures (
  sender text not null,
  destination text not null,
  outcome text not null,
  reason text not null,
  parcels bigint not null,
  newest_us bigint not null,
  primary key (sender, destination, outcome)
);

-- All parcels with a number up to `mark` are settled.
create table inbox_marks (
  sender text not null,
  destination text not null,
  sender_epoch bigint not null,
  mark bigint not null,
  primary key (sender, destination, sender_epoch)
);

-- Settled numbers above the mark, and refused ones (with a reason) also below it, until the sender
-- has closed them.
create table inbox_settled (
  sender text not null,
  destination text not null,
  sender_epoch bigint not null,
  number bigint not null,
  reason text not null,
  primary key (sender, destination, sender_epoch, number)
);

-- At the home: up to where each point has carried out the removals of a feed, newest word only.
create table removal_receipts (
  home text not null,
  audience bigint not null,
  point text not null,
  epoch_counter bigint not null,
  number bigint not null,
  sequence bigint not null,
  scrubbed_us bigint not null,
  received_us bigint not null,
  primary key (home, audience, point)
);

-- At a holder: the receipt last sent to a feed's home.
create table removal_receipts_sent (
  home text not null,
  audience bigint not null,
  epoch_counter bigint not null,
  number bigint not null,
  sequence bigint not null,
  sent_us bigint not null,
  primary key (home, audience)
);

-- Only tombstones are in it: rows that live cost nothing.
create index records_removed on records (slot, position) where removed = 1;
