//! `yizhan report`.

use clap::Args;
use yizhan_client::{
    answer::Answer,
    channel::repeating,
    document::{answers::missing, parse_day, reports},
    error::Result,
};
use yizhan_proto::v1::GetReportRequest;

use super::Context;

#[derive(Args)]
pub struct Report {
    /// Which report: association
    name: String,
    /// Day that it is for, such as 2023-10-20: later rows do not count; today if not given
    #[arg(long, value_name = "DAY")]
    as_of: Option<String>,
    /// Ask the homes themselves
    #[arg(long)]
    live: bool,
    /// Exit with 0 although some point did not answer
    #[arg(long)]
    allow_partial: bool,
}

impl Report {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        let as_of = self.as_of.as_deref().map(|day| parse_day(day, "as_of")).transpose()?;
        let request = GetReportRequest { name: self.name, as_of, live: self.live };
        let report = repeating(|| {
            let (mut reports, request) = (node.reports(), request.clone());
            async move { reports.get_report(request).await }
        })
        .await?;
        let mut answer = reports::answer(&report);
        if !self.allow_partial {
            answer.missing = missing(&report.points);
        }
        Ok(answer)
    }
}
