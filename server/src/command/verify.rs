//! `yizhand verify`: adds everything up again, and names what differs.

use clap::Args;
use serde_json::{Value, json};
use yizhan_client::{
    answer::{Answer, Column},
    error::{Error, Result},
    progress,
};
use yizhan_proto::v1::{VerifyRequest, VerifySummary, verify_response::Kind};

use super::Dir;

const COLUMNS: &[Column] = &["reason", "feed", "record", "detail"];

#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    dir: Dir,
}

impl Verify {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let mut answers = local.node.control().verify(VerifyRequest {}).await?.into_inner();
        let bar = progress::bar(0, "rows");
        let mut findings = Vec::new();
        let mut summary = None;
        while let Some(answer) = answers.message().await? {
            match answer.kind {
                Some(Kind::Progress(progress)) => {
                    bar.set_position(progress.done);
                    bar.set_message(progress.subject);
                }
                Some(Kind::Finding(finding)) => findings.push(json!({
                    "reason": finding.reason,
                    "feed": finding.feed,
                    "epoch": finding.epoch.map(|epoch| epoch.counter),
                    "record": hex::encode(&finding.record),
                    "detail": finding.detail,
                })),
                Some(Kind::Summary(said)) => summary = Some(said),
                None => (),
            }
        }
        bar.finish_and_clear();
        let summary = summary.ok_or_else(|| {
            Error::failed("VERIFY_BROKE_OFF", "the node ended the check without a summary")
        })?;
        let VerifySummary { feeds, rows, findings: count } = summary;
        progress::note(&format!("{feeds} feeds, {rows} rows, {count} differences"));
        Ok(answer(findings, summary))
    }
}

/// Any difference is a failure, also for the exit code.
fn answer(findings: Vec<Value>, summary: VerifySummary) -> Answer {
    let failed = summary.findings > 0;
    let document = json!({
        "feeds": summary.feeds,
        "rows": summary.rows,
        "findings": summary.findings,
        "items": findings,
    });
    let mut answer = Answer::shaped(document, "items", COLUMNS);
    if failed {
        answer.failed = Some(format!("{} differences found", summary.findings));
        return answer;
    }
    answer.saying("all is well: every feed adds up to its seal, and every index is complete")
}
