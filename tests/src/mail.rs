//! A mail server on this machine that takes every letter and keeps what it was told.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A letter as its reader has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Letter {
    pub to: String,
    /// Header and body, decoded.
    pub text: String,
}

/// Takes letters until it is dropped with its runtime.
pub struct MailServer {
    address: SocketAddr,
    letters: Arc<Mutex<Vec<Letter>>>,
}

impl MailServer {
    pub async fn start() -> MailServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let letters: Arc<Mutex<Vec<Letter>>> = Arc::default();
        let kept = letters.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, kept.clone()));
            }
        });
        MailServer { address, letters }
    }

    /// Settings with which a node sends its mail here.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("YIZHAN_MAIL_SERVER", self.address.to_string()),
            ("YIZHAN_MAIL_SECURITY", "none".to_owned()),
            ("YIZHAN_MAIL_FROM", "desk@point.example".to_owned()),
        ]
    }

    /// All letters so far, oldest first.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.lock().expect("no test has failed with it").clone()
    }
}

/// RFC 5321 as far as a letter needs it.
async fn converse(stream: TcpStream, letters: Arc<Mutex<Vec<Letter>>>) -> std::io::Result<()> {
    let mut io = BufReader::new(stream);
    io.write_all(b"220 mail.test ESMTP\r\n").await?;
    let (mut to, mut letter) = (String::new(), None::<String>);
    loop {
        let mut line = String::new();
        if io.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        if let Some(text) = &mut letter {
            if line != ".\r\n" {
                text.push_str(&line);
                continue;
            }
            let whole = Letter { to: std::mem::take(&mut to), text: decoded(text) };
            letters.lock().expect("no test has failed with it").push(whole);
            letter = None;
            io.write_all(b"250 taken\r\n").await?;
            continue;
        }
        let word = line.split_whitespace().next().unwrap_or("").to_ascii_uppercase();
        let answer: &[u8] = match word.as_str() {
            "EHLO" | "MAIL" | "RSET" | "NOOP" => b"250 ok\r\n",
            "RCPT" => {
                let address = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
                to = address.map(|(address, _)| address.to_owned()).unwrap_or_default();
                b"250 ok\r\n"
            }
            "DATA" => {
                letter = Some(String::new());
                b"354 go ahead\r\n"
            }
            "QUIT" => {
                io.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => b"502 what?\r\n",
        };
        io.write_all(answer).await?;
    }
}

/// Encoded words of the header (RFC 2047) and a body in base64 are read as text.
fn decoded(letter: &str) -> String {
    let (header, body) = letter.split_once("\r\n\r\n").unwrap_or((letter, ""));
    // Between two encoded words white space means nothing.
    let header = header.replace("?=\r\n =?", "?==?").replace("?= =?", "?==?");
    let mut parts = header.split("=?utf-8?b?");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (word, rest) = part.split_once("?=").unwrap_or((part, ""));
        text.push_str(&String::from_utf8_lossy(&from_base64(word)));
        text.push_str(rest);
    }
    let is_base64 = header.to_ascii_lowercase().contains("content-transfer-encoding: base64");
    let body = match is_base64 {
        true => String::from_utf8_lossy(&from_base64(body)).into_owned(),
        false => body.to_owned(),
    };
    format!("{text}\r\n\r\n{body}")
}

fn from_base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let values = text.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte));
    let values: Vec<usize> = values.collect();
    let mut bytes = Vec::new();
    for four in values.chunks(4) {
        let bits = four.iter().fold(0, |bits, value| bits << 6 | value) << (6 * (4 - four.len()));
        bytes.extend((0..four.len().saturating_sub(1)).map(|at| (bits >> (16 - 8 * at)) as u8));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_is_read_as_its_reader_has_it() {
        let letter = "Subject: =?utf-8?b?5pyJ?=\r\n =?utf-8?b?5paw?=\r\nContent-Transfer-Encoding: \
                      base64\r\n\r\n5pyJ5paw\r\n55qE\r\n";
        let text = decoded(letter);
        assert!(text.contains("Subject: 有新"), "{text}");
        assert!(text.ends_with("\r\n\r\n有新的"), "{text}");
    }
}
