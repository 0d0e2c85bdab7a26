-- The full-text index over all records, by the record's position.
create table terms (position bigint primary key, words tsvector not null);
create index terms_words on terms using gin (words);
