-- The index in fewer, larger steps: it is merged sixteen segments at a time, a segment is written when
-- 4 MiB of words have gathered, and rewritten once half of what it names is gone, not at a tenth.
-- Catching up after an absence would otherwise rewrite the index of everything for what has changed.
insert into terms (terms, rank) values ('crisismerge', 32);
insert into terms (terms, rank) values ('automerge', 16);
insert into terms (terms, rank) values ('hashsize', 4194304);
insert into terms (terms, rank) values ('deletemerge', 50);
