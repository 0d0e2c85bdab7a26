//! The audit: lines on writes and on looks at personal data, each chained to the one before.
//!
//! A line names an actor, an operation, a purpose and a record, and holds no personal data. Its hash
//! covers a salted hash of the record's id and not the id itself, so that an erasure can take the id
//! out of old lines without breaking the chain.

use super::{
    code::named,
    id::{PointCode, RecordId},
    kind::Kind,
    policy::Operation,
    time::Time,
};

pub type Hash = [u8; 32];

/// How long lines are kept, in microseconds: 6 years.
pub const KEPT_US: i64 = 6 * 366 * 24 * 60 * 60 * 1_000_000;
/// Findings that one check reports; further ones are counted only.
pub const FINDINGS_MAX: usize = 100;
/// Stands for "no record".
pub const NO_RECORD: RecordId = RecordId([0; 16]);

/// Operations of the node itself, which no policy names.
pub const LINES_LOST: &str = "audit_lines_lost";
/// Lines are gone because the whole database was put back, as the continuity marks show.
pub const PUT_BACK: &str = "audit_database_put_back";
pub const MARK_MISSING: &str = "audit_mark_missing";
pub const OLD_LINES_REMOVED: &str = "audit_old_lines_removed";

named! {
    /// Why somebody looks at or changes what is known of a person.
    AccessPurpose, "unknown_access_purpose";
    /// Day-to-day work for the person.
    Service = 1 "service",
    /// Finding somebody who can speak, advise or help.
    Matching = 2 "matching",
    Contact = 3 "contact",
    Event = 4 "event",
    Help = 5 "help",
    DataQuality = 6 "data_quality",
    Statistics = 7 "statistics",
    /// The person has asked: what is held, a consent, an erasure.
    SubjectRequest = 8 "subject_request",
    Legal = 9 "legal",
    Security = 10 "security",
    /// The person's own record.
    Own = 11 "own",
}

impl AccessPurpose {
    /// What an operation is for where nobody says.
    pub fn of(operation: Operation) -> AccessPurpose {
        use Operation::*;
        match operation {
            ReadCard => AccessPurpose::Matching,
            BreakGlass => AccessPurpose::Help,
            GiveConsent | EraseMember | ReadCopies | TransferMember => {
                AccessPurpose::SubjectRequest
            }
            TryImport | Import => AccessPurpose::DataQuality,
            ReadEvent | EditEvent | PublishEvent | CreateSeries => AccessPurpose::Event,
            SubmitHelpRequest | TrackHelpRequest | ReadHelpRequest | ReplyHelpRequest
            | AssignHelpRequest | WorkHelpRequest => AccessPurpose::Help,
            ReadDeskFigures | SimulateRoutes => AccessPurpose::Statistics,
            ReadReport => AccessPurpose::Statistics,
            ReadAudit | VerifyAudit | KeepNode | ManageAccounts | ReadAccounts => {
                AccessPurpose::Security
            }
            _ => AccessPurpose::Service,
        }
    }
}

/// Who does something, as a line names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Author {
    pub actor: String,
    pub role: &'static str,
    pub point: String,
}

impl Author {
    /// The node itself: jobs, recovery.
    pub fn node() -> Author {
        Author { actor: "node".into(), role: "node", point: String::new() }
    }
}

/// What somebody does, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deed {
    pub author: Author,
    pub operation: String,
    pub purpose: &'static str,
}

impl Deed {
    pub fn of_node(operation: &str) -> Deed {
        Deed { author: Author::node(), operation: operation.to_owned(), purpose: "" }
    }

    /// The deed done to a record, with what came of it: a short word, never personal data.
    pub fn act(&self, kind: Kind, record: RecordId, outcome: impl Into<String>) -> Act {
        Act { deed: self.clone(), kind, record: Some(record), outcome: outcome.into() }
    }

    /// The deed done to no record in particular.
    pub fn on_nothing(&self, outcome: impl Into<String>) -> Act {
        Act { deed: self.clone(), kind: Kind(0), record: None, outcome: outcome.into() }
    }
}

/// One line before it has a place in the chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Act {
    pub deed: Deed,
    pub kind: Kind,
    pub record: Option<RecordId>,
    pub outcome: String,
}

/// Lines that lose their record, and the line that says so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Forgetting {
    pub deed: Deed,
    /// The erasure's order, which takes the place of the records.
    pub order: RecordId,
    pub records: Vec<RecordId>,
}

/// Everything that a transaction adds to the audit.
#[derive(Clone, Default, Debug)]
pub struct Notes {
    pub acts: Vec<Act>,
    pub forgettings: Vec<Forgetting>,
}

impl Notes {
    pub fn is_empty(&self) -> bool {
        self.acts.is_empty() && self.forgettings.is_empty()
    }
}

