//! `yizhand basis`: declares on what basis a point may have what others disclose.

use clap::Args;
use serde_json::json;
use yizhan_client::{answer::Answer, channel::once, error::Result};
use yizhan_proto::v1::DeclareBasisRequest;

use super::Dir;

#[derive(Args)]
#[command(
    after_help = "What is declared here is configuration: the program checks that a basis is \
                        declared and reaches from one place of registration to the other, and gives \
                        no legal advice. 此处登记的是配置:程序只检查是否登记及其适用范围,不提供法律意见。"
)]
pub struct Basis {
    #[command(flatten)]
    dir: Dir,
    /// Code of the point that is to have it
    #[arg(long, value_name = "CODE")]
    point: String,
    /// Code of the home, or the jurisdiction of homes: CN, HK, MO, GB; `others` for every home of another
    /// jurisdiction for which nothing is declared: denied, or none (they are let through)
    #[arg(long, value_name = "CODE")]
    from: String,
    /// cn_scc, cn_certified, cn_assessed, gba_sc_hk, gba_sc_mo, eu_scc, adequacy, explicit_consent,
    /// contract, assessment, denied; none takes back what was declared
    #[arg(long, value_name = "BASIS")]
    kind: String,
    /// Where it is written down: a contract's number, a filing
    #[arg(long, default_value = "", value_name = "TEXT")]
    reference: String,
}

impl Basis {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let request = DeclareBasisRequest {
            point: self.point,
            from: self.from,
            kind: self.kind,
            reference: self.reference,
        };
        let answer = once(local.node.control().declare_basis(request)).await?;
        Ok(Answer::one(json!({
            "point": answer.point,
            "from": answer.from,
            "kind": answer.kind,
            "reference": answer.reference,
            "note": "declared configuration, no legal advice",
        })))
    }
}
