use yizhan_client::sealed::{TrackingCode, random_key, seal_exactly};

use super::*;
use crate::{
    app::{
        accounts::NewAccount,
        attachments, desk,
        error::Error,
        roles::RoleChange,
        samples::{FOUNDER, Node, account, admin, code, founder, newcomer},
    },
    domain::{
        account::RoleGrant,
        help_state::HelpState,
        id::RecordId,
        policy::{Operation, Role},
        time::Time,
    },
    identity::caller::Caller,
    store::attachments as files,
};
use yizhan_proto::v1;

/// A request, and the code that its client keeps.
pub fn request(text: &str, key: &str) -> (v1::SubmitHelpRequestRequest, TrackingCode) {
    let tracking = TrackingCode::random();
    let content_key = random_key();
    let lookup_id = tracking.lookup_id();
    let message = v1::SubmitHelpRequestRequest {
        category: "legal".into(),
        country: "KE".into(),
        language: "en".into(),
        content: Some(v1::HelpContent { text: text.into(), ..v1::HelpContent::default() }),
        key: key.into(),
        secret: Some(secret(&tracking)),
        content_key: content_key.to_vec(),
        client_wrap: seal_exactly(
            &tracking.reply_key(),
            "client wrap",
            &lookup_id,
            content_key.as_ref(),
        ),
        ..v1::SubmitHelpRequestRequest::default()
    };
    (message, tracking)
}

pub fn secret(tracking: &TrackingCode) -> v1::HelpSecret {
    let (lookup_id, mac_key) = (tracking.lookup_id().to_vec(), tracking.mac_key().to_vec());
    v1::HelpSecret { lookup_id, mac_key }
}

async fn asked(node: &Node, text: &str) -> (String, TrackingCode) {
    let (message, tracking) = request(text, "");
    let new = message.try_into().unwrap();
    let done = submit(&node.app, &Caller::Anonymous, new).await.unwrap();
    (done.reference, tracking)
}

pub(super) fn named(name: &str, role: Role) -> Caller {
    match account(role, FOUNDER) {
        Caller::Account {
            account, role, point, also, member, own_word, purpose, expires, ..
        } => {
            let name = name.into();
            Caller::Account { account, name, role, point, also, member, own_word, purpose, expires }
        }
        other => other,
    }
}

#[tokio::test]
async fn what_is_submitted_is_opened_by_handlers_and_nobody_else() {
    let node = founder().await;
    let (reference, tracking) = asked(&node, "a lease").await;
    let opened = desk::get(&node.app, &admin(FOUNDER), &reference, "").await.unwrap();
    assert_eq!(opened.content.unwrap().text, "a lease");
    assert_eq!(opened.readers, [FOUNDER]);
    for stranger in [account(Role::ProvincialAdmin, FOUNDER), named("v", Role::Volunteer)] {
        let refused = desk::get(&node.app, &stranger, &reference, "").await;
        assert!(matches!(refused, Err(Error::NotFound { .. })));
    }
    let secret = Secret::parse(&reference, Some(secret(&tracking))).unwrap();
    let tracked = track(&node.app, &Caller::Anonymous, &secret, 0).await.unwrap();
    let Tracked::Here(tracked) = tracked else { panic!("it was passed to nobody") };
    assert_eq!((tracked.reference, tracked.owner), (reference, FOUNDER.to_owned()));
}

#[tokio::test]
async fn one_key_has_one_effect_and_serves_one_client() {
    let node = founder().await;
    let (message, _) = request("once", "key");
    let submit = async |message: v1::SubmitHelpRequestRequest| {
        submit(&node.app, &Caller::Anonymous, message.try_into().unwrap()).await
    };
    let first = submit(message.clone()).await.unwrap();
    let second = submit(message.clone()).await.unwrap();
    assert_eq!(first.reference, second.reference);
    assert_eq!(first.first_answer_by, second.first_answer_by);
    let mut changed = message;
    changed.content = Some(v1::HelpContent { text: "twice".into(), ..Default::default() });
    let refused = submit(changed).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("another text"), "{refused}");
    let (other, _) = request("once", "key");
    assert!(matches!(submit(other).await, Err(Error::Exists { .. })));
    let asked = desk::Asked::default();
    let items = desk::list(&node.app, &admin(FOUNDER), asked).await.unwrap().items;
    assert_eq!(items.len(), 1);
}

#[tokio::test]
async fn numbers_rise_without_a_gap_while_the_node_runs() {
    let node = founder().await;
    let mut references = Vec::new();
    for n in 0..20 {
        references.push(asked(&node, &format!("{n}")).await.0);
    }
    let number = |reference: &String| reference.split('-').nth(2).unwrap().parse::<u32>().unwrap();
    let numbers: Vec<u32> = references.iter().map(number).collect();
    assert_eq!(numbers, (1..=20).collect::<Vec<u32>>());
}

