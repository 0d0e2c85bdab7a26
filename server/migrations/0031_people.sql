-- Roles for a while, one-time codes, and what waits for a second person. Local to this database.
alter table accounts add column member bytea;
-- The secret in use, one that waits for its first code, and the newest step whose code was taken.
alter table accounts add column otp_secret bytea;
alter table accounts add column otp_pending bytea;
alter table accounts add column otp_step bigint;

create table role_grants (
  account bytea not null references accounts (id),
  role text not null,
  point text not null,
  -- separated by blanks
  categories text not null,
  from_us bigint not null,
  to_us bigint,
  granted_by text not null,
  primary key (account, role, point)
);

create table approvals (
  id bytea primary key,
  operation text not null,
  subject text not null,
  -- what is to be done, as JSON; empty: who asked may do it once
  task text not null,
  point text not null,
  requested_by text not null,
  requested_us bigint not null,
  expires_us bigint not null,
  state text not null,
  decided_by text not null,
  decided_us bigint,
  outcome text not null
);
create index approvals_by_point on approvals (point, id);
create index approvals_by_state on approvals (state);
