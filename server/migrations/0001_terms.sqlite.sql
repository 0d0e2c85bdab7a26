-- The full-text index over all records: rowid is the record's position.
create virtual table terms using fts5 (
  words, content='', contentless_delete=1, detail=none, tokenize='ascii'
);
