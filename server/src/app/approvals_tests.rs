//! Two persons, erasures and what a person may do alone, on a real database.

use yizhan_proto::v1;

use super::{
    App, approvals,
    audit::{Asked, list, verify},
    desk,
    error::Error,
    members::{self, ErasureAnswer, Wish},
    roles::{self, Changed, RoleChange},
    samples::{FOUNDER, account, admin, also, code, founder, named, sign_up},
    sight,
    users::{self, Replaced},
};
use crate::{
    app::accounts::NewAccount,
    domain::{
        account::OwnWord,
        approval::{ApprovalState, OPEN_US},
        audience::{Audience, FeedId},
        help_reference::Reference,
        id::RecordId,
        kind::Kind,
        policy::{Operation, Role},
    },
    feed::change::Change,
    identity::caller::Caller,
};

async fn person(app: &App, staff: &Caller) -> RecordId {
    named_person(app, staff, "若晴").await
}

async fn named_person(app: &App, staff: &Caller, given: &str) -> RecordId {
    let member = v1::Member {
        state: 2,
        names: vec![v1::PersonName {
            script: 1,
            family: "欧阳".into(),
            given: given.into(),
            full: format!("欧阳{given}"),
            order: 1,
            sort_key: String::new(),
        }],
        preferred_script: 1,
        preferred_language: "zh-Hans".into(),
        city_code: "440100".into(),
        field_group: "health".into(),
        ..Default::default()
    };
    let new = members::New { member, ..members::New::default() };
    let made = members::create(app, staff, new).await.unwrap();
    RecordId::parse(&made.id, "id").unwrap()
}

async fn asked(app: &App, caller: &Caller, id: RecordId) -> RecordId {
    match members::erase(app, caller, id, Wish::default()).await.unwrap() {
        ErasureAnswer::Asked(approval) => approval,
        _ => panic!("one person alone has erased somebody else"),
    }
}

#[tokio::test]
async fn somebody_else_is_erased_by_two_persons_and_once() {
    let node = founder().await;
    let app = &node.app;
    let (ann, bob) = (named("ann", Role::Staff, None), named("bob", Role::PointAdmin, None));
    sign_up(app, &ann).await;
    let id = person(app, &ann).await;
    let approval = asked(app, &ann, id).await;
    assert_eq!(asked(app, &ann, id).await, approval, "asked again it is the same");
    assert!(members::get(app, &ann, id).await.is_ok(), "nothing has changed");

    let own = approvals::give(app, &ann, approval).await;
    assert!(matches!(own, Err(Error::Precondition { reason: "OWN_APPROVAL", .. })));
    for nobody in [named("eve", Role::Member, Some(id)), named("kim", Role::Auditor, None)] {
        let refused = approvals::give(app, &nobody, approval).await;
        assert!(matches!(refused, Err(Error::Denied)));
    }
    let stranger = admin("HK");
    let refused = approvals::give(app, &stranger, approval).await;
    assert!(matches!(refused, Err(Error::NotFound { .. })));
    assert!(members::get(app, &ann, id).await.is_ok());

    let done = approvals::give(app, &bob, approval).await.unwrap();
    assert_eq!((done.state, done.decided_by.as_str()), (ApprovalState::Done, "bob"));
    assert!(matches!(members::get(app, &ann, id).await, Err(Error::NotFound { .. })));
    let again = approvals::give(app, &bob, approval).await.unwrap();
    assert_eq!(again, done, "given again it has no further effect");
    let late = approvals::give(app, &named("cat", Role::Staff, None), approval).await;
    assert!(late.is_err());
    let outcome = done.outcome.strip_prefix("order=").unwrap();
    let order = RecordId::parse(outcome, "order").unwrap();

    // The audit keeps the order and nobody's id, and is whole.
    let lines = |record| {
        let asked = Asked { record: Some(record), ..Asked::default() };
        async { list(app, &bob, asked).await.unwrap().lines }
    };
    // Not even that somebody looked for who is no more.
    assert_eq!(lines(id).await, []);
    let of_order = lines(order).await;
    assert!(of_order.iter().any(|line| line.outcome == "not_found"), "{of_order:?}");
    assert!(of_order.iter().any(|line| line.actor == "ann + bob"), "{of_order:?}");
    assert_eq!(verify(app, &bob).await.unwrap().faults, 0);
}

