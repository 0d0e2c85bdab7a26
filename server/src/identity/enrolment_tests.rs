//! Joining and renewing, from a token to a certificate, without sockets.

use ed25519_dalek::SigningKey;

use super::{super::samples::*, *};
use crate::{
    domain::roster::{Basis, BasisKind, Limit, Revocation},
    identity::{
        chain::Chain,
        join::node_of,
        keys::{CaseKey, TlsKey},
        proof::{prove_enrolment, prove_renewal},
        token::TTL_DEFAULT,
    },
    store::tokens::tests::database,
};

/// A founding node CN-440000 with a node CN-440100 below, hosting HK.
struct World {
    network: Network,
    roster: Roster,
    desk: Desk,
    db: Connection,
}

/// The keys of a node that wants to join.
struct Candidate {
    tls: TlsKey,
    seal: SigningKey,
    case: CaseKey,
}

impl Candidate {
    fn new() -> Candidate {
        Candidate {
            tls: TlsKey::generate().unwrap(),
            seal: SigningKey::from_bytes(&rand::random()),
            case: CaseKey::generate(),
        }
    }
}

fn entry(code: &str, parent: &str, mark: u8) -> RosterEntry {
    let mut entry = RosterEntry::new(point(code), code.into(), PointKind::City);
    entry.parent = (!parent.is_empty()).then(|| point(parent));
    let public = SigningKey::from_bytes(&[mark; 32]).verifying_key().to_bytes();
    entry.seal_keys = vec![SealKey { public, from_epoch: 1, limit: None }];
    entry.case_key = Some([mark; 32]);
    entry.nodes =
        vec![RosterNode { node: NodeId([mark; 8]), spki_sha256: [mark; 32], public_host: None }];
    entry
}

impl World {
    async fn new() -> World {
        let mut hosted = RosterEntry::new(point("HK"), "HK".into(), PointKind::Partner);
        hosted.parent = Some(point("CN-440000"));
        hosted.host = Some(point("CN-440000"));
        hosted.name = "Hong Kong".into();
        let denied = Basis { kind: BasisKind::Denied, reference: String::new() };
        hosted.bases.insert(point("CN-440100"), denied);
        let roster = Roster::from_iter([
            entry("CN-440000", "", 1),
            entry("CN-440100", "CN-440000", 2),
            hosted,
        ]);
        let (network, desk, db) = (Network::found(), Desk::default(), database().await);
        World { network, roster, desk, db }
    }

    async fn token(&mut self, code: &str) -> JoinToken {
        self.token_for(code, None).await
    }

    async fn token_for(&mut self, code: &str, host: Option<&str>) -> JoinToken {
        let authority = self.network.authority.fingerprint();
        let (token, stored) = JoinToken::make(point(code), authority, 3, TTL_DEFAULT, NOW).unwrap();
        let stored = StoredToken { public_host: host.map(str::to_owned), ..stored };
        tokens::insert(&mut self.db, &stored).await.unwrap();
        token
    }

    fn request(&self, token: &JoinToken, candidate: &Candidate) -> v1::EnrolRequest {
        self.request_with(token, candidate, |_| {})
    }

    fn request_with(
        &self,
        token: &JoinToken,
        candidate: &Candidate,
        change: impl FnOnce(&mut v1::EnrolBody),
    ) -> v1::EnrolRequest {
        let Candidate { tls, seal, case } = candidate;
        let nonce = self.desk.nonce(NOW);
        let mut body = v1::EnrolBody {
            token: token.reveal().to_string(),
            nonce: nonce.nonce,
            keys: Some(v1::NodeKeys {
                tls_spki: tls.spki().as_der().to_vec(),
                seal_key: seal.verifying_key().to_bytes().to_vec(),
                case_key: case.public().to_vec(),
            }),
            node: node_of(tls).to_string(),
            public_host: String::new(),
        };
        change(&mut body);
        prove_enrolment(&body, &nonce.challenge_key, tls, seal, case).unwrap()
    }

    async fn enrol_at(
        &mut self,
        voucher: &str,
        request: &v1::EnrolRequest,
        now: Time,
    ) -> Result<v1::EnrolResponse, &'static str> {
        let reason = |refusal: Refusal| refusal.kind().1;
        let application = match self.desk.begin(&mut self.db, request, now).await.map_err(reason)? {
            Step::Answered(response) => return Ok(response),
            Step::Go(application) => application,
        };
        let mut committed = None;
        let World { network, roster, .. } = &*self;
        let office = Office { issuer: &network.issuer, network: "gd", roster };
        let response = office
            .admit(&point(voucher), &application, 2, now, async |record| {
                committed = Some(record);
                Ok(4)
            })
            .await
            .map_err(reason)?;
        self.roster.put(committed.unwrap().try_into().unwrap());
        self.desk.finish(&mut self.db, &application, &response).await.map_err(reason)?;
        Ok(response)
    }

    async fn enrol(
        &mut self,
        request: &v1::EnrolRequest,
    ) -> Result<v1::EnrolResponse, &'static str> {
        self.enrol_at("CN-440000", request, NOW).await
    }
}

