-- When a help request is next to be closed, cleared or anonymised, and under which key it is sealed.
alter table help_requests add column keep_step bigint not null default 0;
alter table help_requests add column keep_since_us bigint not null default 0;
-- id of the key's record; empty: nothing is sealed; '?': entered before this column was there
alter table help_requests add column sealed_by text not null default '?';
create index help_requests_keep on help_requests (slot, keep_step, keep_since_us, id)
  where keep_step > 0;
create index help_requests_key on help_requests (slot, sealed_by);
