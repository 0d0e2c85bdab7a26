//! TLS as the two listeners and the dialling side speak it.
//!
//! On the link: 1.3 only, no tickets and no stored sessions (a resumed session would skip the check
//! of the client's certificate), and the chain always ends at the pinned authority. A certificate
//! that has expired opens nothing; renewal comes without one.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{
    CertificateError, ClientConfig, CommonState, DigitallySignedStruct, DistinguishedName,
    RootCertStore, ServerConfig, SignatureScheme,
    client::{
        ResolvesClientCert, Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    server::{
        ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    time_provider::TimeProvider,
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::TlsAcceptor;

use super::{
    chain::{Chain, spki_of},
    error::Error,
    keys::TlsIdentity,
    peer::Peer,
    spki::Fingerprint,
};
use crate::domain::{id::PointCode, time::Time};

const ALPN_HTTP2: &[u8] = b"h2";
const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The one provider of cryptography. Named in every configuration, so that none depends on what
/// else is linked.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The clock by which certificates are judged.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    pub fn new(now: impl Fn() -> Time + Send + Sync + 'static) -> Clock {
        Clock(Arc::new(now))
    }

    pub fn now(&self) -> Time {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let us = u64::try_from(self.now().0).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(us)))
    }
}

/// The node's own certificate, swapped while it is in use: the next handshake, in or out, gets the
/// new one.
pub struct Credentials {
    current: ArcSwap<Current>,
}

struct Current {
    chain: Chain,
    certified: Arc<CertifiedKey>,
}

impl Credentials {
    pub fn new(identity: &TlsIdentity) -> Result<Arc<Credentials>, Error> {
        let current = ArcSwap::from_pointee(Current::of(identity)?);
        Ok(Arc::new(Credentials { current }))
    }

    /// Takes a renewed identity, if it is one: same authority, same point and node, valid now.
    /// Otherwise the old one stays.
    pub fn swap(&self, identity: &TlsIdentity, now: Time) -> Result<(), Error> {
        let new = Current::of(identity)?;
        let old = self.current.load_full();
        new.chain.check(&old.chain.authority_fingerprint(), now)?;
        let (was, is) = (old.chain.peer(), new.chain.peer());
        if (&was.point, was.node) != (&is.point, is.node) {
            return Err(Error::OtherPoint);
        }
        self.current.store(Arc::new(new));
        Ok(())
    }

    pub fn chain(&self) -> Chain {
        self.current.load().chain.clone()
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        self.current.load().certified.clone()
    }
}

impl Current {
    fn of(identity: &TlsIdentity) -> Result<Current, Error> {
        let private = PrivateKeyDer::Pkcs8(identity.private_der());
        let key = provider().key_provider.load_private_key(private)?;
        let certified = CertifiedKey::new(identity.chain.certificates().to_vec(), key);
        certified.keys_match()?;
        Ok(Current { chain: identity.chain.clone(), certified: Arc::new(certified) })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.current.load().chain.peer().link_name())
    }
}

impl ResolvesServerCert for Credentials {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// A listener's configuration, swapped as a whole: the authority sits inside its verifier.
#[derive(Debug)]
pub struct ServerTls {
    current: ArcSwap<ServerConfig>,
}

impl ServerTls {
    pub fn new(config: ServerConfig) -> Arc<ServerTls> {
        Arc::new(ServerTls { current: ArcSwap::from_pointee(config) })
    }

    pub fn replace(&self, config: ServerConfig) {
        self.current.store(Arc::new(config));
    }

    /// For the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }
}

/// The link listener: a client certificate is optional here and needed for all but enrolment.
pub fn link_server(credentials: Arc<Credentials>, clock: &Clock) -> Result<ServerConfig, Error> {
    let verifier = LinkClients::new(credentials.chain().authority_certificate())?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_cert_resolver(credentials);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The public listener: browsers and clients, nobody with a certificate.
pub fn public_server(credentials: Arc<Credentials>, clock: &Clock) -> Result<ServerConfig, Error> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(credentials);
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec(), ALPN_HTTP1.to_vec()];
    Ok(config)
}

