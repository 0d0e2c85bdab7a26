//! A member moves to another point, on real nodes: agreed by all three, cut at every step, with one home
//! at every moment, and nothing left behind but the redirect.

use serde_json::{Value, json};
use yizhan_tests::{
    client::{Client, exit},
    cluster::Cluster,
};

use crate::people::{document, own_account, person, scratch, text, traces};

const OLD: &str = "CN-440100";
const NEW: &str = "CN-440300";
const THIRD: &str = "CN-440000";

/// A province with two cities of one law below it, and London.
async fn network() -> Cluster {
    let mut cluster = Cluster::found(THIRD).await;
    for point in [OLD, NEW] {
        cluster.join(point, THIRD).await;
    }
    for point in [OLD, NEW] {
        let client = cluster.admin(point).await;
        cluster
            .eventually("the roster is everywhere", async || {
                let feeds = client.status().await["feeds"].as_array().cloned().unwrap_or_default();
                feeds.iter().any(|feed| {
                    feed["audience"] == "roster" && feed["sequence"].as_u64().unwrap_or(0) >= 3
                })
            })
            .await;
    }
    cluster
}

fn word<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_else(|| panic!("no {key} in {document}"))
}

async fn agreed(client: &Client, id: &str, to: &str) {
    client.ask(&["member", "consent", id, "--purpose", "transfer.to", "--scope", to]).await;
}

/// The move as one point sees it; null if it does not.
async fn seen(client: &Client, id: &str) -> Value {
    let all = client.list(&["member", "moves", "--ended"]).await;
    all.into_iter().find(|one| one["move"] == id).unwrap_or_default()
}

async fn until_state(cluster: &Cluster, client: &Client, id: &str, state: &str) {
    cluster
        .eventually(&format!("the move is {state}"), async || {
            seen(client, id).await["state"] == state
        })
        .await;
}

/// Is the member at home here? Only the home has the record itself.
async fn is_home(client: &Client, id: &str) -> bool {
    let answer = client.run(&["member", "get", id]).await;
    answer.code == exit::DONE && answer.json()["seen"] == "member"
}

/// The homes at which a node shows somebody.
async fn homes_seen(client: &Client, words: &str) -> Vec<String> {
    let found = client.finds(words).await;
    found.iter().map(|one| word(one, "home").to_owned()).collect()
}

/// A member with a phone and three consents, one of them for the move.
async fn somebody(cluster: &Cluster, client: &Client, latin: &str, phone: &str) -> String {
    let mut body = person(latin).document();
    body["phone"] = json!(phone);
    let file = document(cluster, "somebody.json", &body);
    let id = word(&client.ask(&["member", "create", "--file", &file]).await, "id").to_owned();
    for purpose in ["profile.network", "contact.by_points"] {
        client.ask(&["member", "consent", &id, "--purpose", purpose]).await;
    }
    id
}

/// Consents in an order of their own, without what only one answer has.
async fn consents(client: &Client, id: &str) -> Vec<Value> {
    let mut all = client.list(&["member", "grants", id]).await;
    all.sort_by_key(|grant| word(grant, "id").to_owned());
    all
}

