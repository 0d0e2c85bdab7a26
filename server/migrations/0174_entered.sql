-- By which version of the words the rows of a copy are entered; 0: by one that did not say. What could
-- not be read by another version is tried again.
alter table copies add column entered bigint not null default 0;