/// A line in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    pub number: u64,
    pub time: Time,
    pub actor: String,
    pub role: String,
    pub point: String,
    pub operation: String,
    pub purpose: String,
    pub kind: Kind,
    /// `NO_RECORD`: about none, or about one that was erased.
    pub record: RecordId,
    pub salt: [u8; 16],
    pub subject: Hash,
    pub outcome: String,
    pub previous: Hash,
    pub hash: Hash,
}

impl Line {
    /// Gives an act its place. `salt` is anything unpredictable.
    pub fn new(act: &Act, number: u64, time: Time, previous: Hash, salt: [u8; 16]) -> Line {
        let mut line = Line {
            number,
            time,
            actor: act.deed.author.actor.clone(),
            role: act.deed.author.role.to_owned(),
            point: act.deed.author.point.clone(),
            operation: act.deed.operation.clone(),
            purpose: act.deed.purpose.to_owned(),
            kind: act.kind,
            record: act.record.unwrap_or(NO_RECORD),
            salt: act.record.map_or([0; 16], |_| salt),
            subject: act.record.map_or([0; 32], |record| subject(&salt, record)),
            outcome: act.outcome.clone(),
            previous,
            hash: [0; 32],
        };
        line.hash = line.computed();
        line
    }

    /// The hash that the line must carry.
    pub fn computed(&self) -> Hash {
        let mut hasher = blake3::Hasher::new_derive_key("yizhan 2026 audit line");
        hasher.update(&self.number.to_le_bytes()).update(&self.time.0.to_le_bytes());
        for text in
            [&self.actor, &self.role, &self.point, &self.operation, &self.purpose, &self.outcome]
        {
            hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
        }
        hasher.update(&self.kind.0.to_le_bytes()).update(&self.subject).update(&self.previous);
        *hasher.finalize().as_bytes()
    }

    fn is_forgotten(&self) -> bool {
        self.record == NO_RECORD && self.subject != [0; 32]
    }
}

fn subject(salt: &[u8; 16], record: RecordId) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("yizhan 2026 audit subject");
    *hasher.update(salt).update(&record.0).finalize().as_bytes()
}

/// What a line says of lines that are gone.
pub fn lost(from: u64, to: u64) -> String {
    format!("from={from} to={to}")
}

/// What the line of an erasure says of the lines that lost their record.
pub fn forgot(lines: u64) -> String {
    format!("forgot={lines}")
}

/// A place in the chain, as it is kept outside the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    pub number: u64,
    pub hash: Hash,
}

impl Mark {
    /// Before the first line.
    pub const NONE: Mark = Mark { number: 0, hash: [0; 32] };
}

/// Something that is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    pub reason: &'static str,
    pub number: u64,
    pub detail: String,
}

/// What a check has found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    pub lines: u64,
    pub newest: Option<Mark>,
    /// At most `FINDINGS_MAX`.
    pub findings: Vec<Finding>,
    /// All, also those that are not listed.
    pub faults: u64,
    /// Times at which the node started after a restore, or otherwise from an older database.
    pub unmarked_starts: Vec<Time>,
}

/// Goes through the chain from its first line to its last.
pub struct Checker {
    base: Mark,
    mark: Option<Mark>,
    at: Mark,
    met_mark: bool,
    forgotten: u64,
    accounted: u64,
    base_named: bool,
    report: Report,
}

impl Checker {
    /// `base` is the last line that was removed for its age; `mark` what is kept outside.
    pub fn new(base: Mark, mark: Option<Mark>) -> Checker {
        let met_mark = mark.is_none_or(|mark| mark.number <= base.number);
        let base_named = base == Mark::NONE;
        Checker {
            base,
            mark,
            at: base,
            met_mark,
            forgotten: 0,
            accounted: 0,
            base_named,
            report: Report::default(),
        }
    }

