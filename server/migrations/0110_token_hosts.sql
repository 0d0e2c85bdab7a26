-- The host that the public certificate may cover of the node that joins with a token; empty: none.
alter table join_tokens add column public_host text not null default '';
