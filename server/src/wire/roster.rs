//! A roster record: `v1::RosterPoint` <-> `RosterEntry`. Everything an entry says about itself is
//! checked here; how it fits among the others is `Roster::admits`.

use std::collections::BTreeMap;

use prost::Message;
use yizhan_proto::v1;

use crate::domain::{
    audience::Audience,
    id::PointCode,
    roster::{
        APPROVED_EPOCHS_MAX, ApprovedEpoch, BASES_MAX, Basis, BasisKind, HOST_MAX, Jurisdiction,
        Limit, NAME_MAX, NODES_MAX, PAIR_BASES_MAX, PointKind, Position, REASON_MAX, REGION_MAX,
        Revocation, RosterEntry, RosterNode, SEAL_KEYS_MAX, SealKey,
    },
    text::{Invalid, line, required},
    time::Time,
};

/// Reads the payload of a roster record.
pub fn read(payload: &[u8]) -> Result<RosterEntry, Invalid> {
    let point = v1::RosterPoint::decode(payload);
    point.map_err(|_| Invalid::new("payload", "not_decodable"))?.try_into()
}

impl TryFrom<v1::RosterPoint> for RosterEntry {
    type Error = Invalid;

    fn try_from(point: v1::RosterPoint) -> Result<RosterEntry, Invalid> {
        let kind = kind(point.kind())?;
        let code = code(&point.code, "code")?;
        let jurisdiction = point
            .jurisdiction
            .parse()
            .map_err(|invalid: Invalid| named(invalid, "jurisdiction"))?;
        let entry = RosterEntry {
            name: required(line(&point.name, "name", NAME_MAX)?, "name")?,
            kind,
            jurisdiction,
            registered_region: line(&point.registered_region, "registered_region", REGION_MAX)?,
            parent: optional_code(&point.parent, "parent")?,
            host: optional_code(&point.host, "host")?,
            seal_keys: seal_keys(point.seal_keys)?,
            case_key: match point.case_key.len() {
                0 => None,
                _ => Some(array(&point.case_key, "case_key")?),
            },
            nodes: nodes(point.nodes)?,
            revoked: point.revocation.map(revocation).transpose()?,
            bases: bases(point.bases)?,
            pair_bases: pair_bases(point.pair_bases)?,
            listed_bases_only: point.listed_bases_only,
            approved_epochs: approved_epochs(point.approved_epochs)?,
            code,
        };
        if entry.host.as_ref() == Some(&entry.code) {
            return Err(Invalid::new("host", "own_code"));
        }
        if entry.host.is_some() && !entry.nodes.is_empty() {
            return Err(Invalid::new("nodes", "hosted"));
        }
        Ok(entry)
    }
}

impl From<RosterEntry> for v1::RosterPoint {
    fn from(entry: RosterEntry) -> v1::RosterPoint {
        v1::RosterPoint {
            code: entry.code.to_string(),
            name: entry.name,
            kind: kind_message(entry.kind) as i32,
            jurisdiction: entry.jurisdiction.to_string(),
            registered_region: entry.registered_region,
            parent: entry.parent.map(|code| code.to_string()).unwrap_or_default(),
            host: entry.host.map(|code| code.to_string()).unwrap_or_default(),
            seal_keys: entry.seal_keys.into_iter().map(seal_key_message).collect(),
            case_key: entry.case_key.map(Vec::from).unwrap_or_default(),
            nodes: entry.nodes.into_iter().map(node_message).collect(),
            revocation: entry
                .revoked
                .map(|out| v1::Revocation { revoked_us: out.at.0, reason: out.reason }),
            bases: entry.bases.into_iter().map(basis_message).collect(),
            pair_bases: entry.pair_bases.into_iter().map(pair_basis_message).collect(),
            listed_bases_only: entry.listed_bases_only,
            approved_epochs: entry.approved_epochs.into_iter().map(approved_message).collect(),
        }
    }
}

fn named(mut invalid: Invalid, field: &str) -> Invalid {
    invalid.field = field.to_owned();
    invalid
}

