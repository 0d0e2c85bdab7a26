//! `yizhand init`: founds a network.

use clap::Args;
use serde_json::json;
use yizhan_client::{
    answer::Answer,
    error::{Error, Result},
};

use super::{Dir, Places, failure, point_code};
use crate::{domain::region, found, outside::Outside};

#[derive(Args)]
pub struct Init {
    #[command(flatten)]
    pub dir: Dir,
    /// Name of the network
    #[arg(long, value_name = "NAME")]
    pub network: String,
    /// Code of the first point, such as CN-440000
    #[arg(long, value_name = "CODE")]
    pub point: String,
    #[command(flatten)]
    pub places: Places,
}

impl Init {
    pub async fn run(self) -> Result<Answer> {
        let point = point_code(&self.point)?;
        region::place_of_point(&point).map_err(|_| {
            Error::usage(format!("{point} lies at no place of the table of regions"))
                .advice("codes of GB/T 2260 on the mainland, such as CN-440100")
        })?;
        let place = self.places.resolve(&self.dir.dir)?;
        let (link, public) = (place.listen_link.to_string(), place.listen_public.to_string());
        let fingerprint =
            found::found(&self.dir.dir, &self.network, &point, place, &Outside::real())
                .await
                .map_err(|error| -> Error { failure("INIT_FAILED", &error) })?;
        Ok(Answer::one(json!({
            "point": point.to_string(),
            "authority_fingerprint": fingerprint.to_string(),
            "listen_link": link,
            "listen_public": public,
        })))
    }
}