#[tokio::test]
async fn a_volunteer_sees_what_is_assigned_and_no_more() {
    let node = founder().await;
    let operator = Caller::Operator { point: code(FOUNDER) };
    let new = NewAccount {
        name: "wang".into(),
        password: "long enough".into(),
        role: Role::Volunteer,
        point: None,
        member: None,
    };
    let now = node.app.outside.now();
    node.app.accounts.create(&operator, new, now, [3; 32]).await.unwrap();
    let (mine, _) = asked(&node, "mine").await;
    let (other, _) = asked(&node, "other").await;
    desk::assign(&node.app, &admin(FOUNDER), &mine, "wang").await.unwrap();
    let wang = named("wang", Role::Volunteer);
    let items = desk::list(&node.app, &wang, desk::Asked::default()).await.unwrap().items;
    let listed: Vec<&str> = items.iter().map(|item| item.reference.as_str()).collect();
    assert_eq!(listed, [mine.as_str()]);
    assert_eq!(desk::get(&node.app, &wang, &mine, "").await.unwrap().content.unwrap().text, "mine");
    let refused = desk::reply(&node.app, &wang, &other, "x", None).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    desk::reply(&node.app, &wang, &mine, "x", None).await.unwrap();
    let nobody = desk::assign(&node.app, &admin(FOUNDER), &mine, "nobody").await;
    assert!(matches!(nobody, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_role_that_is_limited_to_categories_reaches_no_other() {
    let node = founder().await;
    let app = &node.app;
    let (reference, _) = asked(&node, "a lease").await;
    let limited = |category: &str| {
        let mut caller = named("lim", Role::Member);
        if let Caller::Account { also, .. } = &mut caller {
            also.push(RoleGrant {
                role: Role::Staff,
                point: code(FOUNDER),
                categories: vec![category.to_owned()],
                from: Time(0),
                to: None,
                granted_by: "operator".into(),
            });
        }
        caller
    };
    let queue = async |caller: &Caller| {
        desk::list(app, caller, desk::Asked::default()).await.unwrap().items.len()
    };
    let (legal, study) = (limited("legal"), limited("study"));
    assert_eq!((queue(&legal).await, queue(&study).await), (1, 0));
    assert!(desk::get(app, &legal, &reference, "").await.is_ok());
    for refused in [
        desk::get(app, &study, &reference, "").await.map(|_| ()),
        desk::reply(app, &study, &reference, "x", None).await.map(|_| ()),
        desk::assign(app, &study, &reference, "lim").await.map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::NotFound { .. })), "{refused:?}");
    }

    // Nor is anything given to whoever could not open it.
    let operator = Caller::Operator { point: code(FOUNDER) };
    let now = app.outside.now();
    for (n, (name, category, may)) in
        [("lia", "legal", true), ("stu", "study", false)].iter().enumerate()
    {
        let new = NewAccount {
            name: (*name).into(),
            password: "long enough".into(),
            role: Role::Member,
            point: None,
            member: None,
        };
        app.accounts.create(&operator, new, now, [n as u8 + 1; 32]).await.unwrap();
        let change = RoleChange {
            role: "volunteer".into(),
            also: true,
            categories: vec![(*category).to_owned()],
            ..RoleChange::default()
        };
        let deed = operator.deed(Operation::ManageAccounts);
        app.accounts.change_role(name, &change, deed, now).await.unwrap();
        let assigned = desk::assign(app, &admin(FOUNDER), &reference, name).await;
        assert_eq!(assigned.is_ok(), *may, "{name}");
    }
}

#[tokio::test]
async fn a_reply_that_is_sent_twice_is_there_once_and_another_node_key_opens_nothing() {
    let node = founder().await;
    let (reference, _) = asked(&node, "x").await;
    let id = RecordId([7; 16]);
    for _ in 0..2 {
        desk::reply(&node.app, &admin(FOUNDER), &reference, "once", Some(id)).await.unwrap();
    }
    let opened = desk::get(&node.app, &admin(FOUNDER), &reference, "").await.unwrap();
    assert_eq!(opened.messages.len(), 1);
    let stored = stored::with_reference(
        &node.app,
        &crate::domain::help_reference::Reference::parse(&reference, "r").unwrap(),
    )
    .await
    .unwrap();
    let stored = stored::Stored::of(stored.into_iter().next().unwrap()).unwrap();
    let other = sealing::IntakeKeys::new(crate::identity::keys::CaseKey::generate());
    let opened = other.open(&node.app, stored.feed(), stored.id(), &stored.request).await;
    assert!(opened.is_err());
}

