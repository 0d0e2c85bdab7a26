//! `yizhand join`: makes a node of a network that exists.

use clap::Args;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    error::{Error, Result},
};

use super::{Dir, Places, not_founded};
use crate::{config::Address, found, outside::Outside};

/// Join a network with a token.
///
/// A point may have several nodes on one PostgreSQL database. For its second node, make a token of
/// the same point, name the same database, and bring the point's keys: copy `keys/seal.key` and
/// `keys/case.key` of the first node into a directory that only you can read (mode 0700, files
/// 0600), name it by --point-keys, and remove it afterwards. The keys are not sent to anybody. One
/// of the nodes leads: it dials the parent and runs the jobs; another one follows within 15 s if it
/// dies.
#[derive(Args)]
pub struct Join {
    #[command(flatten)]
    pub dir: Dir,
    /// What `yizhand token` printed at a node of the network
    #[arg(long, value_name = "T")]
    pub token: String,
    /// Link address of the parent's node
    #[arg(long, value_name = "H:P")]
    pub parent: String,
    /// Directory with seal.key and case.key of the point's first node
    #[arg(long, value_name = "DIR")]
    pub point_keys: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub places: Places,
}

impl Join {
    pub async fn run(self) -> Result<Answer> {
        let parent = Address::parse(&self.parent)
            .map_err(|what| Error::usage(format!("--parent {what}")))?;
        let place = self.places.resolve(&self.dir.dir)?;
        let (link, public) = (place.listen_link.to_string(), place.listen_public.to_string());
        let point = found::join(
            &self.dir.dir,
            &self.token,
            &parent,
            place,
            self.point_keys.as_deref(),
            &Outside::real(),
        )
        .await
        .map_err(|error| not_founded(&error))?;
        Ok(Answer::one(json!({
            "point": point.to_string(),
            "parent": parent.to_string(),
            "listen_link": link,
            "listen_public": public,
        })))
    }
}
