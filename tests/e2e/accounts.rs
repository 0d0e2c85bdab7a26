//! Signing in with one-time codes, as an authenticator makes them.

use serde_json::Value;
use yizhan_server::domain::otp;
use yizhan_tests::{
    client::{Answer, Client, exit},
    cluster::{ADMIN, Cluster},
};

use crate::people::{text, traces};

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
async fn neither_a_password_nor_a_session_lies_in_a_node_s_files() {
    let cluster = Cluster::found(POINT).await;
    let admin = cluster.admin(POINT).await;
    let password = std::fs::read_to_string(cluster.password_file()).expect("a password");
    let session = admin.session();
    assert!(session.len() >= 32, "{session}");
    let secrets = [password.trim().to_lowercase(), session.to_lowercase()];
    admin.status().await;
    assert_eq!(traces(&cluster.path(POINT), &secrets), [""; 0]);
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

/// What one of the accounts is, as its administrators see it.
async fn known(client: &Client, name: &str) -> Option<(Value, Value)> {
    let users = client.list(&["user", "list"]).await;
    let found = users.into_iter().find(|user| user["name"] == name);
    found.map(|user| (user["role"].clone(), user["state"].clone()))
}

#[tokio::test]
async fn whatever_makes_or_unmakes_a_provincial_admin_waits_for_a_second_person() {
    let cluster = Cluster::found(POINT).await;
    for name in ["second", "third"] {
        cluster.add_user(POINT, name, "point_admin").await;
    }
    let admin = cluster.admin(POINT).await;
    let second = cluster.user(POINT, "second").await;
    let password = text(&cluster.password_file());
    let other = crate::people::scratch(&cluster).join("other-password");
    std::fs::write(&other, "quite another one").unwrap();
    let other = text(&other);
    let active = |role: &str| Some((Value::from(role), Value::from("active")));
    let closed = |role: &str| Some((Value::from(role), Value::from("disabled")));
    let add = ["user", "add", "--name", "gov", "--role", "provincial_admin"];
    let add = [&add[..], &["--password-file", &password]].concat();
    let passwd = ["user", "passwd", "--name", "gov", "--password-file", &other];
    let lower = ["user", "role", "--name", "gov", "--role", "staff"];
    let raise = ["user", "role", "--name", "gov", "--role", "provincial_admin"];
    let disable = ["user", "disable", "--name", "gov"];
    let calls: [(&[&str], _, _); 5] = [
        (&add, None, active("provincial_admin")),
        (&passwd, active("provincial_admin"), active("provincial_admin")),
        (&lower, active("provincial_admin"), active("staff")),
        (&raise, active("staff"), active("provincial_admin")),
        (&disable, active("provincial_admin"), closed("provincial_admin")),
    ];
    for (call, before, after) in calls {
        assert_eq!(known(&admin, "gov").await, before, "{call:?}");
        let asked = admin.ask(call).await;
        assert_eq!(asked.as_object().map(serde_json::Map::len), Some(1), "{call:?}: {asked}");
        let approval = asked["approval"].as_str().expect("an approval");
        assert_eq!(admin.ask(call).await["approval"], approval, "{call:?} again");
        assert_eq!(known(&admin, "gov").await, before, "{call:?} has changed something");
        assert_eq!(admin.refused(&["approval", "give", approval]).await, "OWN_APPROVAL");
        let given = second.ask(&["approval", "give", approval]).await;
        assert_eq!(given["state"], "done", "{call:?}: {given}");
        assert_eq!(known(&admin, "gov").await, after, "{call:?}");
    }
}

#[tokio::test]
async fn an_agreement_does_nothing_for_somebody_who_has_lost_the_role() {
    let cluster = Cluster::found(POINT).await;
    for name in ["second", "third"] {
        cluster.add_user(POINT, name, "point_admin").await;
    }
    let (second, third) = (cluster.user(POINT, "second").await, cluster.user(POINT, "third").await);
    let admin = cluster.admin(POINT).await;
    let id = crate::people::person("Lost").create(&cluster, &admin).await;
    let mut waiting = Vec::new();
    for call in [&["member", "erase", &id][..], &["member", "access", &id]] {
        let asked = second.ask(call).await;
        waiting.push(asked["approval"].as_str().expect("an approval").to_owned());
    }
    admin.ask(&["user", "role", "--name", "second", "--role", "volunteer"]).await;
    for approval in waiting {
        let refused = third.refused(&["approval", "give", &approval]).await;
        assert_eq!(refused, "ASKER_NOT_ENTITLED");
    }
    assert_eq!(admin.ask(&["member", "get", &id]).await["id"], id.as_str());
}
