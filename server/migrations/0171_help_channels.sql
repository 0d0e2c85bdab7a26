-- How a help request came, for those who count it. Empty: entered before this column was there.
alter table help_requests add column channel text not null default '';