#[tokio::test]
async fn a_member_moves_with_everything_and_leaves_a_redirect() {
    let cluster = network().await;
    let (old, new) = (cluster.admin(OLD).await, cluster.admin(NEW).await);
    let third = cluster.admin(THIRD).await;
    let phone = "+8615400012345";
    let id = somebody(&cluster, &old, "Wanderer", phone).await;
    cluster.eventually("the card is out", async || third.finds("Wanderer").await.len() == 1).await;

    let offer = ["member", "move", &id, "--to", NEW, "--note", "works there now"];
    assert_eq!(old.refused(&offer).await, "NO_GRANT", "the person has to agree");
    agreed(&old, &id, NEW).await;
    let before = consents(&old, &id).await;
    let offered = old.ask(&offer).await;
    assert_eq!((word(&offered, "state"), word(&offered, "id")), ("offered", id.as_str()));
    let moving = word(&offered, "move").to_owned();
    let elsewhere = ["member", "move", &id, "--to", THIRD];
    assert_eq!(old.refused(&elsewhere).await, "MOVE_OPEN");
    assert_eq!(old.ask(&["member", "get", &id]).await["state"], "moving");

    // The other point sees that somebody is offered, and nothing of who it is.
    until_state(&cluster, &new, &moving, "offered").await;
    let preview = seen(&new, &moving).await;
    assert_eq!((word(&preview, "id"), word(&preview, "note")), ("", "works there now"));
    for mark in [phone, "12345"] {
        let marks = [mark.trim_start_matches('+').to_owned()];
        assert_eq!(traces(&cluster.path(NEW), &marks), [""; 0], "{mark} before it was accepted");
    }
    assert_eq!(new.refused(&["member", "recall", &moving]).await, "NOT_FOUND");
    assert_eq!(old.refused(&["member", "accept", &moving]).await, "NOT_FOUND");

    new.ask(&["member", "accept", &moving]).await;
    cluster
        .eventually("the new point is home, and the old one never at the same time", async || {
            // The new one first: the old one has let go before it is home.
            let (there, here) = (is_home(&new, &id).await, is_home(&old, &id).await);
            assert!(!(here && there), "two homes");
            assert!(homes_seen(&third, "Wanderer").await.len() <= 1, "two homes are shown");
            there
        })
        .await;
    until_state(&cluster, &old, &moving, "confirmed").await;
    let moved = new.ask(&["member", "get", &id]).await;
    assert_eq!((word(&moved, "phone"), word(&moved, "state")), (phone, "active"));
    assert_eq!(word(&moved, "moved_from"), OLD);
    assert_eq!(consents(&new, &id).await, before, "with where they come from");
    cluster
        .eventually("everybody shows the new home", async || {
            homes_seen(&third, "Wanderer").await == [NEW]
                && homes_seen(&old, "Wanderer").await == [NEW]
        })
        .await;

    // The old home knows where, and no more.
    for words in [
        &["member", "withdraw", &id, "--purpose", "profile.network"][..],
        &["member", "move", &id, "--to", NEW],
        &["member", "erase", &id, "--yes"],
    ] {
        assert_eq!(old.refused(words).await, "NOT_HOME", "{words:?}");
    }
    assert_eq!(old.refused(&["member", "recall", &moving]).await, "MOVE_REFUSED");
    cluster
        .eventually("no copy of the old home is left", async || {
            let place = old.ask(&["member", "where", &id]).await;
            let copies = place["copies"].as_array().cloned().unwrap_or_default();
            place["moved_to"] == NEW && copies.iter().all(|copy| copy["state"] == "scrubbed")
        })
        .await;
    cluster
        .eventually("and the new one knows it", async || {
            let place = new.ask(&["member", "where", &id]).await;
            let copies = place["copies"].as_array().cloned().unwrap_or_default();
            copies.iter().any(|copy| {
                (&copy["point"], &copy["audience"], &copy["state"])
                    == (&json!(OLD), &json!("home"), &json!("scrubbed"))
            })
        })
        .await;
    let marks = [phone.trim_start_matches('+').to_owned()];
    cluster
        .eventually("nothing is left on the old disk", async || {
            traces(&cluster.path(OLD), &marks).is_empty()
        })
        .await;
    let lines = old.list(&["audit", "list", "--record", &id]).await;
    assert!(lines.iter().any(|line| line["operation"] == "move_member"), "{lines:?}");
    old.run(&["audit", "verify"]).await.expect_code(exit::DONE);

    // The new home is home in every way.
    new.ask(&["member", "withdraw", &id, "--purpose", "profile.network"]).await;
    cluster.eventually("the card is gone", async || third.finds("Wanderer").await.is_empty()).await;
    for point in [OLD, NEW, THIRD] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

#[tokio::test]
async fn a_move_needs_all_three_and_any_of_them_may_end_it() {
    let cluster = network().await;
    let (old, new) = (cluster.admin(OLD).await, cluster.admin(NEW).await);
    let id = somebody(&cluster, &old, "Hesitant", "+8615400022222").await;
    let own = own_account(&cluster, OLD, &id).await;
    let wish = ["member", "move", &id, "--to", NEW];

    // The person asks; the home agrees; the other point says no.
    let asked = own.ask(&wish).await;
    assert_eq!(word(&asked, "state"), "requested");
    let first = word(&asked, "move").to_owned();
    assert_eq!(own.list(&["member", "moves"]).await.len(), 1);
    assert!(seen(&new, &first).await.is_null(), "the home has not agreed");
    assert_eq!(word(&old.ask(&wish).await, "move"), first, "staff offers what was asked for");
    until_state(&cluster, &new, &first, "offered").await;
    new.ask(&["member", "decline", &first, "--reason", "no desk here"]).await;
    until_state(&cluster, &old, &first, "declined").await;
    assert_eq!(word(&seen(&old, &first).await, "reason"), "no desk here");
    assert_eq!(old.ask(&["member", "get", &id]).await["state"], "active");
    assert_eq!(new.refused(&["member", "accept", &first]).await, "MOVE_REFUSED");

    // The person takes it back.
    let second = word(&own.ask(&wish).await, "move").to_owned();
    old.ask(&wish).await;
    until_state(&cluster, &new, &second, "offered").await;
    own.ask(&["member", "recall", &second]).await;
    until_state(&cluster, &new, &second, "recalled").await;
    assert_eq!(new.refused(&["member", "accept", &second]).await, "NOT_FOUND");
    assert_eq!(old.ask(&["member", "get", &id]).await["state"], "active");

    // What rests on a consent ends with it.
    agreed(&old, &id, NEW).await;
    let third = word(&old.ask(&wish).await, "move").to_owned();
    until_state(&cluster, &new, &third, "offered").await;
    old.ask(&["member", "withdraw", &id, "--purpose", "transfer.to", "--scope", NEW]).await;
    assert_eq!(seen(&old, &third).await["state"], "recalled");
    assert_eq!(old.ask(&["member", "get", &id]).await["state"], "active");
    until_state(&cluster, &new, &third, "recalled").await;

    // An erasure takes it back, too.
    let fourth = word(&own.ask(&wish).await, "move").to_owned();
    old.ask(&wish).await;
    until_state(&cluster, &new, &fourth, "offered").await;
    own.ask(&["member", "erase", &id]).await;
    assert_eq!(seen(&old, &fourth).await["state"], "recalled");
    until_state(&cluster, &new, &fourth, "recalled").await;
    let marks = ["Hesitant".to_owned(), "15400022222".to_owned()];
    assert_eq!(traces(&cluster.path(NEW), &marks[1..]), [""; 0]);
}

/// What is done to a line or a node after a step, and undone before the end.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cut {
    Old,
    New,
    KillOld,
    KillNew,
}

