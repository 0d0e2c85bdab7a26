//! Who may hold a record, and the feed it therefore lies in.

use std::{fmt, str::FromStr};

use super::{id::PointCode, text::Invalid};

/// Who may hold a record, narrowest first. The numbers are on the wire and in databases.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Audience {
    /// Named handlers of the home point, under a content key.
    Sealed = 1,
    /// The home point alone.
    Home = 2,
    /// Points of the home's jurisdiction.
    Domestic = 3,
    /// Every point that the home has a basis for.
    Network = 4,
    /// Anybody.
    Public = 5,
    /// The issuer's list of points: not a record's audience, but a feed like any other.
    Roster = 6,
}

impl Audience {
    pub const RECORDS: [Audience; 5] =
        [Audience::Sealed, Audience::Home, Audience::Domestic, Audience::Network, Audience::Public];

    pub fn from_number(number: i64) -> Option<Audience> {
        match number {
            1 => Some(Audience::Sealed),
            2 => Some(Audience::Home),
            3 => Some(Audience::Domestic),
            4 => Some(Audience::Network),
            5 => Some(Audience::Public),
            6 => Some(Audience::Roster),
            _ => None,
        }
    }

    /// May leave its home other than inside a parcel?
    pub fn is_shared(self) -> bool {
        match self {
            Audience::Sealed | Audience::Home => false,
            Audience::Domestic | Audience::Network | Audience::Public | Audience::Roster => true,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Audience::Sealed => "sealed",
            Audience::Home => "home",
            Audience::Domestic => "domestic",
            Audience::Network => "network",
            Audience::Public => "public",
            Audience::Roster => "roster",
        }
    }

    pub fn parse(name: &str, field: &str) -> Result<Audience, Invalid> {
        [Audience::Roster]
            .into_iter()
            .chain(Audience::RECORDS)
            .find(|audience| audience.name() == name)
            .ok_or_else(|| Invalid::new(field, "unknown_audience"))
    }
}

/// A feed: the signed state of one home's records for one audience. The roster's home is the
/// founding point, whose issuer key signs it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeedId {
    pub home: PointCode,
    pub audience: Audience,
}

impl FeedId {
    pub fn new(home: PointCode, audience: Audience) -> FeedId {
        FeedId { home, audience }
    }
}

impl FromStr for FeedId {
    type Err = Invalid;

    /// Reads `home/audience`.
    fn from_str(text: &str) -> Result<FeedId, Invalid> {
        let (home, audience) = text.split_once('/').unwrap_or((text, ""));
        Ok(FeedId::new(home.parse()?, Audience::parse(audience, "feed")?))
    }
}

impl fmt::Display for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.home, self.audience.name())
    }
}

impl fmt::Debug for FeedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
