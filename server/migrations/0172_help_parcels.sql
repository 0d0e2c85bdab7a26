-- Requests that have come by parcel and wait to be entered, in place of help_arrivals: what one point sends
-- never stands in for what another sends. Written for SQLite and PostgreSQL.
create table help_parcels (
  sender text not null,
  id bytea not null,
  owner text not null,
  -- empty: came before this column was there
  reference text not null,
  -- encoded HelpParcel
  parcel bytea not null,
  arrived_us bigint not null,
  primary key (sender, id)
);
create index help_parcels_id on help_parcels (id);
create index help_parcels_reference on help_parcels (reference);
create index help_parcels_arrived on help_parcels (arrived_us, id);

insert into help_parcels (sender, id, owner, reference, parcel, arrived_us)
  select sender, id, owner, '', parcel, arrived_us from help_arrivals;
delete from help_arrivals;
