-- Requests that were routed to a point which left the network before they came there: to be sent to whoever
-- else can open them. Local to a node's database: never replicated. Written for SQLite and PostgreSQL.
create table returned_parcels (
  -- point that took it in
  home text not null,
  id bytea not null,
  -- point that it was for
  owner text not null,
  -- encoded HelpParcel
  parcel bytea not null,
  primary key (home, id)
);
