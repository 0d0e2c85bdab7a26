//! The tables of an import: their names, their order, the kinds they are asked for by.

/// A table of the association, in the order in which tables have to come: later ones name rows of
/// earlier ones, and what belongs into a member comes before the members.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    Points,
    Orgs,
    OrgFigures,
    Speakers,
    Seats,
    Members,
    Grants,
    Series,
    Events,
    EventHosts,
    Appearances,
    Groups,
    GroupMembers,
    /// Help requests of the past.
    Requests,
    /// Key contacts as a point keeps them: persons without ids, in a cohort.
    KeyContacts,
    /// Members as a point keeps them: persons without ids.
    People,
}

impl Table {
    pub const ALL: [Table; 16] = [
        Table::Points,
        Table::Orgs,
        Table::OrgFigures,
        Table::Speakers,
        Table::Seats,
        Table::Members,
        Table::Grants,
        Table::Series,
        Table::Events,
        Table::EventHosts,
        Table::Appearances,
        Table::Groups,
        Table::GroupMembers,
        Table::Requests,
        Table::KeyContacts,
        Table::People,
    ];

    pub fn file(self) -> &'static str {
        match self {
            Table::Points => "points.csv",
            Table::Orgs => "orgs.csv",
            Table::OrgFigures => "org_figures.csv",
            Table::Speakers => "speakers.csv",
            Table::Seats => "seats.csv",
            Table::Members => "members.csv",
            Table::Grants => "grants.csv",
            Table::Series => "series.csv",
            Table::Events => "events.csv",
            Table::EventHosts => "event_hosts.csv",
            Table::Appearances => "appearances.csv",
            Table::Groups => "groups.csv",
            Table::GroupMembers => "group_members.csv",
            Table::Requests => "requests.csv",
            Table::KeyContacts => "key_contacts.csv",
            Table::People => "people.csv",
        }
    }

    /// The kind of record that it is asked for by.
    pub fn kind(self) -> &'static str {
        match self {
            Table::Points => "point",
            Table::Orgs | Table::OrgFigures => "org",
            Table::Speakers | Table::Seats | Table::Members | Table::Grants => "member",
            Table::KeyContacts | Table::People => "member",
            Table::Series => "series",
            Table::Events | Table::EventHosts | Table::Appearances => "event",
            Table::Groups | Table::GroupMembers => "group",
            Table::Requests => "help_request",
        }
    }

    /// Finds a table by the name of its file, with or without ending.
    pub fn of_name(name: &str) -> Option<Table> {
        let bare = |file: &'static str| file.trim_end_matches(".csv");
        Table::ALL.into_iter().find(|table| table.file() == name || bare(table.file()) == name)
    }

    /// Persons without ids, whose rows may lack their last cells.
    pub fn is_of_persons(self) -> bool {
        matches!(self, Table::KeyContacts | Table::People)
    }
}

/// What is said of a file before its bytes.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct FileHead {
    pub name: String,
    /// Name of the table it is read as; empty: by its own name.
    pub table: String,
    /// Rows are counted as in a sheet: the header is row 1.
    pub is_sheet: bool,
    /// Column as the file has it, and as the table has it.
    pub columns: Vec<(String, String)>,
    /// Column of the table, value as the file has it, and as the table has it.
    pub values: Vec<(String, String, String)>,
}

/// Most names of columns, and of values, that a file may bring.
pub const NAMES_MAX: usize = 256;

impl FileHead {
    pub fn table(&self) -> Option<Table> {
        Table::of_name(if self.table.is_empty() { &self.name } else { &self.table })
    }
}

impl From<&str> for FileHead {
    fn from(name: &str) -> FileHead {
        FileHead { name: name.to_owned(), ..FileHead::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_all_is_in_the_order_of_the_tables() {
        assert!(Table::ALL.is_sorted());
        for table in Table::ALL {
            assert_eq!(Table::of_name(table.file()), Some(table));
        }
        assert_eq!(Table::of_name("members"), Some(Table::Members));
        assert_eq!(Table::of_name("handoffs.csv"), None);
    }
}
