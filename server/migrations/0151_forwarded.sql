-- the province that was asked for its word as well, once it was told
alter table approvals add column forwarded text not null default '';