    fn find(&mut self, reason: &'static str, number: u64, detail: String) {
        self.report.faults += 1;
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding { reason, number, detail });
        }
    }

    /// Lines come by number, each once.
    pub fn line(&mut self, line: &Line) {
        let expected = self.at.number + 1;
        if line.operation == PUT_BACK && line.outcome == lost(expected, line.number - 1) {
            self.report.unmarked_starts.push(line.time);
        } else if line.number != expected {
            let (first, last) = (expected, line.number.saturating_sub(1));
            self.find("AUDIT_LINE_MISSING", expected, format!("lines {first} to {last} are gone"));
        } else if line.operation == LINES_LOST {
            self.find("AUDIT_LINE_MISSING", line.number, "noticed at a start".to_owned());
        }
        if line.previous != self.at.hash {
            let detail = "does not follow the line before it".to_owned();
            self.find("AUDIT_ORDER", line.number, detail);
        }
        if line.hash != line.computed() {
            self.find("AUDIT_LINE_CHANGED", line.number, "is not as it was written".to_owned());
        }
        if line.record != NO_RECORD && line.subject != subject(&line.salt, line.record) {
            let detail = "names another record than it was written with".to_owned();
            self.find("AUDIT_RECORD_CHANGED", line.number, detail);
        }
        self.forgotten += u64::from(line.is_forgotten());
        if let Some(lines) = line.outcome.strip_prefix("forgot=") {
            self.accounted += lines.parse().unwrap_or(0);
        }
        if line.operation == OLD_LINES_REMOVED {
            // What had lost its record went with the old lines.
            let mut parts = line.outcome.split(' ');
            let through = parts.next().and_then(|part| part.strip_prefix("through="));
            self.base_named |= through.and_then(|n| n.parse().ok()) == Some(self.base.number);
        }
        if line.operation == MARK_MISSING {
            self.report.unmarked_starts.push(line.time);
        }
        if self.mark.is_some_and(|mark| mark.number == line.number) {
            self.met_mark = true;
            if self.mark.is_some_and(|mark| mark.hash != line.hash) {
                let detail = "is not the line that is marked outside the database".to_owned();
                self.find("AUDIT_LINE_CHANGED", line.number, detail);
            }
        }
        self.at = Mark { number: line.number, hash: line.hash };
        self.report.lines += 1;
    }

    pub fn finish(mut self) -> Report {
        if !self.met_mark
            && let Some(mark) = self.mark
        {
            let detail = format!("the newest line was {}", mark.number);
            self.find("AUDIT_CUT_OFF", self.at.number + 1, detail);
        }
        if self.forgotten > self.accounted {
            let surplus = self.forgotten - self.accounted;
            let detail = format!("{surplus} lines lost their record without an erasure");
            self.find("AUDIT_RECORD_CHANGED", 0, detail);
        }
        if !self.base_named {
            let detail = "old lines are gone and no line says so".to_owned();
            self.find("AUDIT_LINE_MISSING", self.base.number, detail);
        }
        self.report.newest = (self.at != Mark::NONE).then_some(self.at);
        self.report
    }
}

/// The point of a line as a code; none for the node's own.
pub fn point_of(line: &Line) -> Option<PointCode> {
    line.point.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn chain(count: u64) -> Vec<Line> {
        let deed = Deed {
            author: Author { actor: "ann".into(), role: "staff", point: "HK".into() },
            operation: "read_card".into(),
            purpose: "matching",
        };
        let mut lines: Vec<Line> = Vec::new();
        for number in 1..=count {
            let previous = lines.last().map_or([0; 32], |line| line.hash);
            let act = deed.act(Kind::CARD, RecordId([number as u8; 16]), "shown");
            lines.push(Line::new(&act, number, Time(number as i64), previous, [7; 16]));
        }
        lines
    }

    fn check(lines: &[Line], mark: Option<Mark>) -> Report {
        let mut checker = Checker::new(Mark::NONE, mark);
        lines.iter().for_each(|line| checker.line(line));
        checker.finish()
    }

    fn mark(lines: &[Line]) -> Option<Mark> {
        lines.last().map(|line| Mark { number: line.number, hash: line.hash })
    }

    #[test]
    fn an_untouched_chain_is_whole() {
        let lines = chain(20);
        let report = check(&lines, mark(&lines));
        assert_eq!((report.lines, report.faults, report.newest), (20, 0, mark(&lines)));
        assert_eq!(check(&[], None).faults, 0);
    }

    #[test]
    fn a_line_that_lost_its_record_needs_an_erasure() {
        let mut lines = chain(3);
        (lines[1].record, lines[1].salt) = (NO_RECORD, [0; 16]);
        assert_eq!(check(&lines, mark(&lines)).faults, 1);
        let order = Deed::of_node("erase_member").act(Kind(0), RecordId([9; 16]), forgot(1));
        lines.push(Line::new(&order, 4, Time(4), lines[2].hash, [1; 16]));
        assert_eq!(check(&lines, mark(&lines)).faults, 0);
    }

    proptest! {
        /// Whatever is done to one line of the chain is found.
        #[test]
        fn every_change_drop_swap_and_cut_is_found(
            count in 3u64..30, at in 0usize..30, how in 0usize..12
        ) {
            let whole = chain(count);
            let at = at % (whole.len() - 1);
            let mut lines = whole.clone();
            match how {
                0 => drop(lines.remove(at)),
                1 => lines.swap(at, at + 1),
                2 => lines.truncate(at + 1),
                3 => lines[at].actor.push('x'),
                4 => lines[at].outcome = "hidden".into(),
                5 => lines[at].record = RecordId([99; 16]),
                6 => lines[at].time.0 += 1,
                7 => lines[at].purpose = "legal".into(),
                8 => lines[at].hash[0] ^= 1,
                9 => lines[at].subject[0] ^= 1,
                10 => {
                    lines[at].actor = "bob".into();
                    lines[at].hash = lines[at].computed();
                }
                _ => {
                    // All hashes made anew from there on: only the mark outside knows.
                    lines[at].actor = "bob".into();
                    for n in at..lines.len() {
                        if n > 0 {
                            lines[n].previous = lines[n - 1].hash;
                        }
                        lines[n].hash = lines[n].computed();
                    }
                }
            }
            prop_assert!(check(&lines, mark(&whole)).faults > 0);
        }
    }
}
