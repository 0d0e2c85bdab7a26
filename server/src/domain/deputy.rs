//! The point that keeps a sealed copy of another's help requests.

use super::{
    id::PointCode,
    roster::{Roster, RosterEntry},
};

/// Who gets the sealed copy, so that a lost key is not a lost request: a point with a node of its own
/// that is not above the owner; an ancestor only where there is no other. Points under the same law
/// come first.
pub fn deputy_of(roster: &Roster, owner: &PointCode) -> Option<PointCode> {
    let server = roster.server_of(owner)?;
    let mut above: Vec<&PointCode> = Vec::new();
    let mut at = owner;
    while let Some(parent) = roster.parent(at).filter(|parent| !above.contains(parent)) {
        above.push(parent);
        at = parent;
    }
    let law = roster.get(owner).map(|entry| &entry.jurisdiction);
    let fit = |entry: &&RosterEntry| {
        entry.has_node()
            && entry.revoked.is_none()
            && entry.code != *server
            && entry.code != *owner
            && entry.case_key.is_some()
    };
    roster
        .points()
        .filter(fit)
        .min_by_key(|entry| {
            (above.contains(&&entry.code), Some(&entry.jurisdiction) != law, entry.code.clone())
        })
        .map(|entry| entry.code.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::roster::{NodeId, PointKind, RosterNode};

    fn entry(code: &str, parent: Option<&str>, has_node: bool) -> RosterEntry {
        let mut entry = RosterEntry::new(code.parse().unwrap(), code.into(), PointKind::City);
        entry.parent = parent.map(|parent| parent.parse().unwrap());
        if has_node {
            let (node, spki_sha256) = (NodeId([1; 8]), [0; 32]);
            entry.nodes.push(RosterNode { node, spki_sha256, public_host: None });
            entry.case_key = Some([1; 32]);
        } else {
            entry.host = Some("CN-440000".parse().unwrap());
        }
        entry
    }

    fn deputy(roster: &Roster, owner: &str) -> Option<String> {
        deputy_of(roster, &owner.parse().unwrap()).map(|code| code.to_string())
    }

    #[test]
    fn a_deputy_is_not_above_where_another_exists_and_of_the_same_law_first() {
        let mut roster: Roster =
            [entry("CN-440000", None, true), entry("GB-LON", Some("CN-440000"), true)]
                .into_iter()
                .collect();
        assert_eq!(deputy(&roster, "GB-LON").as_deref(), Some("CN-440000"));
        assert_eq!(deputy(&roster, "CN-440000").as_deref(), Some("GB-LON"));
        roster.put(entry("AU-SYD", Some("CN-440000"), true));
        roster.put(entry("CN-445300", Some("CN-440000"), false));
        assert_eq!(deputy(&roster, "GB-LON").as_deref(), Some("AU-SYD"));
        assert_eq!(deputy(&roster, "CN-445300").as_deref(), Some("AU-SYD"));
        roster.put(entry("CN-440100", Some("CN-440000"), true));
        assert_eq!(deputy(&roster, "CN-445300").as_deref(), Some("CN-440100"));
        let alone: Roster = [entry("CN-440000", None, true)].into_iter().collect();
        assert_eq!(deputy(&alone, "CN-440000"), None);
    }
}
