//! What a caller may see: which homes are its own, and what of other homes' feeds.
//!
//! Asked before anything is looked up. It binds filters, counts and pages, because a row that may
//! not be seen is never looked at.

use std::sync::Arc;

use super::{
    App,
    error::{Error, Result},
};
use crate::{
    domain::{
        audience::{Audience, FeedId},
        help_category::HelpCategory,
        id::{PointCode, RecordId},
        policy::{Operation, Reach, reach},
        roster::Roster,
    },
    identity::caller::Caller,
    planted::{self, Fault},
};

/// How far a caller sees with one operation.
pub struct Sight {
    /// Homes whose own records the caller works with.
    pub own: Vec<PointCode>,
    /// The caller's own record, if it reaches that, and where it lies.
    record: Option<(PointCode, RecordId)>,
    /// The point that the caller reads for, if it may read what other homes disclosed to points.
    reader: Option<PointCode>,
    roster: Arc<Roster>,
}

impl Sight {
    /// `disclosed` says how far the caller reads what was disclosed, `inner` whether it reads what
    /// only the home knows. Refused if it may do nothing of the first.
    pub fn of(app: &App, caller: &Caller, disclosed: Operation, inner: Operation) -> Result<Sight> {
        let reach = caller.may(disclosed)?;
        let reader = match reach {
            Reach::Network | Reach::Everything => caller.point().cloned(),
            Reach::Nothing | Reach::Public | Reach::Own | Reach::Assigned | Reach::OwnPoint => None,
        };
        let reaches_own = caller.reach(inner) >= Reach::Own;
        let record = caller.point().cloned().zip(caller.member()).filter(|_| reaches_own);
        Ok(Sight { own: homes(app, caller, inner), record, reader, roster: app.keys.roster() })
    }

    pub fn is_own(&self, home: &PointCode) -> bool {
        self.own.contains(home)
    }

    /// May rows of a feed be shown? `home` rows at the caller's own homes, public ones to anybody,
    /// others where the roster entitles the point that the caller reads for.
    pub fn allows(&self, feed: &FeedId) -> bool {
        match feed.audience {
            Audience::Public => true,
            Audience::Home => self.is_own(&feed.home) || planted::is(Fault::SearchHidden),
            Audience::Domestic | Audience::Network => {
                let entitled = |reader| self.roster.may_hold(reader, feed);
                self.is_own(&feed.home) || self.reader.as_ref().is_some_and(entitled)
            }
            Audience::Sealed | Audience::Roster => false,
        }
    }

    /// May this very record be shown? The caller's own at its home, and what `allows` does.
    pub fn allows_record(&self, feed: &FeedId, id: RecordId) -> bool {
        let personal = !matches!(feed.audience, Audience::Sealed | Audience::Roster);
        self.allows(feed) || (personal && self.home_of(id) == Some(&feed.home))
    }

    /// Where the record of this id lies, if it is the caller's own.
    pub fn home_of(&self, id: RecordId) -> Option<&PointCode> {
        self.record.as_ref().filter(|(_, own)| *own == id).map(|(home, _)| home)
    }

    /// Does the caller read more than what anybody may?
    pub fn reads_disclosed(&self) -> bool {
        self.reader.is_some()
    }

    /// Tells askers apart who may see different things.
    pub fn name(&self) -> String {
        let own = self.own.iter().map(PointCode::as_str).collect::<Vec<_>>().join(" ");
        format!("{own}/{}", self.reader.as_ref().map_or("", PointCode::as_str))
    }
}

/// The homes at which the caller may do something to records: its point and those that it hosts,
/// as far as this node writes them.
pub fn homes(app: &App, caller: &Caller, operation: Operation) -> Vec<PointCode> {
    let mut homes = homes_of_first(app, caller, operation);
    if let Caller::Account { also, .. } = caller {
        for grant in also {
            let is_wide = matches!(
                reach(grant.role, operation),
                Reach::OwnPoint | Reach::Network | Reach::Everything
            );
            if is_wide && app.keys.is_home(&grant.point) && !homes.contains(&grant.point) {
                homes.push(grant.point.clone());
            }
        }
    }
    homes
}

/// How far the caller reaches among what this node keeps. Whoever belongs to a point that is only
/// hosted here reaches that point's and no other's, whatever the role says of a node.
pub fn reach_here(app: &App, caller: &Caller, operation: Operation) -> Reach {
    match (caller.reach(operation), caller) {
        (Reach::Everything, Caller::Account { point, .. }) if *point != app.keys.point => {
            Reach::OwnPoint
        }
        (reach, _) => reach,
    }
}

fn homes_of_first(app: &App, caller: &Caller, operation: Operation) -> Vec<PointCode> {
    match (reach_here(app, caller, operation), caller.point()) {
        (Reach::Everything, _) => app.keys.homes(),
        (Reach::OwnPoint | Reach::Network, Some(point)) if *point == app.keys.point => {
            app.keys.homes()
        }
        (Reach::OwnPoint | Reach::Network, Some(point)) if app.keys.is_home(point) => {
            vec![point.clone()]
        }
        _ => Vec::new(),
    }
}

/// May the caller do this to help requests of a category at a home? `is_assigned` says whether it is
/// about one that was given to the caller. A role that is limited to categories reaches no other, and
/// none whose category is not known any more.
pub fn handles(
    app: &App,
    caller: &Caller,
    operation: Operation,
    (home, category): (&PointCode, Option<HelpCategory>),
    is_assigned: bool,
) -> bool {
    let is_host = caller.point() == Some(&app.keys.point) && app.keys.is_home(home);
    caller.roles().any(|held| {
        let reaches = match reach(held.role, operation) {
            Reach::OwnPoint | Reach::Network | Reach::Everything => {
                held.point == Some(home) || (is_host && held.point == caller.point())
            }
            Reach::Assigned => is_assigned && held.point == Some(home),
            Reach::Nothing | Reach::Public | Reach::Own => false,
        };
        let named = category.map(HelpCategory::name);
        let names_it = |known: &String| named == Some(known);
        reaches && (held.categories.is_empty() || held.categories.iter().any(names_it))
    })
}

/// The home that something new is for: the one asked for, or the caller's own point.
pub fn home_for(
    app: &App,
    caller: &Caller,
    operation: Operation,
    asked: Option<PointCode>,
) -> Result<PointCode> {
    let own = homes(app, caller, operation);
    let home = asked.or_else(|| caller.point().cloned()).unwrap_or_else(|| app.keys.point.clone());
    if own.contains(&home) {
        return Ok(home);
    }
    Err(match app.keys.is_home(&home) {
        true => Error::Denied,
        false => Error::NotHome { home: home.to_string() },
    })
}
