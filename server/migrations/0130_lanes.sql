-- How often each lane was passed (store/lanes.rs). A lane stands for many names and says nothing of any.
-- Local to a node's database: never replicated.
create table lanes (
  lane bigint primary key,
  turn bigint not null
);