/// Every step of a move, with the network cut or a node killed right after it.
#[tokio::test]
async fn a_move_that_is_cut_at_any_step_ends_with_one_home() {
    let mut cluster = network().await;
    let names =
        ["Ada", "Bea", "Cai", "Dan", "Eva", "Fay", "Gus", "Hal", "Ida", "Jon", "Kim", "Leo"];
    let mut names = names.iter().enumerate();
    for cut in [Cut::Old, Cut::New, Cut::KillOld, Cut::KillNew] {
        for step in 0..3 {
            let (number, name) = names.next().expect("a name for each");
            moved_in_spite_of(&mut cluster, cut, step, (number, name)).await;
        }
    }
    cluster.assert_faults_fired();
    for point in [OLD, NEW, THIRD] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

async fn moved_in_spite_of(
    cluster: &mut Cluster,
    cut: Cut,
    step: usize,
    (number, name): (usize, &str),
) {
    let about = format!("{cut:?} after step {step}");
    let latin = format!("Traveller{name}");
    let old = cluster.admin(OLD).await;
    let phone = format!("+86154000333{number:02}");
    let id = somebody(cluster, &old, &latin, &phone).await;
    agreed(&old, &id, NEW).await;
    let offered = old.ask(&["member", "move", &id, "--to", NEW]).await;
    let moving = word(&offered, "move").to_owned();

    // Steps: it was offered; the offer has come; it was accepted, and all the rest goes by itself.
    if step == 0 {
        break_and_mend(cluster, cut).await;
    }
    let new = cluster.admin(NEW).await;
    until_state(cluster, &new, &moving, "offered").await;
    if step == 1 {
        break_and_mend(cluster, cut).await;
    }
    let new = cluster.admin(NEW).await;
    new.ask(&["member", "accept", &moving]).await;
    if step == 2 {
        break_and_mend(cluster, cut).await;
    }
    let (old, new) = (cluster.admin(OLD).await, cluster.admin(NEW).await);
    let third = cluster.admin(THIRD).await;
    cluster
        .eventually("one of them is home, and it is the new one", async || {
            // The new one first: the old one has let go before it is home.
            let (there, here) = (is_home(&new, &id).await, is_home(&old, &id).await);
            assert!(!(here && there), "two homes: {about}");
            for client in [&old, &new, &third] {
                let homes = homes_seen(client, &latin).await;
                assert!(homes.len() <= 1, "{homes:?} are shown: {about}");
            }
            there
        })
        .await;
    assert!(!is_home(&old, &id).await, "{about}");
    assert_eq!(word(&new.ask(&["member", "get", &id]).await, "phone"), phone, "{about}");
    until_state(cluster, &old, &moving, "confirmed").await;
    cluster
        .eventually("everybody shows the new home", async || {
            homes_seen(&third, &latin).await == [NEW]
        })
        .await;
}

async fn break_and_mend(cluster: &mut Cluster, cut: Cut) {
    let point = if matches!(cut, Cut::Old | Cut::KillOld) { OLD } else { NEW };
    match cut {
        Cut::Old | Cut::New => {
            cluster.cut_off(point);
            // It is over when the node has noticed it, and has dialled in vain.
            let client = cluster.admin(point).await;
            cluster
                .eventually("the line is down", async || {
                    let links = client.status().await["links"].as_array().cloned();
                    let links = links.unwrap_or_default();
                    let is_up = links.iter().any(|link| link["state"] == "connected");
                    !is_up && cluster.line(point).inert().is_empty()
                })
                .await;
            cluster.rejoin(point);
        }
        Cut::KillOld | Cut::KillNew => {
            cluster.kill(point).await;
            cluster.start(point).await;
        }
    }
}

/// An old backup of the old home brings nobody home a second time.
#[tokio::test]
async fn who_has_moved_stays_gone_after_an_old_backup_was_put_back() {
    let mut cluster = network().await;
    let (old, new) = (cluster.admin(OLD).await, cluster.admin(NEW).await);
    let third = cluster.admin(THIRD).await;
    // Without a card nobody else could tell that the person was ever there.
    let shown = somebody(&cluster, &old, "Shown", "+8615400044441").await;
    let unseen = person("Unseen").create(&cluster, &old).await;
    let backup = text(&scratch(&cluster).join("before.backup"));
    cluster.yizhand("backup", OLD, &["--to", &backup]).await.expect_code(exit::DONE);
    for id in [&shown, &unseen] {
        agreed(&old, id, NEW).await;
        let offered = old.ask(&["member", "move", id, "--to", NEW]).await;
        let moving = word(&offered, "move").to_owned();
        until_state(&cluster, &new, &moving, "offered").await;
        new.ask(&["member", "accept", &moving]).await;
        cluster.eventually("it is home", async || is_home(&new, id).await).await;
        until_state(&cluster, &old, &moving, "confirmed").await;
    }
    cluster.stop(OLD).await;
    cluster.yizhand("restore", OLD, &["--from", &backup]).await.expect_code(exit::DONE);
    cluster.start(OLD).await;
    let old = cluster.admin(OLD).await;
    cluster
        .eventually("the node writes again", async || {
            old.status().await["recovery"]["reconciling"] == Value::Bool(false)
        })
        .await;
    assert_eq!(old.refused(&["member", "get", &unseen]).await, "NOT_HOME");
    let card = old.ask(&["member", "get", &shown]).await;
    assert_eq!((word(&card, "seen"), word(&card, "home")), ("card", NEW), "{card}");
    for id in [&shown, &unseen] {
        assert_eq!(old.ask(&["member", "where", id]).await["moved_to"], NEW);
        assert!(is_home(&new, id).await);
    }
    cluster
        .eventually("everybody shows one home", async || homes_seen(&third, "Shown").await == [NEW])
        .await;
    assert_eq!(old.finds("Unseen").await, [Value::Null; 0]);
}

/// Out of the mainland: the same gate as for a copy, and everything that belongs to the person goes along.
#[tokio::test]
async fn a_member_moves_across_a_border_on_a_declared_basis_with_places_in_groups() {
    const ABROAD: &str = "HK";
    let mut cluster = Cluster::found(THIRD).await;
    for point in [OLD, ABROAD] {
        cluster.join(point, THIRD).await;
    }
    let (old, abroad) = (cluster.admin(OLD).await, cluster.admin(ABROAD).await);
    for client in [&old, &abroad] {
        cluster
            .eventually("the roster is everywhere", async || {
                let feeds = client.status().await["feeds"].as_array().cloned().unwrap_or_default();
                feeds.iter().any(|feed| {
                    feed["audience"] == "roster" && feed["sequence"].as_u64().unwrap_or(0) >= 3
                })
            })
            .await;
    }
    let id = somebody(&cluster, &old, "Ferryman", "+8615400055555").await;
    let mut groups = Vec::new();
    for (kind, role) in [("cohort", "key_contact"), ("liaison", "duty_contact")] {
        let titles = json!({"en": format!("A {kind}")});
        let mut group = json!({"kind": kind, "titles": titles, "scope_region": "440100"});
        if kind == "cohort" {
            group["issue_no"] = json!(7);
        }
        let file = document(&cluster, "group.json", &group);
        let group = word(&old.ask(&["group", "create", "--file", &file]).await, "id").to_owned();
        old.ask(&["group", "enrol", &group, "--member", &id, "--role", role]).await;
        groups.push((group, role));
    }
    let places = async |client: &Client| {
        let taken = client.run(&["export", "group_member", "--format", "jsonl"]).await;
        let taken = taken.expect_code(exit::DONE).stdout;
        let mut places: Vec<(String, String, String)> = taken
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line"))
            .map(|one| {
                let text = |key| word(&one, key).to_owned();
                (text("group_id"), text("role"), text("from_on"))
            })
            .collect();
        places.sort();
        places
    };
    let before = places(&old).await;
    assert_eq!(before.len(), groups.len());
    assert!(groups.iter().all(|(group, role)| {
        before.iter().any(|(id, known, _)| (id, known.as_str()) == (group, role))
    }));

    let offer = ["member", "move", &id, "--to", ABROAD];
    let unknown = ["member", "move", &id, "--to", "US-BOS"];
    assert_eq!(old.refused(&unknown).await, "PEER_NOT_ADMITTED");
    assert_eq!(old.refused(&offer).await, "NO_GRANT");
    agreed(&old, &id, ABROAD).await;
    assert_eq!(old.refused(&offer).await, "NO_BASIS");
    assert_eq!(old.ask(&["member", "get", &id]).await["state"], "active", "nothing has moved");
    assert!(abroad.list(&["member", "moves", "--ended"]).await.is_empty());
    let basis = ["--point", ABROAD, "--from", "CN", "--kind", "gba_sc_hk"];
    let basis = [&basis[..], &["--reference", "GBA-2024-17"]].concat();
    cluster.yizhand("basis", THIRD, &basis).await.expect_code(exit::DONE);
    cluster
        .eventually("the basis is known where the member is", async || {
            old.run(&offer).await.code == exit::DONE
        })
        .await;
    let moving = word(&old.ask(&offer).await, "move").to_owned();
    until_state(&cluster, &abroad, &moving, "offered").await;
    abroad.ask(&["member", "accept", &moving]).await;
    cluster
        .eventually("Hong Kong is home, and Guangzhou never at the same time", async || {
            let (there, here) = (is_home(&abroad, &id).await, is_home(&old, &id).await);
            assert!(!(here && there), "two homes");
            there
        })
        .await;
    until_state(&cluster, &old, &moving, "confirmed").await;
    assert_eq!(places(&abroad).await, before, "the places have come along");
    assert!(places(&old).await.is_empty());
    let moved = abroad.ask(&["member", "get", &id]).await;
    assert_eq!((word(&moved, "phone"), word(&moved, "moved_from")), ("+8615400055555", OLD));
    cluster
        .eventually("no copy of the old home is left", async || {
            let place = old.ask(&["member", "where", &id]).await;
            let copies = place["copies"].as_array().cloned().unwrap_or_default();
            place["moved_to"] == ABROAD && copies.iter().all(|copy| copy["state"] == "scrubbed")
        })
        .await;
    for point in [OLD, ABROAD, THIRD] {
        cluster.yizhand("verify", point, &[]).await.expect_code(exit::DONE);
    }
}

/// What two persons were about to do to somebody who has gone since then is not done.
#[tokio::test]
async fn an_erasure_that_was_asked_for_before_the_move_is_refused_after_it() {
    let cluster = network().await;
    let (old, new) = (cluster.admin(OLD).await, cluster.admin(NEW).await);
    cluster.add_user(OLD, "second", "point_admin").await;
    let id = somebody(&cluster, &old, "Leaver", "+8615400066666").await;
    let asked = old.ask(&["member", "erase", &id]).await;
    let approval = word(&asked, "approval").to_owned();
    agreed(&old, &id, NEW).await;
    let offered = old.ask(&["member", "move", &id, "--to", NEW]).await;
    let moving = word(&offered, "move").to_owned();
    until_state(&cluster, &new, &moving, "offered").await;
    new.ask(&["member", "accept", &moving]).await;
    cluster.eventually("it is home there", async || is_home(&new, &id).await).await;
    until_state(&cluster, &old, &moving, "confirmed").await;
    let second = cluster.user(OLD, "second").await;
    let answer = second.run(&["approval", "give", &approval]).await.expect_code(exit::REFUSED);
    let reason = answer.json()["error"]["reason"].clone();
    assert!(["NOT_FOUND", "NOT_HOME"].iter().any(|known| reason == *known), "{reason}");
    assert!(is_home(&new, &id).await);
}