#[tokio::test]
async fn a_token_turns_fresh_keys_into_an_entry_and_a_certificate() {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    let candidate = Candidate::new();
    let request = world.request(&token, &candidate);
    let response = world.enrol(&request).await.unwrap();

    let chain = Chain::from_pem(&response.certificate_chain_pem).unwrap();
    chain.check(&token.authority, NOW).unwrap();
    let peer = chain.peer();
    assert_eq!(peer.point, point("GB-LON"));
    assert_eq!((response.network.as_str(), response.roster_sequence), ("gd", 4));
    let admitted = world.roster.check_peer(&peer.point, peer.node, &peer.spki_sha256);
    assert_eq!(admitted, Ok(()));
    let entry = world.roster.get(&point("GB-LON")).unwrap();
    assert_eq!(entry.parent, Some(point("CN-440000")));
    assert_eq!((entry.kind, entry.registered_region.as_str()), (PointKind::Overseas, "GBLON"));
    assert_eq!(entry.seal_keys[0].public, candidate.seal.verifying_key().to_bytes());
    assert_eq!(entry.seal_keys[0].from_epoch, 1);
    assert_eq!(entry.case_key, Some(candidate.case.public()));
}

#[tokio::test]
async fn a_hosted_point_that_joins_keeps_its_place_and_its_past() {
    let mut world = World::new().await;
    let token = world.token("HK").await;
    let candidate = Candidate::new();
    let request = world.request(&token, &candidate);
    world.enrol(&request).await.unwrap();

    let entry = world.roster.get(&point("HK")).unwrap();
    assert_eq!((entry.host.as_ref(), entry.name.as_str()), (None, "Hong Kong"));
    let guangzhou = newcomer(&point("CN-440100"), &point("CN-440000"));
    assert!(!entry.has_basis_for(&guangzhou));
    let host = world.roster.get(&point("CN-440000")).unwrap().newest_seal_key().unwrap().public;
    let keys: Vec<_> = entry.seal_keys.iter().map(|key| (key.public, key.from_epoch)).collect();
    assert_eq!(keys, [(host, 1), (candidate.seal.verifying_key().to_bytes(), 2)]);
}

#[tokio::test]
async fn the_same_key_gets_the_same_answer_and_another_gets_none() {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    let (candidate, other) = (Candidate::new(), Candidate::new());
    let request = world.request(&token, &candidate);
    let first = world.enrol(&request).await.unwrap();
    let again = world.request(&token, &candidate);
    assert_eq!(world.enrol(&again).await.unwrap(), first);
    let stolen = world.request(&token, &other);
    assert_eq!(world.enrol(&stolen).await.unwrap_err(), "TOKEN_USED");
    let late = Time(NOW.0 + 600_000_000);
    assert_eq!(world.enrol_at("CN-440000", &again, late).await.unwrap_err(), "NONCE_NOT_FRESH");
}

#[tokio::test]
async fn a_try_that_was_cut_off_after_the_claim_can_be_repeated() {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    let candidate = Candidate::new();
    let request = world.request(&token, &candidate);
    let step = world.desk.begin(&mut world.db, &request, NOW).await.unwrap();
    assert!(matches!(step, Step::Go(_)));
    // Nothing was committed; or it was, and the answer was lost: both end in the same entry.
    world.enrol(&request).await.unwrap();
    let entry = world.roster.get(&point("GB-LON")).unwrap().clone();
    world.enrol(&request).await.unwrap();
    assert_eq!(*world.roster.get(&point("GB-LON")).unwrap(), entry);
}

#[tokio::test]
async fn doing_an_application_twice_leaves_one_entry() {
    let mut world = World::new().await;
    let token = world.token("HK").await;
    let candidate = Candidate::new();
    let application = Application::read(&world.request(&token, &candidate)).unwrap();
    let once = entry_for(&world.roster, &point("CN-440000"), &application, 2).unwrap();
    world.roster.put(once.clone());
    let twice = entry_for(&world.roster, &point("CN-440000"), &application, 3).unwrap();
    assert_eq!(once, twice);
}

#[tokio::test]
async fn a_second_node_of_a_point_brings_the_points_keys() {
    let mut world = World::new().await;
    let first = Candidate::new();
    let token = world.token("GB-LON").await;
    let request = world.request(&token, &first);
    world.enrol(&request).await.unwrap();
    let second = Candidate {
        tls: TlsKey::generate().unwrap(),
        seal: first.seal.clone(),
        case: first.case.clone(),
    };
    let token = world.token("GB-LON").await;
    let request = world.request(&token, &second);
    world.enrol(&request).await.unwrap();
    let entry = world.roster.get(&point("GB-LON")).unwrap();
    assert_eq!((entry.nodes.len(), entry.seal_keys.len()), (2, 1));
}

