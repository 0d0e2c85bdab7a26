-- What the ledgers outside the database hold, for the other nodes of the point: each writes it into its
-- own file. `number` rises with every entry that is new or newer.
create table ledger_entries (
  ledger text not null,
  record bytea not null,
  order_id bytea not null,
  home text not null,
  ordered_us bigint not null,
  number bigint not null,
  primary key (ledger, record)
);
create index ledger_entries_by_number on ledger_entries (ledger, number);
