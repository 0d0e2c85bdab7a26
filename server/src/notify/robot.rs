//! Webhooks: the bodies that the robots of WeCom, DingTalk and Feishu take, with their signatures,
//! and one of our own that any receiver can check.
//!
//! Sources: developer.work.weixin.qq.com/document/path/91770 (WeCom group robot),
//! open.dingtalk.com/document/robots/customize-robot-security-settings (DingTalk),
//! open.feishu.cn/document/client-docs/bot-v3/add-custom-bot (Feishu).

use std::sync::Arc;

use ::http::StatusCode;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use rustls::ClientConfig;
use serde_json::{Value, json};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{
    Failure, Message,
    http::{self, Address},
};
use crate::domain::time::Time;

/// Carries `t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 over `SECONDS.BODY`.
pub const SIGNATURE_HEADER: &str = "yizhan-signature";
/// Names the notice, so that a receiver can tell a repetition.
pub const ID_HEADER: &str = "yizhan-notice";

/// Whose manners are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Generic,
    WeCom,
    DingTalk,
    Feishu,
}

impl Manner {
    pub const ALL: [Manner; 4] = [Manner::Generic, Manner::WeCom, Manner::DingTalk, Manner::Feishu];

    pub fn name(self) -> &'static str {
        match self {
            Manner::Generic => "generic",
            Manner::WeCom => "wecom",
            Manner::DingTalk => "dingtalk",
            Manner::Feishu => "feishu",
        }
    }

    pub fn find(name: &str) -> Option<Manner> {
        Manner::ALL.into_iter().find(|manner| manner.name() == name)
    }
}

/// A receiver. Its address and its secret are keys: whoever has them can speak in its chat.
pub struct Robot {
    pub manner: Manner,
    pub address: Address,
    pub secret: Zeroizing<String>,
    pub tls: Arc<ClientConfig>,
}

/// What is posted.
#[derive(Debug, PartialEq)]
struct Post {
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Robot {
    pub async fn send(&self, message: &Message<'_>) -> Result<(), Failure> {
        let post = post(self.manner, &self.secret, message);
        let (status, answer) =
            http::post(&self.address, &post.query, &post.headers, post.body, &self.tls).await?;
        judge(self.manner, status, &answer)
    }
}

fn post(manner: Manner, secret: &str, message: &Message<'_>) -> Post {
    let Message { id, subject, body, now, .. } = *message;
    let text = body.trim_end();
    let (mut query, mut headers) = (String::new(), Vec::new());
    let document = match manner {
        Manner::WeCom => json!({"msgtype": "text", "text": {"content": text}}),
        Manner::DingTalk => {
            if !secret.is_empty() {
                let ms = now.millis();
                let sign = sign(secret.as_bytes(), format!("{ms}\n{secret}").as_bytes());
                query = format!("timestamp={ms}&sign={}", escaped(&BASE64.encode(&sign)));
            }
            json!({"msgtype": "text", "text": {"content": text}})
        }
        Manner::Feishu => {
            let mut document = json!({"msg_type": "text", "content": {"text": text}});
            if !secret.is_empty() {
                let seconds = seconds(now);
                // The text is the key here, and nothing is signed with it.
                let sign = sign(format!("{seconds}\n{secret}").as_bytes(), b"");
                document["timestamp"] = json!(seconds.to_string());
                document["sign"] = json!(BASE64.encode(&sign));
            }
            document
        }
        Manner::Generic => json!({"id": hex::encode(id), "subject": subject, "text": text}),
    };
    let body = document.to_string().into_bytes();
    if manner == Manner::Generic {
        let seconds = seconds(now);
        let signed = [format!("{seconds}.").as_bytes(), &body].concat();
        let sign = hex::encode(sign(secret.as_bytes(), &signed));
        headers.push((SIGNATURE_HEADER, format!("t={seconds},v1={sign}")));
        headers.push((ID_HEADER, hex::encode(id)));
    }
    Post { query, headers, body }
}

/// Robots answer 200 whatever happened; a number in the body says more.
fn judge(manner: Manner, status: StatusCode, answer: &[u8]) -> Result<(), Failure> {
    if status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    {
        return Err(Failure::Passing("the receiver is out of order"));
    }
    if !status.is_success() {
        return Err(Failure::Lasting("the receiver refuses"));
    }
    let field = match manner {
        Manner::Generic => return Ok(()),
        Manner::WeCom | Manner::DingTalk => "errcode",
        Manner::Feishu => "code",
    };
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let code = answer.get(field).or_else(|| answer.get("StatusCode")).and_then(Value::as_i64);
    match code {
        Some(0) => Ok(()),
        // Too often: WeCom and DingTalk take 20 a minute.
        _ => Err(Failure::Passing("the robot did not take it")),
    }
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("BUG: a key of any length is a key");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn seconds(time: Time) -> i64 {
    time.millis().div_euclid(1_000)
}

/// Base64 inside a query.
fn escaped(base64: &str) -> String {
    base64.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_700_000_000_123_000);

    fn message() -> Message<'static> {
        let (subject, body) = ("LON-23-00012-A: news", "LON-23-00012-A: news\n");
        Message { id: &[7; 32], address: "", subject, body, now: NOW }
    }