#[tokio::test]
async fn new_seal_keys_of_a_point_put_its_old_nodes_out() {
    let mut world = World::new().await;
    for _ in 0..2 {
        let token = world.token("GB-LON").await;
        let request = world.request(&token, &Candidate::new());
        world.enrol(&request).await.unwrap();
    }
    let entry = world.roster.get(&point("GB-LON")).unwrap();
    assert_eq!((entry.nodes.len(), entry.seal_keys.len()), (1, 2));
    assert_eq!(entry.seal_keys[1].from_epoch, 2);
}

#[tokio::test]
async fn a_request_that_proves_nothing_is_refused() {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    let (candidate, other) = (Candidate::new(), Candidate::new());
    let good = world.request(&token, &candidate);
    let theirs = world.request(&token, &other);
    type Damage<'a> = Box<dyn Fn(&mut v1::EnrolRequest) + 'a>;
    let table: [(&str, &str, Damage); 7] = [
        ("no body", "MALFORMED", Box::new(|r| r.body.clear())),
        ("a huge body", "MALFORMED", Box::new(|r| r.body = vec![0; 1 << 20])),
        ("random body", "MALFORMED", Box::new(|r| r.body = vec![0xff; 100])),
        ("no TLS proof", "KEY_NOT_PROVED", Box::new(|r| r.tls_signature.clear())),
        ("no seal proof", "KEY_NOT_PROVED", Box::new(|r| r.seal_signature = vec![0; 64])),
        ("no case proof", "KEY_NOT_PROVED", Box::new(|r| r.case_ciphertext.clear())),
        (
            "another's case proof",
            "KEY_NOT_PROVED",
            Box::new(|r| {
                r.case_ciphertext.clone_from(&theirs.case_ciphertext);
                r.case_encapsulated.clone_from(&theirs.case_encapsulated);
            }),
        ),
    ];
    for (name, reason, damage) in table {
        let mut request = good.clone();
        damage(&mut request);
        assert_eq!(world.enrol(&request).await.unwrap_err(), reason, "{name}");
    }
    assert!(world.enrol(&good).await.is_ok());
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_five_wrong_secrets_burn_it() {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    let candidate = Candidate::new();
    let foreign = World::new().await.token("GB-LON").await;
    let request = world.request(&foreign, &candidate);
    assert_eq!(world.enrol(&request).await.unwrap_err(), "TOKEN_UNKNOWN");
    let mut other_point = token.clone();
    other_point.point = point("GB-EDI");
    let request = world.request(&other_point, &candidate);
    assert_eq!(world.enrol(&request).await.unwrap_err(), "TOKEN_FOR_OTHER_POINT");

    let mut guess = foreign;
    guess.id = token.id;
    for _ in 0..FAILURES_MAX {
        let request = world.request(&guess, &candidate);
        assert_eq!(world.enrol(&request).await.unwrap_err(), "TOKEN_UNKNOWN");
    }
    let request = world.request(&token, &candidate);
    assert_eq!(world.enrol(&request).await.unwrap_err(), "TOKEN_BURNT");
}

#[tokio::test]
async fn an_expired_token_is_refused() {
    let mut world = World::new().await;
    let authority = world.network.authority.fingerprint();
    let past = Time(NOW.0 - 600_000_000);
    let (token, stored) =
        JoinToken::make(point("GB-LON"), authority, 3, TTL_DEFAULT, past).unwrap();
    tokens::insert(&mut world.db, &stored).await.unwrap();
    let request = world.request(&token, &Candidate::new());
    assert_eq!(world.enrol(&request).await.unwrap_err(), "TOKEN_EXPIRED");
}

#[tokio::test]
async fn a_point_that_may_not_join_is_refused() {
    let mut world = World::new().await;
    let candidate = Candidate::new();

    let token = world.token("CN-440000").await;
    let request = world.request(&token, &candidate);
    let refused = world.enrol_at("CN-440100", &request, NOW).await;
    assert_eq!(refused.unwrap_err(), "NOT_BELOW");

    let token = world.token("GB-LON").await;
    let thief = Candidate { seal: SigningKey::from_bytes(&[2; 32]), ..Candidate::new() };
    let request = world.request(&token, &thief);
    assert_eq!(world.enrol(&request).await.unwrap_err(), "UNFIT");

    let mut out = world.roster.get(&point("CN-440100")).unwrap().clone();
    out.revoked = Some(Revocation { at: NOW, reason: "lost".into() });
    world.roster.put(out);
    let token = world.token("CN-440100").await;
    let request = world.request(&token, &candidate);
    assert_eq!(world.enrol(&request).await.unwrap_err(), "POINT_REVOKED");
}

#[tokio::test]
async fn a_public_host_is_granted_once() {
    let mut world = World::new().await;
    for (code, host, outcome) in [
        ("GB-LON", "help.example.org", None),
        ("GB-EDI", "help.example.org", Some("UNFIT")),
        ("GB-EDI", "cn-440000.0101010101010101.point.yizhan.internal", Some("MALFORMED")),
        ("GB-EDI", "localhost", Some("MALFORMED")),
    ] {
        let token = world.token_for(code, Some(host)).await;
        let candidate = Candidate::new();
        let request = world.request_with(&token, &candidate, |body| body.public_host = host.into());
        assert_eq!(world.enrol(&request).await.err(), outcome, "{code} {host}");
    }
}

#[tokio::test]
async fn a_public_host_is_the_one_that_the_token_names() {
    let mut world = World::new().await;
    let candidate = Candidate::new();
    for named in [None, Some("lon.example.org")] {
        let token = world.token_for("GB-LON", named).await;
        let request = world
            .request_with(&token, &candidate, |body| body.public_host = "gd.example.org".into());
        assert_eq!(world.enrol(&request).await.unwrap_err(), "HOST_NOT_GRANTED", "{named:?}");
        // The token is not used up by it.
        let request = world.request_with(&token, &candidate, |body| {
            body.public_host = named.unwrap_or_default().into();
        });
        assert!(world.enrol(&request).await.is_ok(), "{named:?}");
    }
}

#[tokio::test]
async fn a_key_that_is_no_p256_key_is_refused() {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    for der in [vec![], vec![0x30; 91], vec![0x30; 1_000]] {
        let request = world.request_with(&token, &Candidate::new(), |body| {
            body.keys.as_mut().unwrap().tls_spki = der;
        });
        assert_eq!(world.enrol(&request).await.unwrap_err(), "MALFORMED");
    }
}

/// A member GB-LON, and its keys.
async fn member() -> (World, Candidate) {
    let mut world = World::new().await;
    let token = world.token("GB-LON").await;
    let candidate = Candidate::new();
    let request = world.request(&token, &candidate);
    world.enrol(&request).await.unwrap();
    (world, candidate)
}

fn renew(
    world: &World,
    candidate: &Candidate,
    seal: &SigningKey,
    now: Time,
) -> Result<Chain, &'static str> {
    let body = v1::RenewBody {
        point: "GB-LON".into(),
        node: node_of(&candidate.tls).to_string(),
        nonce: world.desk.nonce(now).nonce,
        tls_spki: candidate.tls.spki().as_der().to_vec(),
    };
    let request = prove_renewal(&body, &candidate.tls, seal).unwrap();
    let reason = |refusal: Refusal| refusal.kind().1;
    let renewal = world.desk.renewal(request, &world.roster, now).map_err(reason)?;
    let office = Office { issuer: &world.network.issuer, network: "gd", roster: &world.roster };
    let response = office.renew(&renewal, now).map_err(reason)?;
    Ok(Chain::from_pem(&response.certificate_chain_pem).unwrap())
}

