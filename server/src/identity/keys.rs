//! A node's private keys, in memory and in `D/keys`: one directory with mode 0700, files with 0600.
//!
//! A private key is never printed, never copied further than the call that needs it, and replaced
//! on disk only as a whole.

use std::{
    fmt, fs,
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, spki::der::pem::LineEnding},
};
use hpke::{Deserializable, Kem as _, Serializable};
use rand::Rng;
use rcgen::{KeyPair, PublicKeyData, SigningKey as _};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};
use zeroize::Zeroizing;

use super::{
    authority::{Authority, Issuer},
    chain::{Chain, certificate_pem, pem},
    error::Error,
    spki::Spki,
};

/// The one HPKE suite (RFC 9180): with HKDF-SHA256 and ChaCha20-Poly1305.
pub type CaseKem = hpke::kem::X25519HkdfSha256;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
/// Largest key file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;

const AUTHORITY: &str = "authority.pem";
const ISSUER: &str = "issuer.pem";
const ROSTER: &str = "roster.key";
const TLS: &str = "tls.pem";
/// The key of a node that has asked to join and has no certificate yet.
const PENDING_TLS: &str = "tls.joining";
const SEAL: &str = "seal.key";
const CASE: &str = "case.key";
const BACKUP: &str = "backup.key";

/// A P-256 key pair: of a node for TLS, of the authority, of the issuer.
pub struct TlsKey {
    pair: KeyPair,
    spki: Spki,
}

impl TlsKey {
    pub fn generate() -> Result<TlsKey, Error> {
        TlsKey::of(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?)
    }

    fn of(pair: KeyPair) -> Result<TlsKey, Error> {
        let spki = Spki::parse(&pair.subject_public_key_info())?;
        Ok(TlsKey { pair, spki })
    }

    fn from_pem(text: &str) -> Result<TlsKey, Error> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes())
            .map_err(|_| Error::malformed("the private key"))?;
        let algorithm = &rcgen::PKCS_ECDSA_P256_SHA256;
        TlsKey::of(KeyPair::from_pkcs8_der_and_sign_algo(&der, algorithm)?)
    }

    fn to_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem("PRIVATE KEY", self.pair.serialized_der()))
    }

    pub fn spki(&self) -> &Spki {
        &self.spki
    }

    /// ECDSA with SHA-256, in DER.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.pair.sign(message)?)
    }

    pub(crate) fn pair(&self) -> &KeyPair {
        &self.pair
    }
}

impl fmt::Debug for TlsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsKey({})", self.spki.fingerprint())
    }
}

/// A TLS key and the chain that is made out for it.
#[derive(Debug)]
pub struct TlsIdentity {
    pub key: TlsKey,
    pub chain: Chain,
}

impl TlsIdentity {
    pub fn new(key: TlsKey, chain: Chain) -> Result<TlsIdentity, Error> {
        if chain.peer().spki_sha256 != key.spki().fingerprint().0 {
            return Err(Error::KeyMismatch);
        }
        Ok(TlsIdentity { key, chain })
    }

    /// The same key under a renewed chain.
    pub fn renewed(&self, chain: Chain) -> Result<TlsIdentity, Error> {
        TlsIdentity::new(TlsKey::from_pem(&self.key.to_pem())?, chain)
    }

    fn from_pem(text: &str) -> Result<TlsIdentity, Error> {
        TlsIdentity::new(TlsKey::from_pem(text)?, Chain::from_pem(text)?)
    }

    fn to_pem(&self) -> Zeroizing<String> {
        let mut text = self.key.to_pem();
        text.push_str(&self.chain.to_pem());
        text
    }

    pub(super) fn private_der(&self) -> PrivatePkcs8KeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.pair.serialized_der().to_vec())
    }
}

/// The point's X25519 key, to which parcels and help requests are sealed.
#[derive(Clone)]
pub struct CaseKey(Zeroizing<[u8; 32]>);

impl CaseKey {
    pub fn generate() -> CaseKey {
        let mut seed = Zeroizing::new([0; 32]);
        rand::rng().fill_bytes(seed.as_mut());
        let (private, _) = CaseKem::derive_keypair(seed.as_ref());
        CaseKey(Zeroizing::new(private.to_bytes().into()))
    }

    fn from_bytes(bytes: [u8; 32]) -> CaseKey {
        CaseKey(Zeroizing::new(bytes))
    }

