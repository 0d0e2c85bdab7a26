-- Looks at cards of other homes that those have been told of: up to this line of the audit. Local to a
-- node's database: never replicated. Written for SQLite and PostgreSQL.
create table looks_told (
  id bigint primary key,
  number bigint not null
);
insert into looks_told (id, number) select 1, coalesce(max(number), 0) from audit;
