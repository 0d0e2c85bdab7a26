//! Lines of the audit.

use yizhan_proto::v1;

use super::value::time_message;
use crate::domain::audit::{Finding, Line, NO_RECORD, Report};

impl From<Line> for v1::AuditLine {
    fn from(line: Line) -> v1::AuditLine {
        v1::AuditLine {
            number: line.number,
            time: Some(time_message(line.time)),
            actor: line.actor,
            role: line.role,
            point: line.point,
            operation: line.operation,
            purpose: line.purpose,
            kind: line.kind.0,
            record: match line.record {
                NO_RECORD => String::new(),
                record => record.to_string(),
            },
            outcome: line.outcome,
            previous: line.previous.to_vec(),
            hash: line.hash.to_vec(),
        }
    }
}

impl From<Finding> for v1::AuditFinding {
    fn from(finding: Finding) -> v1::AuditFinding {
        v1::AuditFinding {
            reason: finding.reason.to_owned(),
            number: finding.number,
            detail: finding.detail,
        }
    }
}

impl From<Report> for v1::VerifyAuditResponse {
    fn from(report: Report) -> v1::VerifyAuditResponse {
        v1::VerifyAuditResponse {
            lines: report.lines,
            newest_number: report.newest.map_or(0, |mark| mark.number),
            newest_hash: report.newest.map(|mark| mark.hash.to_vec()).unwrap_or_default(),
            findings: report.findings.into_iter().map(v1::AuditFinding::from).collect(),
            faults: report.faults,
            unmarked_start_times: report.unmarked_starts.into_iter().map(time_message).collect(),
        }
    }
}
