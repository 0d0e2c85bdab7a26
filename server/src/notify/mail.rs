//! Mail by SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS from the first byte (RFC 8314). In the
//! clear to this machine alone.

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message as Letter, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};
use zeroize::Zeroizing;

use super::{Failure, Message, TIMEOUT, http::is_loopback};
use crate::config::Address;

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Security {
    StartTls,
    Tls,
    /// To this machine alone.
    None,
}

/// A mail server, and who writes.
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    /// Names this node in the ids of messages.
    host: String,
}

/// What is set up.
pub struct Settings<'a> {
    pub server: &'a Address,
    pub security: Security,
    pub from: &'a str,
    pub user: &'a str,
    pub password: Option<Zeroizing<String>>,
    /// A certificate to trust beside those of the public web, in PEM.
    pub trusted: Option<Vec<u8>>,
}

#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    #[error("mail_from is not an address")]
    From,
    #[error("mail_security = none is for a server on this machine alone")]
    InTheClear,
    #[error("mail_user is set, and keys/mail.password is missing")]
    NoPassword,
    #[error("the trusted certificate or the server's name cannot be used")]
    Tls,
}

impl Mail {
    pub fn new(settings: Settings<'_>) -> Result<Mail, SetUpError> {
        let from: Mailbox = settings.from.parse().map_err(|_| SetUpError::From)?;
        let server = settings.server;
        let tls = match settings.security {
            Security::None if is_loopback(&server.host) => Tls::None,
            Security::None => return Err(SetUpError::InTheClear),
            Security::StartTls => Tls::Required(tls(&settings)?),
            Security::Tls => Tls::Wrapper(tls(&settings)?),
        };
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(TIMEOUT));
        if !settings.user.is_empty() {
            let password = settings.password.ok_or(SetUpError::NoPassword)?;
            let password = password.trim_end().to_owned();
            transport = transport.credentials(Credentials::new(settings.user.to_owned(), password));
        }
        let host = from.email.domain().to_owned();
        Ok(Mail { transport: transport.build(), from, host })
    }

    /// Hands a letter to the server. The same notice always has the same Message-ID, so that a
    /// mailbox can tell a repetition.
    pub async fn send(&self, message: &Message<'_>) -> Result<(), Failure> {
        let to: Mailbox =
            message.address.parse().map_err(|_| Failure::Lasting("the address is none"))?;
        let id = format!("<{}@{}>", hex::encode(message.id), self.host);
        let letter = Letter::builder()
            .from(self.from.clone())
            .to(to)
            .subject(message.subject)
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .body(message.body.to_owned())
            .map_err(|_| Failure::Lasting("no letter can be made of it"))?;
        match self.transport.send(letter).await {
            Ok(_) => Ok(()),
            // Its text may repeat the address.
            Err(error) if error.is_permanent() => Err(Failure::Lasting("the mail server refuses")),
            Err(_) => Err(Failure::Passing("the mail server did not take it")),
        }
    }
}

fn tls(settings: &Settings<'_>) -> Result<TlsParameters, SetUpError> {
    let builder = TlsParameters::builder(settings.server.host.clone())
        .certificate_store(CertificateStore::WebpkiRoots);
    let builder = match &settings.trusted {
        Some(pem) => {
            let trusted = Certificate::from_pem(pem).map_err(|_| SetUpError::Tls)?;
            builder.add_root_certificate(trusted)
        }
        None => builder,
    };
    builder.build_rustls().map_err(|_| SetUpError::Tls)
}