    /// The form that HPKE calls take.
    pub fn private(&self) -> <CaseKem as hpke::Kem>::PrivateKey {
        <CaseKem as hpke::Kem>::PrivateKey::from_bytes(self.0.as_ref())
            .expect("BUG: any 32 bytes are an X25519 key")
    }

    /// A key for one purpose of this point's own, which nobody else can make.
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(blake3::derive_key(purpose, self.0.as_ref()))
    }

    pub fn public(&self) -> [u8; 32] {
        CaseKem::sk_to_pk(&self.private()).to_bytes().into()
    }
}

impl fmt::Debug for CaseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CaseKey")
    }
}

/// The point's backup key (age, X25519).
pub type BackupKey = age::x25519::Identity;

/// What opens a service of somebody else's. A file of its own, so that settings can be shown.
#[derive(Clone, Copy, Debug)]
pub enum ForeignSecret {
    MailPassword,
    /// Robots know their callers by the address.
    WebhookUrl,
    WebhookSecret,
}

/// `D/keys`.
#[derive(Clone, Debug)]
pub struct KeyDirectory {
    path: PathBuf,
}

impl KeyDirectory {
    /// Makes the directory, or takes an empty or former one whose mode is right.
    pub fn create(path: &Path) -> Result<KeyDirectory, Error> {
        match fs::DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(at(path)(error)),
            _ => KeyDirectory::open(path),
        }
    }

    /// Refuses a directory that others can look into.
    pub fn open(path: &Path) -> Result<KeyDirectory, Error> {
        check_mode(path, &fs::metadata(path).map_err(at(path))?, DIRECTORY_MODE)?;
        Ok(KeyDirectory { path: path.to_owned() })
    }

    // The founding node.

    pub fn save_authority(&self, authority: &Authority) -> Result<(), Error> {
        let mut text = authority.key().to_pem();
        text.push_str(&certificate_pem(authority.certificate()));
        self.write(AUTHORITY, text.as_bytes())
    }

    /// None where the authority's key lies in a safe.
    pub fn load_authority(&self) -> Result<Option<Authority>, Error> {
        self.find(AUTHORITY)?.map(|text| authority(&text)).transpose()
    }

    pub fn save_issuer(&self, issuer: &Issuer) -> Result<(), Error> {
        let mut text = issuer.key().to_pem();
        text.push_str(&certificate_pem(issuer.certificate()));
        text.push_str(&certificate_pem(issuer.authority()));
        self.write(ISSUER, text.as_bytes())
    }

    /// None at every node but the founding one.
    pub fn load_issuer(&self) -> Result<Option<Issuer>, Error> {
        let Some(text) = self.find(ISSUER)? else { return Ok(None) };
        let wrong = || Error::malformed("the issuer's certificates");
        let certificates = CertificateDer::pem_slice_iter(text.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| wrong())?;
        let [certificate, authority] = <[_; 2]>::try_from(certificates).map_err(|_| wrong())?;
        Issuer::new(TlsKey::from_pem(&text)?, certificate, authority).map(Some)
    }

    pub fn save_roster_key(&self, key: &SigningKey) -> Result<(), Error> {
        self.write_signing(ROSTER, key)
    }

    /// None at every node but the founding one.
    pub fn load_roster_key(&self) -> Result<Option<SigningKey>, Error> {
        self.find(ROSTER)?.map(|text| signing_key(&text)).transpose()
    }

    // Every node.

    pub fn save_tls(&self, identity: &TlsIdentity) -> Result<(), Error> {
        self.write(TLS, identity.to_pem().as_bytes())
    }

    /// Key and chain, matching each other. The chain may have expired: that opens renewal.
    pub fn load_tls(&self) -> Result<TlsIdentity, Error> {
        TlsIdentity::from_pem(&self.read(TLS)?)
    }

    pub fn save_pending_tls(&self, key: &TlsKey) -> Result<(), Error> {
        self.write(PENDING_TLS, key.to_pem().as_bytes())
    }

    pub fn find_pending_tls(&self) -> Result<Option<TlsKey>, Error> {
        self.find(PENDING_TLS)?.map(|text| TlsKey::from_pem(&text)).transpose()
    }

    /// After `save_tls`, which holds the key from then on.
    pub fn remove_pending_tls(&self) -> Result<(), Error> {
        let path = self.path.join(PENDING_TLS);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(at(&path)(error)),
            _ => Ok(()),
        }
    }

    pub fn save_seal(&self, key: &SigningKey) -> Result<(), Error> {
        self.write_signing(SEAL, key)
    }

    pub fn load_seal(&self) -> Result<SigningKey, Error> {
        signing_key(&self.read(SEAL)?)
    }

    pub fn find_seal(&self) -> Result<Option<SigningKey>, Error> {
        absent(self.load_seal())
    }

    pub fn save_case(&self, key: &CaseKey) -> Result<(), Error> {
        let text = Zeroizing::new(hex::encode(*key.0));
        self.write(CASE, text.as_bytes())
    }

    pub fn load_case(&self) -> Result<CaseKey, Error> {
        let text = self.read(CASE)?;
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.trim(), bytes.as_mut())
            .map_err(|_| Error::malformed("the case key"))?;
        Ok(CaseKey::from_bytes(*bytes))
    }

    pub fn find_case(&self) -> Result<Option<CaseKey>, Error> {
        absent(self.load_case())
    }

    pub fn save_backup(&self, key: &BackupKey) -> Result<(), Error> {
        use age::secrecy::ExposeSecret;
        self.write(BACKUP, key.to_string().expose_secret().as_bytes())
    }

    pub fn load_backup(&self) -> Result<BackupKey, Error> {
        BackupKey::from_str(self.read(BACKUP)?.trim())
            .map_err(|_| Error::malformed("the backup key"))
    }

    /// A secret that the operator has put there for somebody else's service; none if it is missing.
    pub fn find_foreign(&self, secret: ForeignSecret) -> Result<Option<Zeroizing<String>>, Error> {
        let text = self.find(match secret {
            ForeignSecret::MailPassword => "mail.password",
            ForeignSecret::WebhookUrl => "webhook.url",
            ForeignSecret::WebhookSecret => "webhook.secret",
        })?;
        Ok(text.map(|text| Zeroizing::new(text.trim().to_owned())))
    }

    pub fn find_backup(&self) -> Result<Option<BackupKey>, Error> {
        absent(self.load_backup())
    }

    fn write_signing(&self, name: &str, key: &SigningKey) -> Result<(), Error> {
        let text =
            key.to_pkcs8_pem(LineEnding::LF).map_err(|_| Error::malformed("the signing key"))?;
        self.write(name, text.as_bytes())
    }

    fn find(&self, name: &str) -> Result<Option<Zeroizing<String>>, Error> {
        absent(self.read(name))
    }

    fn read(&self, name: &str) -> Result<Zeroizing<String>, Error> {
        read_secret(&self.path.join(name))
    }

    /// A reader, and a crash at any moment, meets either the old file or the new one.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path.join(name);
        let temporary = self.path.join(format!(".{name}.{:016x}", rand::random::<u64>()));
        let written = write_new(&temporary, bytes)
            .and_then(|()| fs::rename(&temporary, &path))
            .and_then(|()| fs::File::open(&self.path)?.sync_all());
        if written.is_err() {
            // Left behind it would hold a private key that nobody replaces any more.
            let _ = fs::remove_file(&temporary);
        }
        written.map_err(at(&path))
    }
}