fn code(text: &str, field: &str) -> Result<PointCode, Invalid> {
    text.parse().map_err(|invalid| named(invalid, field))
}

fn optional_code(text: &str, field: &str) -> Result<Option<PointCode>, Invalid> {
    if text.is_empty() { Ok(None) } else { code(text, field).map(Some) }
}

fn array<const N: usize>(bytes: &[u8], field: &str) -> Result<[u8; N], Invalid> {
    bytes.try_into().map_err(|_| {
        Invalid::new(field, "wrong_length").hint(format_args!("{N} bytes, not {}", bytes.len()))
    })
}

fn at_most<T>(list: &[T], max: usize, field: &str) -> Result<(), Invalid> {
    if list.len() > max {
        return Err(Invalid::new(field, "too_many").hint(format_args!("at most {max}")));
    }
    Ok(())
}

fn audience(number: u32, field: &str) -> Result<Audience, Invalid> {
    Audience::from_number(i64::from(number)).ok_or_else(|| Invalid::new(field, "unknown_audience"))
}

fn kind(kind: v1::roster_point::Kind) -> Result<PointKind, Invalid> {
    match kind {
        v1::roster_point::Kind::Unspecified => Err(Invalid::new("kind", "required")),
        v1::roster_point::Kind::Province => Ok(PointKind::Province),
        v1::roster_point::Kind::City => Ok(PointKind::City),
        v1::roster_point::Kind::Partner => Ok(PointKind::Partner),
        v1::roster_point::Kind::Overseas => Ok(PointKind::Overseas),
    }
}

fn kind_message(kind: PointKind) -> v1::roster_point::Kind {
    match kind {
        PointKind::Province => v1::roster_point::Kind::Province,
        PointKind::City => v1::roster_point::Kind::City,
        PointKind::Partner => v1::roster_point::Kind::Partner,
        PointKind::Overseas => v1::roster_point::Kind::Overseas,
    }
}

fn seal_keys(messages: Vec<v1::SealKey>) -> Result<Vec<SealKey>, Invalid> {
    at_most(&messages, SEAL_KEYS_MAX, "seal_keys")?;
    let mut keys: Vec<SealKey> = Vec::with_capacity(messages.len());
    for message in messages {
        let public: [u8; 32] = array(&message.public_key, "seal_keys.public_key")?;
        // A weak key would let one signature fit many messages.
        ed25519_dalek::VerifyingKey::from_bytes(&public)
            .ok()
            .filter(|key| !key.is_weak())
            .ok_or_else(|| Invalid::new("seal_keys.public_key", "not_a_key"))?;
        let after = keys.last().map_or(0, |key| key.from_epoch);
        if message.from_epoch <= after {
            return Err(Invalid::new("seal_keys.from_epoch", "not_rising"));
        }
        let mut limit = Limit::new();
        for position in message.limited_to {
            let audience = audience(position.audience, "seal_keys.limited_to.audience")?;
            let last = Position { epoch: position.epoch, sequence: position.sequence };
            if limit.insert(audience, last).is_some() {
                return Err(Invalid::new("seal_keys.limited_to.audience", "twice"));
            }
        }
        if !message.limited && !limit.is_empty() {
            return Err(Invalid::new("seal_keys.limited", "required"));
        }
        let limit = message.limited.then_some(limit);
        keys.push(SealKey { public, from_epoch: message.from_epoch, limit });
    }
    Ok(keys)
}

fn seal_key_message(key: SealKey) -> v1::SealKey {
    let limited = key.limit.is_some();
    let limited_to = key.limit.unwrap_or_default().into_iter().map(|(audience, last)| {
        v1::Position { audience: audience as u32, epoch: last.epoch, sequence: last.sequence }
    });
    v1::SealKey {
        public_key: key.public.to_vec(),
        from_epoch: key.from_epoch,
        limited_to: limited_to.collect(),
        limited,
    }
}

