//! Members of a home who may be the person that somebody wants to enter again.

use yizhan_proto::v1;

use crate::{
    app::{
        App,
        error::Result,
        records::{self, Found},
    },
    domain::{
        analyzer::{Filter, Query},
        audience::{Audience, FeedId},
        id::{PointCode, RecordId},
        kind::Kind,
        likeness::{By, Met, Traits},
        member::Member,
        text::Invalid,
    },
};

/// Most members that one name or contact is held against.
pub const LIKE_MAX: usize = 100;

/// The members of a home that a trait leads to.
pub(crate) async fn like(app: &App, home: &PointCode, by: By<'_>) -> Result<Vec<Found>> {
    let query = match by {
        By::Phone(phone) => Query::default().filter(Filter::Phone, phone),
        By::Email(email) => Query::default().filter(Filter::Email, email),
        By::Name(name, region) => {
            Query::parse(name).unwrap_or_default().filter(Filter::Region, region.prefix())
        }
    };
    let feed = FeedId::new(home.clone(), Audience::Home);
    let mut found = records::carrying_all(app, &feed, Kind::MEMBER, &query.terms).await?;
    found.truncate(LIKE_MAX);
    Ok(found)
}

/// Refuses a new member who is, or may be, one of the home already. `other_than`: who the caller says
/// it is not. The refusal names whom it was held to be; who may create a member may read them.
pub async fn check_new(
    app: &App,
    home: &PointCode,
    new: &Member,
    other_than: &[RecordId],
) -> Result<()> {
    let traits = Traits::of(new);
    let mut known: Vec<(&'static str, (RecordId, Member))> = Vec::new();
    for by in traits.asked() {
        for found in like(app, home, by).await? {
            let id = found.row.id;
            if other_than.contains(&id) || known.iter().any(|(_, (known, _))| *known == id) {
                continue;
            }
            known.push((by.field(), (id, found.value::<v1::Member, _>()?)));
        }
    }
    let (field, reason, matches) = match traits.meet(known, |(_, member)| member) {
        Met::Nobody => return Ok(()),
        Met::One((id, _)) => (traits.asked()[0].field(), "member_exists", vec![id]),
        Met::Doubt { field, matches } => {
            (field, "ambiguous_match", matches.into_iter().map(|(id, _)| id).collect())
        }
    };
    let field = if field == "name" { "names" } else { field };
    let ids: Vec<String> = matches.iter().map(RecordId::to_string).collect();
    let hint = format!("{}; allowed: update, other_than", ids.join(", "));
    Err(Invalid::new(format!("member.{field}"), reason).hint(hint).into())
}