/// Dials a point as a member of the network; only that point is accepted as the other end.
pub fn link_client(
    credentials: Arc<Credentials>,
    point: &PointCode,
    clock: &Clock,
) -> Result<ClientConfig, Error> {
    let authority = credentials.chain().authority_fingerprint();
    let verifier = LinkServers::new(authority, Some(point.clone()));
    let builder = client_builder(verifier, clock)?;
    Ok(on_link(builder.with_client_cert_resolver(credentials)))
}

/// Dials without a certificate, for enrolment and renewal. All that is trusted is the authority's
/// fingerprint, from the join token or from the certificate held so far.
pub fn enrolment_client(authority: Fingerprint, clock: &Clock) -> Result<ClientConfig, Error> {
    let builder = client_builder(LinkServers::new(authority, None), clock)?;
    Ok(on_link(builder.with_no_client_auth()))
}

/// Who is at the other end of a finished handshake; none if no certificate was shown.
pub fn peer_of(connection: &CommonState) -> Result<Option<Peer>, Error> {
    match connection.peer_certificates() {
        Some([end_entity, ..]) => Peer::of(end_entity).map(Some),
        Some([]) | None => Ok(None),
    }
}

type ClientBuilder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn client_builder(verifier: LinkServers, clock: &Clock) -> Result<ClientBuilder, Error> {
    Ok(ClientConfig::builder_with_details(provider(), Arc::new(clock.clone()))
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

fn on_link(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config.resumption = Resumption::disabled();
    config
}

fn to_tls(error: Error) -> rustls::Error {
    let error = match error {
        Error::OtherPoint => CertificateError::NotValidForName,
        Error::WrongAuthority => CertificateError::UnknownIssuer,
        _ => CertificateError::BadEncoding,
    };
    rustls::Error::InvalidCertificate(error)
}

/// Checks who dials: webpki's checks against the authority, then that there is one identity.
#[derive(Debug)]
struct LinkClients {
    webpki: Arc<dyn ClientCertVerifier>,
}

impl LinkClients {
    fn new(authority: &CertificateDer<'_>) -> Result<LinkClients, Error> {
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let webpki = builder
            .allow_unauthenticated()
            .build()
            .map_err(|_| Error::malformed("the authority's certificate"))?;
        Ok(LinkClients { webpki })
    }
}

impl ClientCertVerifier for LinkClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.webpki.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.webpki.verify_client_cert(end_entity, intermediates, now)?;
        Peer::of(end_entity).map_err(to_tls)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

/// Checks who was dialled. The authority's certificate comes with the chain and counts only by its
/// fingerprint; the name checked is the identity in the certificate, because a point may answer by
/// any of its nodes; the point is compared with the one dialled.
#[derive(Debug)]
struct LinkServers {
    authority: Fingerprint,
    expected: Option<PointCode>,
    provider: Arc<CryptoProvider>,
}

impl LinkServers {
    fn new(authority: Fingerprint, expected: Option<PointCode>) -> LinkServers {
        LinkServers { authority, expected, provider: provider() }
    }

    fn verifier(
        &self,
        presented: &[CertificateDer<'_>],
    ) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
        let is_authority = |certificate: &&CertificateDer<'_>| {
            spki_of(certificate).is_ok_and(|spki| spki.fingerprint() == self.authority)
        };
        let authority =
            presented.iter().find(is_authority).ok_or_else(|| to_tls(Error::WrongAuthority))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| to_tls(Error::WrongAuthority))
    }
}

impl ServerCertVerifier for LinkServers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let webpki = self.verifier(intermediates)?;
        let peer = Peer::of(end_entity).map_err(to_tls)?;
        let name = ServerName::try_from(peer.link_name())
            .map_err(|_| to_tls(Error::malformed("the identity of the certificate")))?;
        let verified = webpki.verify_server_cert(end_entity, intermediates, &name, ocsp, now)?;
        if self.expected.as_ref().is_some_and(|expected| *expected != peer.point) {
            return Err(to_tls(Error::OtherPoint));
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A client that accepts our servers and shows whatever certificate it is given.
#[cfg(test)]
pub(crate) fn hostile_client(
    authority: Fingerprint,
    certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let builder = ClientConfig::builder_with_details(
        provider(),
        Arc::new(Clock::new(|| super::samples::NOW)),
    )
    .with_protocol_versions(versions)
    .unwrap()
    .dangerous()
    .with_custom_certificate_verifier(Arc::new(LinkServers::new(authority, None)));
    let mut config = match certificate {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_HTTP2.to_vec()];
    config
}
