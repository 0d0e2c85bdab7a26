//! Signing in with one-time codes, as an authenticator makes them.

use serde_json::Value;
use yizhan_server::domain::otp;
use yizhan_tests::{
    client::{Answer, Client, exit},
    cluster::{ADMIN, Cluster},
};

use crate::people::text;

const POINT: &str = "CN-440000";
/// Seconds of a step (RFC 6238).
const STEP: u64 = 30;

/// RFC 4648, without padding.
fn base32(text: &str) -> Vec<u8> {
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            other => panic!("{other} in a secret"),
        };
        held = (held << 5) | u32::from(value);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
            held &= (1 << bits) - 1;
        }
    }
    bytes
}

async fn log_in(client: &Client, password: &str, code: &str) -> Answer {
    client.run(&["login", "--name", ADMIN, "--password-file", password, "--otp", code]).await
}

#[tokio::test]
async fn a_code_is_needed_once_it_is_turned_on_and_taken_once() {
    let cluster = Cluster::found(POINT).await;
    let admin = cluster.admin(POINT).await;
    let password = text(&cluster.password_file());
    let otp = ["user", "otp", "--password-file", &password];
    let offered = admin.ask(&otp).await;
    let secret = base32(offered["secret"].as_str().expect("a secret"));
    let somebody = cluster.visitor(POINT);
    log_in(&somebody, &password, "").await.expect_code(exit::DONE);

    let step = (std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs() / STEP) as i64;
    let (first, second) = (otp::code(&secret, step), otp::code(&secret, step + 1));
    let wrong = [&otp[..], &["--code", "000000"]].concat();
    admin.run(&wrong).await.expect_code(exit::REFUSED);
    let on = admin.ask(&[&otp[..], &["--code", &first]].concat()).await;
    assert_eq!(on["active"], true, "{on}");

    // Without a code, with a wrong one and with one that was taken: told alike.
    let mut told: Vec<Value> = Vec::new();
    for code in ["", "000000", first.as_str()] {
        let refused = log_in(&somebody, &password, code).await.expect_code(exit::REFUSED);
        told.push(refused.json()["error"].clone());
    }
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    assert_eq!(told[0]["reason"], "OTP_NEEDED");
    log_in(&somebody, &password, &second).await.expect_code(exit::DONE);
    log_in(&somebody, &password, &second).await.expect_code(exit::REFUSED);
    assert_eq!(somebody.ask(&["whoami"]).await["name"], ADMIN);
}
