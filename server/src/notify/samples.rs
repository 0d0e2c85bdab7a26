//! What tests of notices talk to: a mail server and a receiver of webhooks on this machine that keep
//! what they are told, and a clock that a test moves.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::mail::{Mail, Security, Settings};
use crate::{config::Address, domain::time::Time, identity::tls::provider, outside::Outside};

/// What arrived: one text per letter or request.
pub type Post = Arc<Mutex<Vec<String>>>;

/// A mail server that refuses as many letters as asked, then takes them.
#[derive(Clone, Default)]
pub struct MailServer {
    pub post: Post,
    pub refuse: Arc<AtomicUsize>,
    pub tls: Option<TlsAcceptor>,
    pub tls_first: bool,
}

impl MailServer {
    pub async fn start(self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = self.clone();
                tokio::spawn(async move {
                    match (&server.tls, server.tls_first) {
                        (Some(tls), true) => {
                            let stream = tls.clone().accept(stream).await?;
                            server.converse(stream, true).await.map(drop)
                        }
                        (Some(tls), false) => match server.converse(stream, false).await? {
                            Some(stream) => {
                                let stream = tls.clone().accept(stream).await?;
                                server.converse(stream, true).await.map(drop)
                            }
                            None => Ok(()),
                        },
                        (None, _) => server.converse(stream, false).await.map(drop),
                    }
                });
            }
        });
        address
    }

    /// RFC 5321 as far as a letter needs it. Gives the stream back at STARTTLS.
    async fn converse<Io>(&self, io: Io, secret: bool) -> std::io::Result<Option<Io>>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let mut io = BufReader::new(io);
        // After STARTTLS the client goes on, without a greeting.
        if !secret || self.tls_first {
            io.write_all(b"220 mail.test ESMTP\r\n").await?;
        }
        let (mut letter, mut in_letter) = (String::new(), false);
        loop {
            let mut line = String::new();
            if io.read_line(&mut line).await? == 0 {
                return Ok(None);
            }
            if in_letter {
                if line == ".\r\n" {
                    in_letter = false;
                    let refused =
                        self.refuse.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                            left.checked_sub(1)
                        });
                    if refused.is_ok() {
                        io.write_all(b"451 try again later\r\n").await?;
                    } else {
                        self.post.lock().unwrap().push(std::mem::take(&mut letter));
                        io.write_all(b"250 taken\r\n").await?;
                    }
                } else {
                    letter.push_str(&line);
                }
                continue;
            }
            let word = line.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
            let answer: &[u8] = match word.as_str() {
                "EHLO" if self.tls.is_some() && !secret => b"250-mail.test\r\n250 STARTTLS\r\n",
                "EHLO" if secret => b"250-mail.test\r\n250 AUTH PLAIN\r\n",
                "EHLO" => b"250 mail.test\r\n",
                "STARTTLS" => {
                    io.write_all(b"220 go on\r\n").await?;
                    return Ok(Some(io.into_inner()));
                }
                "MAIL" if self.tls.is_some() && !secret => b"530 STARTTLS first\r\n",
                "MAIL" | "RCPT" | "RSET" | "NOOP" => {
                    letter.push_str(&line);
                    b"250 ok\r\n"
                }
                "AUTH" => {
                    letter.push_str(&line);
                    b"235 welcome\r\n"
                }
                "DATA" => {
                    in_letter = true;
                    b"354 go ahead\r\n"
                }
                "QUIT" => {
                    io.write_all(b"221 bye\r\n").await?;
                    return Ok(None);
                }
                _ => b"502 what?\r\n",
            };
            io.write_all(answer).await?;
        }
    }
}

/// Answers each request with the next of these bodies, and keeps requests.
pub async fn receiver(post: Post, answers: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            post.lock().unwrap().push(request);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    address
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 1_024];
        let read = stream.read(&mut piece).await.unwrap();
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length.split("content-length: ").nth(1).unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return text;
            }
        }
        assert!(read > 0, "the request broke off: {text}");
    }
}

pub fn mail(server: SocketAddr, security: Security, trusted: Option<Vec<u8>>, user: &str) -> Mail {
    Mail::new(Settings {
        server: &Address { host: "localhost".into(), port: server.port() },
        security,
        from: "desk@gd.example",
        user,
        password: Some(Zeroizing::new("secret".into())),
        trusted,
    })
    .unwrap()
}

/// A clock that the test moves, in seconds.
pub fn clock(seconds: &Arc<AtomicUsize>) -> Outside {
    let seconds = seconds.clone();
    let now = move || Time::from_millis(seconds.load(Ordering::SeqCst) as i64 * 1_000);
    Outside::new(now, |bytes| rand::fill(bytes))
}

/// TLS that trusts nobody: what is spoken to here is on this machine.
pub fn client_tls() -> Arc<rustls::ClientConfig> {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
}