fn nodes(messages: Vec<v1::RosterNode>) -> Result<Vec<RosterNode>, Invalid> {
    at_most(&messages, NODES_MAX, "nodes")?;
    let mut nodes: Vec<RosterNode> = Vec::with_capacity(messages.len());
    for message in messages {
        let node = message.node.parse().map_err(|invalid| named(invalid, "nodes.node"))?;
        if nodes.iter().any(|known| known.node == node) {
            return Err(Invalid::new("nodes.node", "twice"));
        }
        nodes.push(RosterNode {
            node,
            spki_sha256: array(&message.spki_sha256, "nodes.spki_sha256")?,
            public_host: match message.public_host.as_str() {
                "" => None,
                host => Some(public_host(host)?),
            },
        });
    }
    Ok(nodes)
}

/// A host that a public certificate may cover: an IP address or a DNS name in lower case, and none
/// that would stand for somebody else, such as a link identity.
pub fn public_host(host: &str) -> Result<String, Invalid> {
    let wrong = |reason| Invalid::new("nodes.public_host", reason).hint(host);
    if let Ok(address) = host.parse::<std::net::IpAddr>() {
        if address.is_unspecified() || address.is_loopback() || address.to_string() != host {
            return Err(wrong("not_a_public_host"));
        }
        return Ok(host.to_owned());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label of digits only would be an address in disguise.
    let last = host.rsplit('.').next().unwrap_or("");
    if host.len() > HOST_MAX
        || !host.split('.').all(label)
        || last.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(wrong("not_a_host"));
    }
    if host == "localhost" || host == "yizhan.internal" || host.ends_with(".yizhan.internal") {
        return Err(wrong("not_a_public_host"));
    }
    Ok(host.to_owned())
}

fn node_message(node: RosterNode) -> v1::RosterNode {
    v1::RosterNode {
        node: node.node.to_string(),
        spki_sha256: node.spki_sha256.to_vec(),
        public_host: node.public_host.unwrap_or_default(),
    }
}

fn revocation(message: v1::Revocation) -> Result<Revocation, Invalid> {
    let reason = line(&message.reason, "revocation.reason", REASON_MAX)?;
    Ok(Revocation { at: Time(message.revoked_us), reason })
}

fn bases(messages: Vec<v1::Basis>) -> Result<BTreeMap<PointCode, Basis>, Invalid> {
    at_most(&messages, BASES_MAX, "bases")?;
    let mut bases = BTreeMap::new();
    for message in messages {
        let kind = BasisKind::from_number(message.kind, "bases.kind")?;
        let reference = line(&message.reference, "bases.reference", REASON_MAX)?;
        let home = code(&message.home, "bases.home")?;
        if bases.insert(home, Basis { kind, reference }).is_some() {
            return Err(Invalid::new("bases.home", "twice"));
        }
    }
    Ok(bases)
}

fn basis_message((home, basis): (PointCode, Basis)) -> v1::Basis {
    v1::Basis { home: home.to_string(), kind: basis.kind.number(), reference: basis.reference }
}

fn pair_bases(messages: Vec<v1::PairBasis>) -> Result<BTreeMap<Jurisdiction, Basis>, Invalid> {
    at_most(&messages, PAIR_BASES_MAX, "pair_bases")?;
    let mut bases = BTreeMap::new();
    for message in messages {
        let kind = BasisKind::from_number(message.kind, "pair_bases.kind")?;
        let reference = line(&message.reference, "pair_bases.reference", REASON_MAX)?;
        let from = message.jurisdiction.parse();
        let from = from.map_err(|invalid: Invalid| named(invalid, "pair_bases.jurisdiction"))?;
        if bases.insert(from, Basis { kind, reference }).is_some() {
            return Err(Invalid::new("pair_bases.jurisdiction", "twice"));
        }
    }
    Ok(bases)
}

fn pair_basis_message((from, basis): (Jurisdiction, Basis)) -> v1::PairBasis {
    let jurisdiction = from.to_string();
    v1::PairBasis { jurisdiction, kind: basis.kind.number(), reference: basis.reference }
}

fn approved_epochs(messages: Vec<v1::ApprovedEpoch>) -> Result<Vec<ApprovedEpoch>, Invalid> {
    at_most(&messages, APPROVED_EPOCHS_MAX, "approved_epochs")?;
    messages
        .into_iter()
        .map(|message| {
            Ok(ApprovedEpoch {
                audience: audience(message.audience, "approved_epochs.audience")?,
                counter: message.counter,
                random: array(&message.random, "approved_epochs.random")?,
            })
        })
        .collect()
}

