-- A segment of the index is rewritten once half of what it names is gone, not at a tenth: catching up
-- after an absence would otherwise rewrite the index of everything for what has changed.
insert into terms (terms, rank) values ('deletemerge', 50);
