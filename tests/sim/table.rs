//! Rows of a simulated disk, and what an open transaction would change of them.
//!
//! Keys are enforced as the database does it: a position holds one row, and so does an (id, slot). What
//! would break that is an error of the statement, not a replacement.

use std::collections::{BTreeMap, HashMap};

use yizhan_server::{
    domain::{
        id::RecordId,
        position::{Row, Sequence},
    },
    store::{Slot, StoreError},
};

type Position = (Slot, Sequence);
type Key = (Slot, RecordId);

/// Committed rows.
#[derive(Clone, Default)]
pub struct Table {
    rows: BTreeMap<Position, Row>,
    ids: HashMap<Key, Sequence>,
}

/// What a transaction sees differently. Dropped, nothing has happened.
#[derive(Default)]
pub struct Changes {
    rows: BTreeMap<Position, Option<Row>>,
    ids: HashMap<Key, Option<Sequence>>,
}

fn range(slot: Slot, after: Sequence) -> std::ops::RangeInclusive<Position> {
    (slot, Sequence(after.0 + 1))..=(slot, Sequence::MAX)
}

impl Table {
    pub fn after(&self, slot: Slot, after: Sequence) -> impl Iterator<Item = &Row> {
        self.rows.range(range(slot, after)).map(|(_, row)| row)
    }

    pub fn find(&self, slot: Slot, id: RecordId) -> Option<&Row> {
        let sequence = self.ids.get(&(slot, id))?;
        self.rows.get(&(slot, *sequence))
    }

    pub fn apply(&mut self, changes: Changes) {
        for (position, row) in changes.rows {
            match row {
                Some(row) => self.rows.insert(position, row),
                None => self.rows.remove(&position),
            };
        }
        for (key, sequence) in changes.ids {
            match sequence {
                Some(sequence) => self.ids.insert(key, sequence),
                None => self.ids.remove(&key),
            };
        }
    }

    /// Loses a committed row: what no honest disk does.
    pub fn lose(&mut self, slot: Slot, sequence: Sequence) {
        if let Some(row) = self.rows.remove(&(slot, sequence)) {
            self.ids.remove(&(slot, row.id));
        }
    }
}

impl Changes {
    fn sequence_of(&self, table: &Table, key: Key) -> Option<Sequence> {
        match self.ids.get(&key) {
            Some(changed) => *changed,
            None => table.ids.get(&key).copied(),
        }
    }

    fn at<'a>(&'a self, table: &'a Table, position: Position) -> Option<&'a Row> {
        match self.rows.get(&position) {
            Some(changed) => changed.as_ref(),
            None => table.rows.get(&position),
        }
    }

    pub fn find<'a>(&'a self, table: &'a Table, slot: Slot, id: RecordId) -> Option<&'a Row> {
        let sequence = self.sequence_of(table, (slot, id))?;
        self.at(table, (slot, sequence))
    }

    pub fn insert(&mut self, table: &Table, slot: Slot, row: &Row) -> Result<(), StoreError> {
        let position = (slot, row.sequence);
        if self.at(table, position).is_some() {
            return Err(violated("position"));
        }
        if self.sequence_of(table, (slot, row.id)).is_some() {
            return Err(violated("(id, slot)"));
        }
        self.rows.insert(position, Some(row.clone()));
        self.ids.insert((slot, row.id), Some(row.sequence));
        Ok(())
    }

    pub fn delete(&mut self, table: &Table, slot: Slot, sequence: Sequence) {
        let position = (slot, sequence);
        let Some(id) = self.at(table, position).map(|row| row.id) else { return };
        self.rows.insert(position, None);
        self.ids.insert((slot, id), None);
    }

    /// Rows of a slot after a sequence, in order, as the transaction sees them.
    pub fn after<'a>(
        &'a self,
        table: &'a Table,
        slot: Slot,
        after: Sequence,
    ) -> impl Iterator<Item = &'a Row> {
        let mut kept = table.rows.range(range(slot, after)).peekable();
        let mut changed = self.rows.range(range(slot, after)).peekable();
        std::iter::from_fn(move || {
            loop {
                let (kept_at, changed_at) = (kept.peek().map(|p| p.0), changed.peek().map(|p| p.0));
                match (kept_at, changed_at) {
                    (None, None) => return None,
                    (Some(a), b) if b.is_none_or(|b| a < b) => return kept.next().map(|p| p.1),
                    (a, b) => {
                        if a == b {
                            kept.next();
                        }
                        if let Some((_, Some(row))) = changed.next() {
                            return Some(row);
                        }
                    }
                }
            }
        })
    }
}

fn violated(key: &str) -> StoreError {
    StoreError::Database(sqlx::Error::Protocol(format!("unique key {key} is taken")))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use yizhan_server::domain::kind::Kind;

    use super::*;

    fn row(sequence: u64, id: u8) -> Row {
        let (id, kind) = (RecordId([id; 16]), Kind(99));
        Row { sequence: Sequence(sequence), id, kind, removed: false, payload: Bytes::new() }
    }

    fn table(rows: &[Row]) -> Table {
        let mut table = Table::default();
        let mut changes = Changes::default();
        for row in rows {
            changes.insert(&table, Slot(1), row).unwrap();
        }
        table.apply(changes);
        table
    }

    #[test]
    fn a_taken_position_or_id_is_refused() {
        let table = table(&[row(1, 1), row(2, 2)]);
        let mut changes = Changes::default();
        assert!(changes.insert(&table, Slot(1), &row(2, 3)).is_err());
        assert!(changes.insert(&table, Slot(1), &row(3, 2)).is_err());
        changes.delete(&table, Slot(1), Sequence(2));
        changes.insert(&table, Slot(1), &row(3, 2)).unwrap();
        changes.insert(&table, Slot(2), &row(3, 2)).unwrap();
    }

    #[test]
    fn a_transaction_sees_its_own_rows_in_order_and_nobody_else_does() {
        let table = table(&[row(1, 1), row(2, 2), row(5, 5)]);
        let mut changes = Changes::default();
        changes.delete(&table, Slot(1), Sequence(2));
        changes.insert(&table, Slot(1), &row(4, 2)).unwrap();
        let seen: Vec<u64> =
            changes.after(&table, Slot(1), Sequence(0)).map(|row| row.sequence.0).collect();
        assert_eq!(seen, [1, 4, 5]);
        assert_eq!(table.after(Slot(1), Sequence(0)).count(), 3);
        assert_eq!(table.find(Slot(1), RecordId([2; 16])).unwrap().sequence, Sequence(2));
    }
}
