//! What nodes say about feeds in their status, and where they differ from the feeds' homes.

use std::collections::BTreeMap;

use serde_json::Value;

/// Audiences that every node of a network holds. `domestic` goes to the entitled only.
const HELD_BY_ALL: [&str; 3] = ["roster", "network", "public"];
/// Audiences that never leave their home.
const NEVER_SHARED: [&str; 2] = ["sealed", "home"];
/// Why a feed may be hidden for good. Whatever else hides one passes.
const HIDDEN_FOR_GOOD: [&str; 2] = ["NOT_ENTITLED", "NO_ENTITLED_PATH"];

/// (home, audience).
pub type FeedName = (String, String);

/// One row of a status document.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedState {
    pub epoch: String,
    pub sequence: u64,
    pub live: u64,
    pub digest: String,
    pub state: String,
    pub reason: String,
}

/// The feeds of a status document.
pub fn feeds(status: &Value) -> BTreeMap<FeedName, FeedState> {
    let rows = status["feeds"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let read = |row: &Value| {
        let state = FeedState {
            epoch: text(&row["epoch"]),
            sequence: row["sequence"].as_u64().unwrap_or(0),
            live: row["live"].as_u64().unwrap_or(0),
            digest: text(&row["digest"]),
            state: text(&row["state"]),
            reason: text(&row["reason"]),
        };
        ((text(&row["home"]), text(&row["audience"])), state)
    };
    rows.iter().map(read).collect()
}

/// What differs between the status documents of some nodes: every shared feed must stand, wherever
/// it is held, where its home has it. One sentence per difference.
pub fn disagreements(shown: &BTreeMap<String, Value>) -> Vec<String> {
    let by_node: BTreeMap<&String, _> =
        shown.iter().map(|(node, status)| (node, feeds(status))).collect();
    let mut differing = Vec::new();
    for (owner, own_feeds) in &by_node {
        let own = own_feeds
            .iter()
            .filter(|(name, feed)| feed.state == "own" && !NEVER_SHARED.contains(&name.1.as_str()));
        for ((home, audience), at_home) in own {
            for (node, held) in by_node.iter().filter(|(node, _)| *node != owner) {
                let name = (home.clone(), audience.clone());
                let problem = match held.get(&name) {
                    None if HELD_BY_ALL.contains(&audience.as_str()) => Some("lacks".to_owned()),
                    None => None,
                    Some(feed) => difference(feed, at_home),
                };
                if let Some(problem) = problem {
                    differing.push(format!("{node}: {problem} {home}/{audience}"));
                }
            }
        }
    }
    differing
}

fn difference(held: &FeedState, at_home: &FeedState) -> Option<String> {
    let same = held.epoch == at_home.epoch
        && held.sequence == at_home.sequence
        && held.digest == at_home.digest;
    match held.state.as_str() {
        "hidden" if HIDDEN_FOR_GOOD.contains(&held.reason.as_str()) => None,
        "hidden" => Some(format!("hides ({})", held.reason)),
        // Another node of the same point has it as own.
        "own" | "current" if same => None,
        "own" | "current" => Some(format!("is at {}, not {}, of", held.sequence, at_home.sequence)),
        other => Some(format!("is {other} in")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(rows: &[(&str, &str, u64, &str)]) -> Value {
        let feed = |&(home, audience, sequence, state): &(&str, &str, u64, &str)| {
            json!({"home": home, "audience": audience, "epoch": "1-ab", "sequence": sequence,
                   "live": sequence, "digest": format!("{sequence:04x}"), "state": state,
                   "reason": ""})
        };
        json!({"feeds": rows.iter().map(feed).collect::<Vec<_>>()})
    }

    fn differ(home: &[(&str, &str, u64, &str)], other: &[(&str, &str, u64, &str)]) -> Vec<String> {
        disagreements(&BTreeMap::from([("HK".into(), node(home)), ("MO".into(), node(other))]))
    }

    #[test]
    fn equal_copies_agree() {
        let home = [("HK", "public", 7, "own"), ("HK", "home", 9, "own")];
        assert_eq!(differ(&home, &[("HK", "public", 7, "current")]), [""; 0]);
    }

    #[test]
    fn a_missing_late_or_unfinished_copy_is_named() {
        let home = [("HK", "network", 7, "own")];
        assert_eq!(differ(&home, &[]), ["MO: lacks HK/network"]);
        let late = differ(&home, &[("HK", "network", 6, "current")]);
        assert_eq!(late, ["MO: is at 6, not 7, of HK/network"]);
        let unfinished = differ(&home, &[("HK", "network", 7, "catching_up")]);
        assert_eq!(unfinished, ["MO: is catching_up in HK/network"]);
    }

    #[test]
    fn a_hidden_copy_agrees_if_it_may_stay_hidden() {
        let hidden = |reason: &str| {
            let mut other = node(&[("HK", "network", 0, "hidden")]);
            other["feeds"][0]["reason"] = json!(reason);
            let home = node(&[("HK", "network", 7, "own")]);
            disagreements(&BTreeMap::from([("HK".into(), home), ("MO".into(), other)]))
        };
        assert_eq!(hidden("NO_ENTITLED_PATH"), [""; 0]);
        assert_eq!(hidden("NOT_SEARCHABLE_YET"), ["MO: hides (NOT_SEARCHABLE_YET) HK/network"]);
    }

    #[test]
    fn a_domestic_feed_may_be_missing_but_not_wrong() {
        let home = [("HK", "domestic", 7, "own")];
        assert_eq!(differ(&home, &[]), [""; 0]);
        assert_eq!(differ(&home, &[("HK", "domestic", 8, "current")]).len(), 1);
    }
}
