//! `yizhan audit`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use yizhan_client::{
    answer::Answer,
    channel::{Node, repeating},
    document::{
        audit::{COLUMNS, FINDING_COLUMNS, finding, line},
        parse_time, time,
    },
    error::Result,
    pages::{Page, Paging},
};
use yizhan_proto::v1::{ListAuditLinesRequest, VerifyAuditRequest};

use super::Context;

#[derive(Subcommand)]
pub enum Audit {
    /// Who wrote what and who looked at whom, newest first; your own record's lines as a member
    List(List),
    /// Check the chain from its first line to its last
    Verify,
}

#[derive(Args)]
pub struct List {
    /// Only lines on this record
    #[arg(long, default_value = "", value_name = "ID")]
    record: String,
    /// Only lines of this account
    #[arg(long, default_value = "", value_name = "N")]
    actor: String,
    /// From this moment on
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

impl Audit {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Audit::List(list) => list.run(&node).await,
            Audit::Verify => verify(&node).await,
        }
    }
}

impl List {
    async fn run(self, node: &Node) -> Result<Answer> {
        let moment = |text: &Option<String>, field| {
            text.as_deref().map(|text| parse_time(text, field)).transpose()
        };
        let asked = ListAuditLinesRequest {
            from_time: moment(&self.from, "from")?,
            to_time: moment(&self.to, "to")?,
            record: self.record,
            actor: self.actor,
            ..ListAuditLinesRequest::default()
        };
        let fetch = async |page_size, page_token: String| {
            let request = ListAuditLinesRequest { page_size, page_token, ..asked.clone() };
            let answer = repeating(|| {
                let (mut audit, request) = (node.audit(), request.clone());
                async move { audit.list_audit_lines(request).await }
            });
            let answer = answer.await?;
            Ok(Page { items: answer.items, next_page_token: answer.next_page_token, rest: () })
        };
        let page = self.paging.fetch(fetch).await?;
        Ok(Answer::list(page.items.iter().map(line).collect(), page.next_page_token, COLUMNS))
    }
}

async fn verify(node: &Node) -> Result<Answer> {
    let report = repeating(|| {
        let mut audit = node.audit();
        async move { audit.verify_audit(VerifyAuditRequest {}).await }
    })
    .await?;
    let newest = match report.newest_number {
        0 => Value::Null,
        number => json!({"number": number, "hash": hex::encode(&report.newest_hash)}),
    };
    let starts: Vec<_> =
        report.unmarked_start_times.iter().map(|moment| time(Some(moment))).collect();
    let items: Vec<Value> = report.findings.iter().map(finding).collect();
    let document = json!({
        "lines": report.lines,
        "newest": newest,
        "findings": report.faults,
        "unmarked_starts": starts,
        "items": items,
    });
    let mut answer = Answer::shaped(document, "items", FINDING_COLUMNS);
    if report.faults > 0 {
        answer.failed = Some(format!("{} faults in the audit's chain", report.faults));
        return Ok(answer);
    }
    Ok(answer
        .saying(format!("all is well: {} lines, each chained to the one before", report.lines)))
}