#[tokio::test]
async fn a_client_who_writes_again_is_not_done() {
    let node = founder().await;
    let (reference, tracking) = asked(&node, "x").await;
    let handler = admin(FOUNDER);
    let operator = Caller::Operator { point: code(FOUNDER) };
    let new = NewAccount {
        name: "somebody".into(),
        password: "long enough".into(),
        role: Role::PointAdmin,
        point: None,
        member: None,
    };
    let now = node.app.outside.now();
    node.app.accounts.create(&operator, new, now, [4; 32]).await.unwrap();
    desk::assign(&node.app, &handler, &reference, "").await.unwrap();
    desk::resolve(&node.app, &handler, &reference, ("", "advised")).await.unwrap();
    let secret = Secret::parse(&reference, Some(secret(&tracking))).unwrap();
    let anybody = Caller::Anonymous;
    let state = reply(&node.app, &anybody, &secret, RecordId([9; 16]), vec![1; 256]).await.unwrap();
    assert_eq!(state, HelpState::InProgress);
    assert_eq!(withdraw(&node.app, &anybody, &secret).await.unwrap(), HelpState::Withdrawn);
    let again = reply(&node.app, &anybody, &secret, RecordId([8; 16]), vec![1; 256]).await;
    assert!(matches!(again, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn a_node_that_no_roster_has_come_to_takes_a_request_in_all_the_same() {
    let node = newcomer("GB-LON").await;
    let london = admin("GB-LON");
    for (country, reason) in [("GB", "because area GB"), ("KE", "nothing has been heard of")] {
        let (mut message, tracking) = request("a lease", "");
        message.country = country.into();
        let done = submit(&node.app, &Caller::Anonymous, message.try_into().unwrap()).await;
        let done = done.unwrap_or_else(|error| panic!("{country}: {error}"));
        assert_eq!(done.owner, code("GB-LON"), "{country}");
        assert!(done.route.reason.contains(reason), "{}", done.route.reason);
        assert_eq!(done.warning.is_empty(), country == "GB", "{}", done.warning);
        let opened = desk::get(&node.app, &london, &done.reference, "").await.unwrap();
        assert_eq!(opened.content.unwrap().text, "a lease");
        let secret = Secret::parse(&done.reference, Some(secret(&tracking))).unwrap();
        let tracked = track(&node.app, &Caller::Anonymous, &secret, 0).await;
        assert!(matches!(tracked, Ok(Tracked::Here(_))), "{country}");
    }
}

#[tokio::test]
async fn what_a_desk_enters_for_somebody_is_flagged_shown_and_counted() {
    let node = founder().await;
    let app = &node.app;
    let staff = named("wang", Role::Staff);
    let submit = async |caller: &Caller, channel: &str| {
        let (mut message, _) = request("a lease", "");
        message.channel = channel.into();
        submit(app, caller, message.try_into().unwrap()).await
    };
    let shown = async |done: Submitted| {
        let opened = desk::get(app, &admin(FOUNDER), &done.reference, "").await.unwrap();
        opened.request.unwrap().channel
    };
    for (caller, channel, expected) in [
        (&Caller::Anonymous, "", "client"),
        (&staff, "", "desk"),
        (&staff, "phone", "phone"),
        (&admin(FOUNDER), "phone", "phone"),
        (&named("h", Role::Member), "", "client"),
    ] {
        let done = submit(caller, channel).await.unwrap();
        assert_eq!(shown(done).await, expected);
    }
    for (caller, channel) in [(&Caller::Anonymous, "phone"), (&staff, "pigeon"), (&staff, "client")]
    {
        assert!(matches!(submit(caller, channel).await, Err(Error::Invalid(_))), "{channel}");
    }
    let figures = desk::figures(app, &admin(FOUNDER), None).await.unwrap();
    let counts: Vec<_> =
        figures[0].channels.iter().map(|one| (&one.channel[..], &one.count[..])).collect();
    assert_eq!(counts, [("client", "2"), ("desk", "1"), ("phone", "2")]);
}

#[tokio::test]
async fn of_calls_under_one_key_at_the_same_time_one_has_its_file() {
    let node = founder().await;
    let app = &node.app;
    let (message, _) = request("once", "key");
    let call = async |number: u8| {
        let key = attachments::FileKey::new([number; 32]);
        let upload = attachments::upload(app, "note.txt", key).await.unwrap();
        upload.push(attachments::Part::Bytes(b"a note".to_vec())).await;
        upload.push(attachments::Part::End).await;
        let (file, _) = upload.finish().await.unwrap();
        let mut message = message.clone();
        let content = message.content.as_mut().unwrap();
        content.files = vec![v1::HelpFile {
            id: file.to_string(),
            name: "note.txt".into(),
            key: vec![number; 32],
            ..v1::HelpFile::default()
        }];
        (file, message)
    };
    let (one, first) = call(1).await;
    let (two, second) = call(2).await;
    // The same call twice, as it is repeated where no answer came, and another one.
    let submit = async |message: v1::SubmitHelpRequestRequest| {
        submit(app, &Caller::Anonymous, message.try_into().unwrap()).await.unwrap().reference
    };
    let (a, b, c) = tokio::join!(submit(first.clone()), submit(second), submit(first));
    assert!(a == b && b == c);
    let opened = desk::get(app, &admin(FOUNDER), &a, "").await.unwrap();
    let named = opened.content.unwrap().files[0].id.clone();
    let id = RecordId::parse(&opened.request.unwrap().id, "id").unwrap();
    let taken = files::list_of(&mut app.db.reader().await.unwrap(), id).await.unwrap();
    assert_eq!(taken.iter().map(ToString::to_string).collect::<Vec<_>>(), [named]);
    assert!(taken == [one] || taken == [two]);
}