fn approved_message(epoch: ApprovedEpoch) -> v1::ApprovedEpoch {
    v1::ApprovedEpoch {
        audience: epoch.audience as u32,
        counter: epoch.counter,
        random: epoch.random.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::roster::NodeId;

    fn key(mark: u8) -> [u8; 32] {
        ed25519_dalek::SigningKey::from_bytes(&[mark; 32]).verifying_key().to_bytes()
    }

    fn entry() -> RosterEntry {
        let code: PointCode = "GB-LON".parse().unwrap();
        let mut entry = RosterEntry::new(code, "London".into(), PointKind::Overseas);
        entry.parent = Some("CN-440000".parse().unwrap());
        let last = Position { epoch: 1, sequence: 7 };
        entry.seal_keys = vec![
            SealKey {
                public: key(1),
                from_epoch: 1,
                limit: Some(Limit::from([(Audience::Public, last)])),
            },
            SealKey { public: key(2), from_epoch: 2, limit: None },
        ];
        entry.case_key = Some([3; 32]);
        entry.nodes = vec![RosterNode {
            node: NodeId([4; 8]),
            spki_sha256: [5; 32],
            public_host: Some("london.example.org".into()),
        }];
        entry.revoked = Some(Revocation { at: Time(6), reason: "lost".into() });
        let denied = Basis { kind: BasisKind::Denied, reference: String::new() };
        entry.bases.insert("HK".parse().unwrap(), denied);
        entry.approved_epochs =
            vec![ApprovedEpoch { audience: Audience::Public, counter: 3, random: [7; 16] }];
        entry
    }

    #[test]
    fn an_entry_survives_the_wire() {
        let message = v1::RosterPoint::from(entry());
        assert_eq!(RosterEntry::try_from(message), Ok(entry()));
    }

    #[test]
    fn a_wrong_field_is_refused_by_name() {
        type Damage = fn(&mut v1::RosterPoint);
        let table: [(&str, Damage); 14] = [
            ("code", |p| p.code = "LONDON".into()),
            ("name", |p| p.name.clear()),
            ("kind", |p| p.kind = 99),
            ("jurisdiction", |p| p.jurisdiction = "gb".into()),
            ("parent", |p| p.parent = "x".into()),
            ("host", |p| p.host = "GB-LON".into()),
            ("nodes", |p| p.host = "CN-440000".into()),
            ("case_key", |p| p.case_key = vec![1; 31]),
            ("seal_keys.public_key", |p| p.seal_keys[0].public_key = vec![0; 32]),
            ("seal_keys.from_epoch", |p| p.seal_keys[1].from_epoch = 1),
            ("seal_keys.limited", |p| p.seal_keys[0].limited = false),
            ("nodes.spki_sha256", |p| p.nodes[0].spki_sha256 = vec![]),
            ("bases.kind", |p| p.bases[0].kind = 0),
            ("approved_epochs.audience", |p| p.approved_epochs[0].audience = 77),
        ];
        for (field, damage) in table {
            let mut message = v1::RosterPoint::from(entry());
            damage(&mut message);
            assert_eq!(RosterEntry::try_from(message).unwrap_err().field, field);
        }
    }

    #[test]
    fn a_public_host_stands_for_nobody_else() {
        for host in ["a.example.org", "203.0.113.7", "2001:db8::7", "node-1"] {
            assert!(public_host(host).is_ok(), "{host}");
        }
        for host in [
            "",
            "localhost",
            "127.0.0.1",
            "0.0.0.0",
            "::",
            "*.example.org",
            "A.example.org",
            "a..b",
            "gb-lon.00ff10a0b0c0d0e0.point.yizhan.internal",
            "yizhan.internal",
            "1.2.3",
            "a b",
            "a\0b",
            "-a.org",
            "xn--.",
            "2001:DB8::7",
        ] {
            assert!(public_host(host).is_err(), "{host}");
        }
    }
}
