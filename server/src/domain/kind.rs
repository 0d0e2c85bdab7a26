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
    /// A numbered series of events. Lies in `public`.
    pub const SERIES: Kind = Kind(13);
    /// What a member lets other points see. Lies in `domestic` or `network`; the id is the member's.
    pub const CARD: Kind = Kind(20);
    /// What a member lets anybody see. Lies in `public`; the id is the member's.
    pub const PUBLIC_CARD: Kind = Kind(21);
    /// An event with drafts, persons and logistics. Lies in `home`; the id is the event's.
    pub const EVENT_PLAN: Kind = Kind(22);
    /// A point's entry in the roster: keys, parent, jurisdiction, revocation. Lies in `roster`.
    pub const ROSTER_POINT: Kind = Kind(40);
}
