//! `yizhand token`: lets a point's node join.

use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    channel::once,
    document::time,
    error::{Error, Result},
};
use yizhan_proto::v1::CreateTokenRequest;

use super::Dir;

#[derive(Args)]
pub struct Token {
    #[command(flatten)]
    dir: Dir,
    /// Code of the point that joins, or of an existing one that gets another node
    #[arg(long, value_name = "CODE")]
    point: String,
    /// How long the token can be used: 90s, 10m, 2h; at most 24h
    #[arg(long, default_value = "10m", value_parser = ttl)]
    ttl: SignedDuration,
    /// Host under which clients reach that node: the one that its public certificate may cover
    #[arg(long, default_value = "", value_name = "HOST")]
    public_host: String,
}

impl Token {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let seconds = self.ttl.as_secs();
        let ttl = Some(prost_types::Duration { seconds, nanos: self.ttl.subsec_nanos() });
        let request = CreateTokenRequest { point: self.point, ttl, public_host: self.public_host };
        let answer = once(local.node.control().create_token(request)).await?;
        let expires_at = time(answer.expire_time.as_ref())
            .ok_or_else(|| Error::failed("ANSWER_INCOMPLETE", "the token has no end"))?;
        Ok(Answer::one(json!({
            "token": answer.token,
            "point": answer.point,
            "expires_at": expires_at,
        })))
    }
}

fn ttl(text: &str) -> std::result::Result<SignedDuration, String> {
    match text.parse::<SignedDuration>() {
        Ok(ttl) if ttl.is_positive() => Ok(ttl),
        _ => Err("not a time such as 90s, 10m or 2h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_has_a_unit_and_is_positive() {
        assert_eq!(ttl("10m"), Ok(SignedDuration::from_secs(600)));
        assert_eq!(ttl("90s"), Ok(SignedDuration::from_secs(90)));
        for text in ["", "10", "-1s", "0s", "soon"] {
            assert!(ttl(text).is_err(), "{text}");
        }
    }
}
