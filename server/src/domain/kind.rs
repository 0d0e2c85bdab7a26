//! What a record is. Numbers are on the wire and signed: they are never reused.

/// A record's kind. A number this node does not know is kept and passed on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Kind(pub u32);

impl Kind {
    /// A contact point's public entry. Lies in `public`.
    pub const POINT: Kind = Kind(1);
    /// An organisation. Lies in `public`.
    pub const ORG: Kind = Kind(2);
    /// A member with everything the home point knows. Lies in `home`.
    pub const MEMBER: Kind = Kind(3);
    /// A consent of a member. Lies in `home`.
    pub const GRANT: Kind = Kind(4);
    /// An event as anybody may see it. Lies in `public`.
    pub const EVENT: Kind = Kind(6);
    /// A group of members. Lies in `network`.
    pub const GROUP: Kind = Kind(5);
    /// A help request at its owner. Lies in `sealed`.
    pub const HELP_REQUEST: Kind = Kind(11);
    /// A handoff of a help request, at either side. Lies in `sealed`.
    pub const HANDOFF: Kind = Kind(12);
    /// A numbered series of events. Lies in `public`.
    pub const SERIES: Kind = Kind(13);
    /// What a member lets other points see. Lies in `domestic` or `network`; the id is the member's.
    pub const CARD: Kind = Kind(20);
    /// What a member lets anybody see. Lies in `public`; the id is the member's.
    pub const PUBLIC_CARD: Kind = Kind(21);
    /// An event with drafts, persons and logistics. Lies in `home`; the id is the event's.
    pub const EVENT_PLAN: Kind = Kind(22);
    /// A place in a group with who holds it. Lies in `home` of the member's point.
    pub const GROUP_MEMBER: Kind = Kind(26);
    /// What other points see of a place in a group. Lies in `network`; the id is the place's.
    pub const GROUP_CARD: Kind = Kind(27);
    /// What points know of an organisation. Lies in `network`; the id is the organisation's.
    pub const ORG_DETAIL: Kind = Kind(28);
    /// A message of a help request, or a note. Lies in `sealed`.
    pub const HELP_MESSAGE: Kind = Kind(30);
    /// The key of an hour's help requests, wrapped for who may open it. Lies in `sealed`.
    pub const HELP_KEY: Kind = Kind(31);
    /// What is left of a help request that another point handles; the id is the request's. Lies in
    /// `sealed`.
    pub const HELP_STUB: Kind = Kind(32);
    /// A copy of a member's card for one destination, at its home and at the destination. Lies in
    /// `home` of either.
    pub const TRANSFER: Kind = Kind(41);
    /// A member's move to another point, at either side; at the old home what is left of the member.
    /// Lies in `home`.
    pub const MEMBER_MOVE: Kind = Kind(42);
    /// What points know of a point. Lies in `network`; the id is the point's.
    pub const POINT_DETAIL: Kind = Kind(43);
    /// What only the point itself knows of it. Lies in `home`; the id is the point's.
    pub const POINT_NOTES: Kind = Kind(44);
    /// What a home counts of rows that do not leave it. Lies in `public`, one per home.
    pub const HOME_FIGURES: Kind = Kind(45);
    /// A point's entry in the roster: keys, parent, jurisdiction, revocation. Lies in `roster`.
    pub const ROSTER_POINT: Kind = Kind(40);
}