#[tokio::test]
async fn a_node_that_was_away_for_a_year_comes_back_alone() {
    let (world, candidate) = member().await;
    let later = Time(NOW.0 + 365 * 24 * 3_600_000_000);
    let chain = renew(&world, &candidate, &candidate.seal, later).unwrap();
    chain.check(&world.network.authority.fingerprint(), later).unwrap();
    assert_eq!(chain.peer().point, point("GB-LON"));
}

#[tokio::test]
async fn renewal_needs_the_seal_key_and_a_place_in_the_roster() {
    let (mut world, candidate) = member().await;
    let other = SigningKey::from_bytes(&[9; 32]);
    assert_eq!(renew(&world, &candidate, &other, NOW).unwrap_err(), "KEY_NOT_PROVED");
    let stranger = Candidate { seal: candidate.seal.clone(), ..Candidate::new() };
    assert_eq!(renew(&world, &stranger, &stranger.seal, NOW).unwrap_err(), "NOT_IN_ROSTER");

    let good = world.roster.get(&point("GB-LON")).unwrap().clone();
    let mut limited = good.clone();
    limited.seal_keys[0].limit = Some(Limit::new());
    world.roster.put(limited);
    assert_eq!(renew(&world, &candidate, &candidate.seal, NOW).unwrap_err(), "NOT_IN_ROSTER");

    let mut out = good;
    out.revoked = Some(Revocation { at: NOW, reason: "lost".into() });
    world.roster.put(out);
    assert_eq!(renew(&world, &candidate, &candidate.seal, NOW).unwrap_err(), "POINT_REVOKED");
}
