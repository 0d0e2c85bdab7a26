-- At a home: requests whose parent point was told that a promise was not kept, until it is told that this
-- is over. Local to a node's database: never replicated.
create table help_escalated (
  home text not null,
  request bytea not null,
  reference text not null,
  -- point that was told
  parent text not null,
  primary key (home, request)
);