#[tokio::test]
async fn a_second_role_does_not_let_one_person_act_alone() {
    let node = founder().await;
    let app = &node.app;
    let ann = named("ann", Role::Staff, None);
    let id = person(app, &ann).await;
    let operator = Caller::Operator { point: code(FOUNDER) };
    let new = NewAccount {
        name: "gov".into(),
        password: "long enough".into(),
        role: Role::Staff,
        point: None,
        member: None,
    };
    app.accounts.create(&operator, new, app.outside.now(), [1; 32]).await.unwrap();
    for (first, second) in [
        (Role::Staff, Role::PointAdmin),
        (Role::Member, Role::PointAdmin),
        (Role::Auditor, Role::PointAdmin),
    ] {
        let both = also(named("bob", first, None), second, FOUNDER);
        asked(app, &both, id).await;
        assert!(members::access(app, &both, id).await.unwrap().member.is_none());
        let change = RoleChange { role: "provincial_admin".into(), ..RoleChange::default() };
        let changed = roles::set_role(app, &both, "gov", change).await.unwrap();
        assert!(matches!(changed, Changed::Asked(_)), "{first:?}");
        let glass = desk::BreakGlass {
            reference: Reference::new("GD", 2026, 1).to_string(),
            reason: "urgent".into(),
            key_lost: false,
        };
        let broken = desk::break_glass(app, &both, glass).await.unwrap();
        assert!(matches!(broken, desk::Glass::Asked(_)), "{first:?}");
    }
}

#[tokio::test]
async fn a_person_who_is_staff_too_works_others_as_staff_and_the_own_record_alone() {
    let node = founder().await;
    let app = &node.app;
    let ann = named("ann", Role::Staff, None);
    let (own, other) = (person(app, &ann).await, named_person(app, &ann, "若云").await);
    let both = also(named("eve", Role::Member, Some(own)), Role::Staff, FOUNDER);
    asked(app, &both, other).await;
    members::get(app, &both, other).await.unwrap();
    let bob = named("bob", Role::PointAdmin, None);
    let of_other = Asked { record: Some(other), ..Asked::default() };
    let lines = list(app, &bob, of_other).await.unwrap().lines;
    let seen = lines.iter().find(|line| line.operation == "read_member").unwrap();
    assert_eq!((seen.role.as_str(), seen.purpose.as_str()), ("staff", "service"));
    // Who has seen the own record, and what one has done oneself.
    let of_own = Asked { record: Some(own), ..Asked::default() };
    assert!(list(app, &both, of_own).await.unwrap().lines.iter().all(|line| line.record == own));
    let held = members::access(app, &both, own).await.unwrap();
    assert!(held.member.is_some() && held.approval.is_empty());
    let erased = members::erase(app, &both, own, Wish::default()).await.unwrap();
    assert!(matches!(erased, ErasureAnswer::Done(_)));
}

#[tokio::test]
async fn who_was_given_the_password_speaks_for_nobody_until_it_is_changed() {
    let node = founder().await;
    let app = &node.app;
    let id = person(app, &named("ann", Role::Staff, None)).await;
    let mut own = named("eve", Role::Member, Some(id));
    let set = |caller: &mut Caller, word| match caller {
        Caller::Account { own_word, .. } => *own_word = word,
        _ => unreachable!(),
    };
    set(&mut own, OwnWord::Given);
    assert!(members::get(app, &own, id).await.is_ok(), "who reads is shown the own record");
    let preview = Wish { preview: true, ..Wish::default() };
    assert!(members::erase(app, &own, id, preview).await.is_ok());
    for (word, told) in
        [(OwnWord::Given, "PASSWORD_NOT_OWN"), (OwnWord::Unconfirmed, "ACCOUNT_NOT_CONFIRMED")]
    {
        set(&mut own, word);
        let erased = members::erase(app, &own, id, Wish::default()).await.map(|_| ());
        let held = members::access(app, &own, id).await.map(|_| ());
        for refused in [erased, held] {
            assert!(
                matches!(&refused, Err(Error::Precondition { reason, .. }) if *reason == told),
                "{refused:?}"
            );
        }
    }
    set(&mut own, OwnWord::Own);
    assert!(members::access(app, &own, id).await.is_ok());
}

