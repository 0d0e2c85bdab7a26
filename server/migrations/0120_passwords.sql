-- 1: somebody else has set the password, and its owner has not changed it yet.
alter table accounts add column password_given bigint not null default 0;
