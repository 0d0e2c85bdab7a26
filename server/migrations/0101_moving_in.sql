-- At the point's own node: how far what its former host hands over has come. Written for SQLite and
-- PostgreSQL.
create table moving_in (
  home text not null primary key,
  -- 0: rows arrive, 1: they add up to what the host has sealed, 2: they are in the point's feeds
  stage bigint not null,
  -- of all letters
  arrived_rows bigint not null,
  arrived_bytes bigint not null
);
