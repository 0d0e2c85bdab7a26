//! The gate with what this node knows: the roster, and where points are registered.

use yizhan_proto::v1;

use crate::{
    app::{
        App,
        error::{Error, Result},
        points,
    },
    domain::{
        basis::Seat,
        id::PointCode,
        point::Point,
        roster::Jurisdiction,
        transfer::{Refusal, Way},
    },
};

/// The way from a home to a destination.
pub(crate) async fn way_between<'a>(
    app: &App,
    home: &'a PointCode,
    to: &'a PointCode,
) -> Result<Way<'a>> {
    Ok(Way { from: seat(app, home).await?, home, to: seat(app, to).await?, point: to })
}

/// Where a point stands in law. Its own entry in the directory says where it is registered; before it
/// has one, the roster.
async fn seat(app: &App, point: &PointCode) -> Result<Seat> {
    let entry = app.keys.roster().get(point).cloned();
    let mut seat = Seat {
        jurisdiction: entry.as_ref().map_or(Jurisdiction::of(point), |entry| entry.jurisdiction),
        registered: entry.map(|entry| entry.registered_region).unwrap_or_default(),
    };
    let own = points::find(app, point).await?;
    if let Some(own) = own {
        let point: Point = own.value::<v1::Point, _>()?;
        seat.registered = point.registered_region.to_string();
    }
    Ok(seat)
}

pub(crate) fn refused(refusal: Refusal) -> Error {
    Error::Precondition { reason: refusal.reason(), message: refusal.message().to_owned() }
}
