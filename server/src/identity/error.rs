//! What can be wrong with keys and certificates, as far as a caller would act on it.

use crate::domain::text::Invalid;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} is not well formed")]
    Malformed { what: &'static str },
    #[error("the certificate is of another network's authority")]
    WrongAuthority,
    #[error("a signature in the certificate chain does not hold")]
    BadSignature,
    #[error("the certificate is not valid at this time; is the clock right?")]
    NotValidNow,
    #[error("the certificate is not of the expected point")]
    OtherPoint,
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    #[error("{path} can be read by other users; its mode has to be {expected:o}")]
    TooOpen { path: String, expected: u32 },
    #[error("{path} cannot be used")]
    File { path: String, source: std::io::Error },
    #[error("the certificate could not be made")]
    Issue(#[from] rcgen::Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("a name is not allowed")]
    Name(#[from] Invalid),
}

impl Error {
    pub fn malformed(what: &'static str) -> Error {
        Error::Malformed { what }
    }

    /// Stable reason that clients and scripts act on.
    pub fn reason(&self) -> &'static str {
        match self {
            Error::Malformed { .. } => "MALFORMED",
            Error::WrongAuthority => "WRONG_AUTHORITY",
            Error::BadSignature => "BAD_SIGNATURE",
            Error::NotValidNow => "NOT_VALID_NOW",
            Error::OtherPoint => "OTHER_POINT",
            Error::KeyMismatch => "KEY_MISMATCH",
            Error::TooOpen { .. } => "KEY_FILE_TOO_OPEN",
            Error::File { .. } => "KEY_FILE",
            Error::Issue(_) => "ISSUE_FAILED",
            Error::Tls(_) => "TLS_FAILED",
            Error::Name(_) => "NAME_NOT_ALLOWED",
        }
    }
}