    /// Signatures computed with Python's hmac module from the makers' documents.
    #[test]
    fn each_robot_gets_the_signature_that_its_maker_asks_for() {
        let ding = post(Manner::DingTalk, "SECabc", &message());
        assert_eq!(
            ding.query,
            "timestamp=1700000000123&sign=IqXBU%2FaLfwMA3S%2FtDcfRmHx5vWHw9Y1aOgFLBr1Ti9w%3D"
        );
        let feishu: Value =
            serde_json::from_slice(&post(Manner::Feishu, "SECabc", &message()).body).unwrap();
        assert_eq!(feishu["timestamp"], "1700000000");
        assert_eq!(feishu["sign"], "XprR1de+0SSBnwWyU/4k6x2TL+Q2SJlM5NNEdAv7MWg=");
        assert_eq!(feishu["content"]["text"], "LON-23-00012-A: news");
        let wecom = post(Manner::WeCom, "", &message());
        let body: Value = serde_json::from_slice(&wecom.body).unwrap();
        assert_eq!((body["msgtype"].as_str(), wecom.query.as_str()), (Some("text"), ""));
        let generic = post(Manner::Generic, "SECabc", &message());
        let signed = [b"1700000000.".as_slice(), &generic.body].concat();
        let expected = format!("t=1700000000,v1={}", hex::encode(sign(b"SECabc", &signed)));
        assert_eq!(generic.headers[0], (SIGNATURE_HEADER, expected));
    }

    #[test]
    fn a_robot_that_answers_200_may_still_have_refused() {
        let ok = StatusCode::OK;
        assert_eq!(judge(Manner::WeCom, ok, br#"{"errcode":0,"errmsg":"ok"}"#), Ok(()));
        assert_eq!(judge(Manner::Feishu, ok, br#"{"code":0}"#), Ok(()));
        assert_eq!(judge(Manner::Feishu, ok, br#"{"StatusCode":0}"#), Ok(()));
        for answer in [&br#"{"errcode":45009}"#[..], b"", b"<html>"] {
            assert!(judge(Manner::DingTalk, ok, answer).is_err());
        }
        assert_eq!(judge(Manner::Generic, ok, b""), Ok(()));
        let gone = judge(Manner::Generic, StatusCode::GONE, b"");
        assert!(matches!(gone, Err(Failure::Lasting(_))));
        let busy = judge(Manner::Generic, StatusCode::SERVICE_UNAVAILABLE, b"");
        assert!(matches!(busy, Err(Failure::Passing(_))));
    }
}