/// The authority as it comes out of its safe.
pub fn read_authority(path: &Path) -> Result<Authority, Error> {
    authority(&read_secret(path)?)
}

fn authority(text: &str) -> Result<Authority, Error> {
    let certificate = CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|_| Error::malformed("the authority's certificate"))?;
    Authority::new(TlsKey::from_pem(text)?, certificate)
}

fn read_secret(path: &Path) -> Result<Zeroizing<String>, Error> {
    let metadata = fs::metadata(path).map_err(at(path))?;
    check_mode(path, &metadata, FILE_MODE)?;
    if metadata.len() > FILE_MAX {
        return Err(at(path)(ErrorKind::FileTooLarge.into()));
    }
    Ok(Zeroizing::new(fs::read_to_string(path).map_err(at(path))?))
}

/// None for a file that is not there.
fn absent<T>(read: Result<T, Error>) -> Result<Option<T>, Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn signing_key(text: &str) -> Result<SigningKey, Error> {
    SigningKey::from_pkcs8_pem(text).map_err(|_| Error::malformed("the signing key"))
}

fn check_mode(path: &Path, metadata: &fs::Metadata, expected: u32) -> Result<(), Error> {
    if metadata.mode() & 0o077 != 0 {
        return Err(Error::TooOpen { path: path.display().to_string(), expected });
    }
    Ok(())
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::File { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::identity::samples::*;

    fn directory() -> (tempfile::TempDir, KeyDirectory) {
        let home = tempfile::tempdir().unwrap();
        let keys = KeyDirectory::create(&home.path().join("keys")).unwrap();
        (home, keys)
    }

    #[test]
    fn every_key_comes_back_as_it_was_saved() {
        let (_home, keys) = directory();
        let network = Network::found();
        keys.save_authority(&network.authority).unwrap();
        keys.save_issuer(&network.issuer).unwrap();
        keys.save_roster_key(&network.roster).unwrap();
        let tls = network.identity("GB-LON", 1);
        keys.save_tls(&tls).unwrap();
        let seal = SigningKey::from_bytes(&[1; 32]);
        keys.save_seal(&seal).unwrap();
        let case = CaseKey::generate();
        keys.save_case(&case).unwrap();
        let backup = BackupKey::generate();
        keys.save_backup(&backup).unwrap();

        let authority = keys.load_authority().unwrap().unwrap();
        assert_eq!(authority.fingerprint(), network.authority.fingerprint());
        let issuer = keys.load_issuer().unwrap().unwrap();
        assert_eq!(issuer.certificate(), network.issuer.certificate());
        assert_eq!(keys.load_roster_key().unwrap().unwrap(), network.roster);
        assert_eq!(keys.load_tls().unwrap().chain, tls.chain);
        assert_eq!(keys.load_seal().unwrap(), seal);
        assert_eq!(keys.load_case().unwrap().public(), case.public());
        assert_eq!(
            keys.load_backup().unwrap().to_public().to_string(),
            backup.to_public().to_string()
        );
    }

    #[test]
    fn a_node_that_did_not_found_the_network_has_no_issuer() {
        let (_home, keys) = directory();
        assert!(keys.load_authority().unwrap().is_none());
        assert!(keys.load_issuer().unwrap().is_none());
        assert!(keys.load_roster_key().unwrap().is_none());
        assert!(keys.load_tls().is_err());
    }

    #[test]
    fn files_and_directory_are_the_owners_alone() {
        let (home, keys) = directory();
        keys.save_seal(&SigningKey::from_bytes(&[1; 32])).unwrap();
        let mode = |path: &str| fs::metadata(home.path().join(path)).unwrap().mode() & 0o777;
        assert_eq!(mode("keys"), DIRECTORY_MODE);
        assert_eq!(mode("keys/seal.key"), FILE_MODE);
        assert_eq!(fs::read_dir(home.path().join("keys")).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let (home, keys) = directory();
        keys.save_seal(&SigningKey::from_bytes(&[1; 32])).unwrap();
        let open = |path: &str, mode| {
            let path = home.path().join(path);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open("keys/seal.key", 0o640);
        assert_eq!(keys.load_seal().unwrap_err().reason(), "KEY_FILE_TOO_OPEN");
        open("keys", 0o755);
        assert!(KeyDirectory::open(&home.path().join("keys")).is_err());
    }

    #[test]
    fn a_key_without_its_certificate_is_refused() {
        let (_home, keys) = directory();
        let network = Network::found();
        let (one, other) = (network.identity("GB-LON", 1), network.identity("GB-LON", 2));
        assert!(TlsIdentity::new(TlsKey::generate().unwrap(), one.chain.clone()).is_err());
        let mixed = format!("{}{}", *one.key.to_pem(), other.chain.to_pem());
        keys.write(TLS, mixed.as_bytes()).unwrap();
        assert_eq!(keys.load_tls().unwrap_err().reason(), "KEY_MISMATCH");
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let network = Network::found();
        let identity = network.identity("GB-LON", 1);
        assert_eq!(format!("{:?}", CaseKey::generate()), "CaseKey");
        let fingerprint = identity.key.spki().fingerprint();
        assert_eq!(format!("{:?}", identity.key), format!("TlsKey({fingerprint})"));
        let seal = SigningKey::from_bytes(&[0xab; 32]);
        assert!(!format!("{seal:?}").contains("171, 171"));
    }
}
