-- Which reference a deputy's copy of a stub leads on: asked for when its home has left the network. Empty: the
-- copy is of something else, or came before this column was there.
alter table help_copies add column leads text not null default '';
create index help_copies_leads on help_copies (leads);
