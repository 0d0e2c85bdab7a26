//! `yizhand replace-issuer`: the authority appoints another issuer.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use yizhan_client::{answer::Answer, channel::once, error::Result};
use yizhan_proto::v1::RecoverRequest;

use super::{Dir, failure, settings};
use crate::{appointing, domain::audience::Audience, outside::Outside};

/// Let the authority appoint another issuer, at the founding node and while it does not run.
///
/// For a lost or stolen `keys/issuer.pem` or `keys/roster.key`, or before that. The roster goes on in a
/// new epoch. Other nodes learn of the new issuer with their next certificate: within 36 hours, and until
/// then they keep the roster that they have; let nobody in and put nobody out before. 由主管密钥（authority）
/// 任命新的签发者：须在创始节点停止时执行；其他节点最迟在 36 小时内随证书更新得知，在此之前请勿加入或除名联络点。
#[derive(Args)]
pub struct ReplaceIssuer {
    #[command(flatten)]
    dir: Dir,
    /// The authority's key, as it came out of its safe; keys/authority.pem if not given
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
}

impl ReplaceIssuer {
    pub async fn run(self) -> Result<Answer> {
        let config = settings(&self.dir.dir, &[])?;
        let authority = self.authority.as_deref();
        let fingerprint =
            appointing::replace_issuer(&self.dir.dir, &config, authority, &Outside::real())
                .map_err(|error| {
                    let (advice, advice_zh) = error.advice();
                    failure(error.reason(), &error).advice(advice).in_chinese(advice_zh)
                })?;
        let founder = config.founder.map(|founder| founder.to_string()).unwrap_or_default();
        let roster = format!("{founder}/{}", Audience::Roster.name());
        let local = self.dir.connect().await?;
        let request = RecoverRequest { feeds: vec![roster] };
        let answer = once(local.node.control().recover(request)).await?;
        let opened = answer.feeds.first();
        Ok(Answer::one(json!({
            "authority_fingerprint": fingerprint.to_string(),
            "roster_epoch": opened.and_then(|feed| feed.epoch.as_ref()).map(|epoch| epoch.counter),
        })))
    }
}
