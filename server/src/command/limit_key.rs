//! `yizhand limit-key`: a stolen seal key counts up to a last good state, and no further.

use clap::Args;
use serde_json::json;
use yizhan_client::{answer::Answer, channel::once, error::Result};
use yizhan_proto::v1::{LastGood, LimitSealKeyRequest};

use super::Dir;

#[derive(Args)]
#[command(
    after_help = "What the key has sealed beyond that is hidden everywhere, and nothing more is taken \
                        from it. The point comes back with other keys: `yizhand token --point CODE` \
                        at its parent, `yizhand join` in an empty directory. \
                        此后的数据在各点隐藏；该联络点须换用新密钥重新加入。"
)]
pub struct LimitKey {
    #[command(flatten)]
    dir: Dir,
    /// Code of the point whose key was stolen
    #[arg(long, value_name = "CODE")]
    point: String,
    /// The last good state of a feed, such as network=1:482 (epoch and sequence, as `yizhand status`
    /// shows them). Once per feed; for a feed that is not named, the key counts for nothing
    #[arg(long = "last-good", value_name = "AUDIENCE=EPOCH:SEQUENCE", value_parser = last_good)]
    last_good: Vec<LastGood>,
}

impl LimitKey {
    pub async fn run(self) -> Result<Answer> {
        let local = self.dir.connect().await?;
        let request = LimitSealKeyRequest { point: self.point, last_good: self.last_good };
        let answer = once(local.node.control().limit_seal_key(request)).await?;
        Ok(Answer::one(json!({"point": answer.point})))
    }
}

fn last_good(text: &str) -> std::result::Result<LastGood, String> {
    let read = || {
        let (audience, position) = text.split_once('=')?;
        let (epoch, sequence) = position.split_once(':')?;
        let (epoch, sequence) = (epoch.parse().ok()?, sequence.parse().ok()?);
        Some(LastGood { audience: audience.to_owned(), epoch, sequence })
    };
    read().ok_or_else(|| "not a state such as network=1:482".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_good_state_names_audience_epoch_and_sequence() {
        let read = last_good("network=1:482").unwrap();
        assert_eq!((read.audience.as_str(), read.epoch, read.sequence), ("network", 1, 482));
        for wrong in ["", "network", "network=1", "network=1:", "network:1=2"] {
            assert!(last_good(wrong).is_err(), "{wrong}");
        }
    }
}