#[tokio::test]
async fn an_account_is_its_persons_once_somebody_else_than_who_gave_the_password_says_so() {
    let node = founder().await;
    let app = &node.app;
    let (ann, bob) = (named("ann", Role::PointAdmin, None), named("bob", Role::PointAdmin, None));
    let id = person(app, &ann).await;
    let new = NewAccount {
        name: "eve".into(),
        password: "long enough".into(),
        role: Role::Member,
        point: None,
        member: Some(id),
    };
    users::create(app, &ann, new).await.unwrap();
    let now = app.outside.now();
    let signed_in = async |password: &str, n: u8| {
        let signed = app.accounts.sign_in("eve", password, "", now, [n; 32]).await.unwrap();
        app.accounts.caller(&signed.token.reveal(), now).await.unwrap()
    };
    let refused = async |by: &Caller| match users::confirm(app, by, "eve").await {
        Err(Error::Precondition { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    // Ann signs in with the password that she has set, and makes it another.
    let given = signed_in("long enough", 3).await;
    assert_eq!(refused(&bob).await, "PASSWORD_NOT_OWN", "the owner has not been there yet");
    users::set_password(app, &given, "", "quite another", "long enough").await.unwrap();
    let eve = signed_in("quite another", 4).await;
    let told = members::erase(app, &eve, id, Wish::default()).await.map(|_| ());
    assert!(
        matches!(told, Err(Error::Precondition { reason: "ACCOUNT_NOT_CONFIRMED", .. })),
        "{told:?}"
    );
    assert_eq!(refused(&ann).await, "PASSWORD_GIVER");
    assert!(users::confirm(app, &named("sam", Role::Staff, None), "eve").await.is_err());
    let confirmed = users::confirm(app, &bob, "eve").await.unwrap();
    assert_eq!((&*confirmed.password_by, &*confirmed.confirmed_by), ("ann", "bob"));
    // The person reads who has done what to the account.
    let eve = signed_in("quite another", 5).await;
    let lines =
        list(app, &eve, Asked { record: Some(id), ..Asked::default() }).await.unwrap().lines;
    for (actor, what) in
        [("ann", "account_added"), ("member ", "password_changed"), ("bob", "account_confirmed")]
    {
        let mut of = lines.iter().filter(|line| line.outcome.starts_with(what));
        assert!(of.any(|line| line.actor.starts_with(actor)), "{actor} {what}: {lines:?}");
    }
    // Ann sets it once more: what bob has seen is of no use.
    users::set_password(app, &ann, "eve", "given again", "").await.unwrap();
    let again = signed_in("given again", 6).await;
    users::set_password(app, &again, "", "her own again", "given again").await.unwrap();
    assert_eq!(signed_in("her own again", 7).await.own_word(), OwnWord::Unconfirmed);
    assert_eq!(verify(app, &bob).await.unwrap().faults, 0);
    users::confirm(app, &bob, "eve").await.unwrap();
    let eve = signed_in("her own again", 8).await;
    let erased = members::erase(app, &eve, id, Wish::default()).await.unwrap();
    assert!(matches!(erased, ErasureAnswer::Done(_)));
}

#[tokio::test]
async fn an_account_is_tied_to_one_member_who_is_at_home_there() {
    let node = founder().await;
    let app = &node.app;
    let ann = named("ann", Role::PointAdmin, None);
    let id = person(app, &ann).await;
    let new = |name: &str, member, point: Option<&str>| NewAccount {
        name: name.into(),
        password: "long enough".into(),
        role: Role::Member,
        point: point.map(code),
        member: Some(member),
    };
    let operator = Caller::Operator { point: code(FOUNDER) };
    for (caller, member, point) in
        [(&ann, RecordId([9; 16]), None), (&operator, id, Some("HK")), (&admin("HK"), id, None)]
    {
        let made = users::create(app, caller, new("eve", member, point)).await.map(|_| ());
        assert!(matches!(made, Err(Error::NotFound { noun: "member" })), "{made:?}");
    }
    users::create(app, &ann, new("eve", id, None)).await.unwrap();
    let second = users::create(app, &ann, new("eva", id, None)).await.map(|_| ());
    assert!(matches!(second, Err(Error::Precondition { reason: "MEMBER_HAS_ACCOUNT", .. })));
    app.accounts.disable(&ann, "eve", app.outside.now()).await.unwrap();
    users::create(app, &ann, new("eva", id, None)).await.unwrap();

    // Tied to a record that lies elsewhere, as accounts made before this rule may be.
    let Caller::Account { account, name, role, also, member, own_word, purpose, expires, .. } =
        named("eve", Role::Member, Some(id))
    else {
        unreachable!()
    };
    let point = code("HK");
    let stray =
        Caller::Account { account, name, role, point, also, member, own_word, purpose, expires };
    assert!(matches!(members::get(app, &stray, id).await, Err(Error::NotFound { .. })));
    let erased = members::erase(app, &stray, id, Wish::default()).await.map(|_| ());
    assert!(matches!(erased, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn who_audits_a_hosted_point_reads_nothing_of_its_host() {
    let node = founder().await;
    let app = &node.app;
    let id = person(app, &named("ann", Role::Staff, None)).await;
    let lines = async |caller: &Caller| list(app, caller, Asked::default()).await.unwrap().lines;
    for role in [Role::Auditor, Role::ProvincialAdmin] {
        assert!(!lines(&named("kim", role, None)).await.is_empty());
        assert!(lines(&account(role, "HK")).await.is_empty(), "{role:?}");
    }
    assert!(members::list_copies(app, &named("kim", Role::Auditor, None), id).await.is_ok());
    let foreign = members::list_copies(app, &account(Role::Auditor, "HK"), id).await.map(|_| ());
    assert!(matches!(foreign, Err(Error::NotFound { .. })));
    let province = account(Role::ProvincialAdmin, "HK");
    let closable = sight::homes(app, &province, Operation::OpenPoint);
    assert!(closable.is_empty(), "{closable:?}");
}

#[tokio::test]
async fn who_audits_reads_the_ledger_of_consents_and_not_the_person() {
    let node = founder().await;
    let app = &node.app;
    let ann = named("ann", Role::Staff, None);
    let id = person(app, &ann).await;
    let grant = v1::Grant {
        member: id.to_string(),
        purpose: "profile.network".into(),
        text_version: "v1".into(),
        text_language: "zh-Hans".into(),
        given_via: 3,
        ..v1::Grant::default()
    };
    members::give(app, &ann, grant, "").await.unwrap();
    for (role, point, may) in [
        (Role::Auditor, FOUNDER, true),
        (Role::Auditor, "HK", false),
        (Role::ProvincialAdmin, FOUNDER, false),
        (Role::Volunteer, FOUNDER, false),
    ] {
        let caller = account(role, point);
        let listed = members::list_grants(app, &caller, id, 0, "").await;
        assert_eq!(listed.is_ok_and(|(grants, _)| grants.len() == 1), may, "{role:?} {point}");
    }
    let seen = members::get(app, &account(Role::Auditor, FOUNDER), id).await.map(|_| ());
    assert!(matches!(seen, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn who_is_in_the_ledger_stays_erased() {
    let node = founder().await;
    let app = &node.app;
    let ann = named("ann", Role::Staff, None);
    let id = person(app, &ann).await;
    let feed = FeedId::new(code(FOUNDER), Audience::Home);
    let stored = super::records::find(app, id).await.unwrap().remove(0).row.payload.to_vec();
    let deed = ann.deed(Operation::EraseMember);
    members::execute_erasure(app, deed, &code(FOUNDER), id).await.unwrap();

    // What an old backup brings back is not read, and goes with the next start.
    let back = Change::new().put(feed, Kind::MEMBER, id, stored);
    app.writer.commit(back).await.unwrap();
    assert!(matches!(members::get(app, &ann, id).await, Err(Error::NotFound { .. })));
    let words = members::Search { words: "欧阳若晴".into(), ..Default::default() };
    assert!(members::search(app, &ann, words).await.unwrap().items.is_empty());
    assert_eq!(super::records::find_even_erased(app, id).await.unwrap().len(), 1);
    members::replay(app).await.unwrap();
    assert!(super::records::find_even_erased(app, id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_person_reaches_the_own_record_alone_and_no_other() {
    let node = founder().await;
    let app = &node.app;
    let ann = named("ann", Role::Staff, None);
    let (id, other) = (person(app, &ann).await, named_person(app, &ann, "若云").await);
    let own = named("eve", Role::Member, Some(id));
    assert!(members::get(app, &own, id).await.is_ok());
    assert!(matches!(members::get(app, &own, other).await, Err(Error::NotFound { .. })));
    let wish = || Wish::default();
    let others = members::erase(app, &own, other, wish()).await.map(|_| ());
    assert!(matches!(others, Err(Error::NotFound { .. })));
    let held = members::access(app, &own, id).await.unwrap();
    assert!(held.member.is_some() && held.approval.is_empty());
    assert!(held.lines.iter().any(|line| line.actor == "ann" && line.operation == "create_member"));
    let seen = list(app, &own, Asked::default()).await.unwrap().lines;
    assert!(seen.iter().all(|line| line.record == id) && !seen.is_empty());
    let foreign = Asked { record: Some(other), ..Asked::default() };
    assert!(matches!(list(app, &own, foreign).await, Err(Error::NotFound { .. })));

    // Somebody else gets the same only with a second person, and once.
    sign_up(app, &ann).await;
    let answer = members::access(app, &ann, id).await.unwrap();
    assert!(answer.member.is_none());
    let approval = RecordId::parse(&answer.approval, "id").unwrap();
    approvals::give(app, &named("bob", Role::Staff, None), approval).await.unwrap();
    assert!(members::access(app, &ann, id).await.unwrap().member.is_some());
    assert!(members::access(app, &ann, id).await.unwrap().member.is_none());

    let erased = members::erase(app, &own, id, wish()).await.unwrap();
    assert!(matches!(erased, ErasureAnswer::Done(_)));
    assert!(matches!(members::get(app, &own, id).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_provincial_admin_is_made_by_two_persons() {
    let node = founder().await;
    let app = &node.app;
    let operator = Caller::Operator { point: code(FOUNDER) };
    let new = NewAccount {
        name: "gov".into(),
        password: "long enough".into(),
        role: Role::Staff,
        point: None,
        member: None,
    };
    let now = app.outside.now();
    app.accounts.create(&operator, new, now, [1; 32]).await.unwrap();
    let change = || RoleChange { role: "provincial_admin".into(), ..RoleChange::default() };
    let (ann, bob) = (named("ann", Role::PointAdmin, None), named("bob", Role::PointAdmin, None));
    sign_up(app, &ann).await;
    let Changed::Asked(approval) = roles::set_role(app, &ann, "gov", change()).await.unwrap()
    else {
        panic!("one person alone has made a provincial admin")
    };
    let role = async || {
        let accounts = app.accounts.list(&operator, "", 10).await.unwrap();
        accounts.iter().find(|account| account.name == "gov").unwrap().role
    };
    assert_eq!(role().await, Role::Staff);
    let listed = approvals::list(app, &bob, 0, "").await.unwrap().0;
    assert_eq!((listed.len(), listed[0].id), (1, approval));
    approvals::give(app, &bob, approval).await.unwrap();
    assert_eq!(role().await, Role::ProvincialAdmin);
    // What others may not do they do not learn of.
    assert!(matches!(
        roles::set_role(app, &ann, "nobody", change()).await.map(|_| ()),
        Err(Error::NotFound { .. })
    ));
}

/// What is known of an account, without its times.
async fn stored(app: &App, name: &str) -> Option<(Role, bool)> {
    let operator = Caller::Operator { point: code(FOUNDER) };
    let accounts = app.accounts.list(&operator, "", 50).await.unwrap();
    let found = accounts.into_iter().find(|account| account.name == name);
    found.map(|account| (account.role, account.disabled.is_some()))
}

fn waits(changed: Changed) -> RecordId {
    match changed {
        Changed::Asked(approval) => approval,
        Changed::Now(account) => panic!("one person alone has changed {account:?}"),
    }
}

fn province(name: &str) -> NewAccount {
    NewAccount {
        name: name.into(),
        password: "long enough".into(),
        role: Role::ProvincialAdmin,
        point: None,
        member: None,
    }
}

#[tokio::test]
async fn a_provincial_admin_is_added_let_in_again_and_closed_by_two() {
    let node = founder().await;
    let app = &node.app;
    let (ann, bob) = (named("ann", Role::PointAdmin, None), named("bob", Role::PointAdmin, None));
    sign_up(app, &ann).await;
    let added = waits(users::create(app, &ann, province("gov")).await.unwrap());
    let again = waits(users::create(app, &ann, province("gov")).await.unwrap());
    assert_eq!(again, added, "asked again it is the same");
    assert_eq!(stored(app, "gov").await, None, "nothing has changed");
    let now = app.outside.now();
    assert!(app.accounts.sign_in("gov", "long enough", "", now, [3; 32]).await.is_err());
    let listed = approvals::list(app, &bob, 0, "").await.unwrap().0;
    assert_eq!(approvals::word_of(&listed[0]), "add_user=provincial_admin");
    assert!(approvals::give(app, &ann, added).await.is_err(), "whoever asks cannot agree as well");
    let given = approvals::give(app, &bob, added).await.unwrap();
    assert_eq!(given.state, ApprovalState::Done, "{given:?}");
    assert_eq!(given.task, "", "no hash of a password is left behind");
    assert_eq!(stored(app, "gov").await, Some((Role::ProvincialAdmin, false)));
    app.accounts.sign_in("gov", "long enough", "", now, [3; 32]).await.unwrap();

    let set = users::set_password(app, &ann, "gov", "quite another", "").await.unwrap();
    let Replaced::Asked(set) = set else { panic!("one person alone has set a password") };
    app.accounts.sign_in("gov", "long enough", "", now, [4; 32]).await.unwrap();
    assert_eq!(approvals::give(app, &bob, set).await.unwrap().state, ApprovalState::Done);
    assert!(app.accounts.sign_in("gov", "long enough", "", now, [5; 32]).await.is_err());
    app.accounts.sign_in("gov", "quite another", "", now, [5; 32]).await.unwrap();

    let closed = waits(users::disable(app, &ann, "gov").await.unwrap());
    assert_eq!(stored(app, "gov").await, Some((Role::ProvincialAdmin, false)));
    assert_eq!(approvals::give(app, &bob, closed).await.unwrap().state, ApprovalState::Done);
    assert_eq!(stored(app, "gov").await, Some((Role::ProvincialAdmin, true)));
    // Closed by one or by two: nothing more happens, and nobody has to agree to that.
    assert!(matches!(users::disable(app, &ann, "gov").await.unwrap(), Changed::Now(_)));
}

#[tokio::test]
async fn what_was_asked_by_somebody_who_may_not_any_more_is_not_done() {
    let node = founder().await;
    let app = &node.app;
    let operator = Caller::Operator { point: code(FOUNDER) };
    let (ann, bob) = (named("ann", Role::PointAdmin, None), named("bob", Role::PointAdmin, None));
    sign_up(app, &ann).await;
    app.accounts.create(&operator, province("old"), app.outside.now(), [1; 32]).await.unwrap();
    let id = person(app, &ann).await;
    let lower = RoleChange { role: "staff".into(), ..RoleChange::default() };
    let Replaced::Asked(password) =
        users::set_password(app, &ann, "old", "quite another", "").await.unwrap()
    else {
        panic!("one person alone has set a password")
    };
    let held = members::access(app, &ann, id).await.unwrap();
    let waiting = [
        asked(app, &ann, id).await,
        RecordId::parse(&held.approval, "id").unwrap(),
        waits(users::create(app, &ann, province("gov")).await.unwrap()),
        waits(users::disable(app, &ann, "old").await.unwrap()),
        waits(roles::set_role(app, &ann, "old", lower).await.unwrap()),
        password,
    ];
    // Ann audits from now on.
    let change = RoleChange { role: "auditor".into(), ..RoleChange::default() };
    roles::set_role(app, &operator, "ann", change).await.unwrap();
    for approval in waiting {
        let given = approvals::give(app, &bob, approval).await.unwrap();
        assert_eq!(given.state, ApprovalState::Failed, "{given:?}");
        assert_eq!(given.outcome, "ASKER_NOT_ENTITLED", "{given:?}");
    }
    assert!(members::get(app, &bob, id).await.is_ok());
    assert_eq!(stored(app, "old").await, Some((Role::ProvincialAdmin, false)));
    assert_eq!(stored(app, "gov").await, None);
    let now = app.outside.now();
    app.accounts.sign_in("old", "long enough", "", now, [5; 32]).await.unwrap();
}

#[tokio::test]
async fn what_has_gone_since_it_was_asked_is_not_done() {
    let node = founder().await;
    let app = &node.app;
    let operator = Caller::Operator { point: code(FOUNDER) };
    let (ann, bob) = (named("ann", Role::PointAdmin, None), named("bob", Role::PointAdmin, None));
    sign_up(app, &ann).await;
    app.accounts.create(&operator, province("old"), app.outside.now(), [1; 32]).await.unwrap();
    let id = person(app, &ann).await;
    let held = members::access(app, &ann, id).await.unwrap();
    let own = named("eve", Role::Member, Some(id));
    let erased = members::erase(app, &own, id, Wish::default()).await.unwrap();
    assert!(matches!(erased, ErasureAnswer::Done(_)));
    let held = RecordId::parse(&held.approval, "id").unwrap();
    let gone = approvals::give(app, &bob, held).await.map(|_| ());
    assert!(matches!(gone, Err(Error::NotFound { .. })), "it went with the person: {gone:?}");

    let lower = RoleChange { role: "staff".into(), ..RoleChange::default() };
    let role = waits(roles::set_role(app, &ann, "old", lower).await.unwrap());
    let added = waits(users::create(app, &ann, province("gov")).await.unwrap());
    users::disable(app, &operator, "old").await.unwrap();
    app.accounts.create(&operator, province("gov"), app.outside.now(), [2; 32]).await.unwrap();
    for (approval, outcome) in [(role, "USER_DISABLED"), (added, "ALREADY_EXISTS")] {
        let given = approvals::give(app, &bob, approval).await.unwrap();
        assert_eq!((given.state, given.outcome.as_str()), (ApprovalState::Failed, outcome));
    }
}

#[tokio::test]
async fn a_role_holds_from_and_to_its_moments() {
    let node = founder().await;
    let app = &node.app;
    let operator = Caller::Operator { point: code(FOUNDER) };
    let new = NewAccount {
        name: "vol".into(),
        password: "long enough".into(),
        role: Role::Volunteer,
        point: None,
        member: None,
    };
    let at = |ms| crate::domain::time::Time::from_millis(ms);
    app.accounts.create(&operator, new, at(0), [1; 32]).await.unwrap();
    let ann = named("ann", Role::PointAdmin, None);
    let change = RoleChange {
        role: "staff".into(),
        also: true,
        from_us: Some(at(1_000).0),
        to_us: Some(at(2_000).0),
        ..RoleChange::default()
    };
    assert!(matches!(
        roles::set_role(app, &ann, "vol", change).await.unwrap(),
        Changed::Now(account) if account.grants.len() == 1
    ));
    let signed = app.accounts.sign_in("vol", "long enough", "", at(500), [3; 32]).await.unwrap();
    let token = signed.token.reveal();
    for (ms, may) in [(500, false), (1_000, true), (1_999, true), (2_000, false)] {
        let caller = app.accounts.caller(&token, at(ms)).await.unwrap();
        assert_eq!(caller.may(Operation::CreateMember).is_ok(), may, "at {ms} ms");
    }
    let ended = RoleChange { role: "staff".into(), ended: true, ..RoleChange::default() };
    assert!(matches!(
        roles::set_role(app, &ann, "vol", ended).await.unwrap(),
        Changed::Now(account) if account.grants.is_empty()
    ));
}

#[test]
fn an_approval_is_open_for_days_and_not_for_ever() {
    assert!((1..=7).contains(&(OPEN_US / 86_400_000_000)));
}
