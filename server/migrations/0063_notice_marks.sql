-- Up to where a home's sealed records have been looked at for what people are to be told. Local to a
-- node's database: never replicated.
create table notice_marks (
  home text primary key,
  epoch bigint not null,
  sequence bigint not null
);
