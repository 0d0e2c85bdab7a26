-- Removals are applied first: they are found without reading what else is put aside.
create index staged_removed on staged (position) where removed = 1;
