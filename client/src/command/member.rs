//! `yizhan member`.

use std::{
    fs::OpenOptions,
    io::{self, BufRead, IsTerminal, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use yizhan_client::{
    answer::Answer,
    channel::{Node, once, repeating},
    document::{
        self, access,
        answers::{missing, point_state, point_states},
        member::{self, COPY_COLUMNS, FOUND_COLUMNS, GRANT_COLUMNS, channel, role},
        new_home, overlay, parse_day, parse_time, read, same_home, time,
    },
    error::{Error, Result, present},
    pages::{Page, Paging},
    users::needs_approval,
};
use yizhan_proto::v1::{
    self, AccessMemberRequest, CreateMemberRequest, EraseMemberRequest, GetMemberRequest,
    GetMemberResponse, GiveConsentRequest, Grant, LeaveMemberRequest, ListGrantsRequest,
    ListMemberCopiesRequest, MoveMemberRequest, SearchMembersRequest, TransferMemberRequest,
    UpdateMemberRequest, WithdrawConsentRequest, get_member_response::Seen,
};

use super::{Context, member_move, read_json, request_id};

#[derive(Subcommand)]
pub enum Member {
    /// Add a member at your point; nothing is shown to others before a consent
    Create(Create),
    /// One member: the home record, or what its home shows to you
    Get {
        /// Record id
        id: String,
        #[command(flatten)]
        why: Why,
    },
    /// Change a member of your point
    Update(Update),
    /// Find members by name (characters, pinyin, initials) and filters
    Search(Search),
    /// End a membership
    Leave(Leave),
    /// Record a consent
    Consent(Box<Consent>),
    /// End the consents for a purpose
    Withdraw(Withdraw),
    /// A member's consents, newest first
    Grants(Grants),
    /// Remove everything about a member, everywhere
    Erase(Erase),
    /// Everything that is held about a person: where, since when, under which consent, who looked
    Access(Access),
    /// Send a copy of a card to one point, under the person's transfer.to and a declared basis
    Transfer(Transfer),
    /// Make another point the member's home: ask for it yourself, or offer it for the member
    Move(Move),
    /// Moves to and from your point
    Moves {
        /// Those that have ended, too
        #[arg(long)]
        ended: bool,
        /// All pages: there is one
        #[arg(long, hide = true)]
        all: bool,
    },
    /// Take over a member whom another point offers
    Accept {
        /// Id of the move
        id: String,
    },
    /// Say why a member is not taken over
    Decline {
        /// Id of the move
        id: String,
        /// Why; names nobody
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Take a move back
    Recall {
        /// Id of the move
        id: String,
    },
    /// Which points hold or held a copy, and their receipts
    Where {
        /// Record id
        id: String,
    },
}

/// Why records of persons are read; it is in the audit, which the person can read.
#[derive(Args)]
pub struct Why {
    /// Why you look: service, matching, contact, event, help, data_quality, statistics,
    /// subject_request, legal or security
    #[arg(long, value_name = "P")]
    purpose: Option<String>,
}

impl Why {
    fn at(&self, node: Node) -> Result<Node> {
        node.for_purpose(self.purpose.as_deref())
    }
}

#[derive(Args)]
pub struct Create {
    /// JSON of the member, with the keys that `get` prints; - for stdin
    #[arg(long, value_name = "F.json")]
    file: PathBuf,
    /// Code of a hosted point it is for
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
    /// It is another person than this member, who is alike; may be given several times
    #[arg(long, value_name = "ID")]
    other_than: Vec<String>,
}

#[derive(Args)]
pub struct Update {
    /// Record id
    id: String,
    /// JSON of what changes; keys that are left out stay as they are
    #[arg(long, value_name = "F.json")]
    file: PathBuf,
}

#[derive(Args)]
pub struct Search {
    /// Parts of a name; all must match
    #[arg(default_value = "")]
    words: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    paging: Paging,
    /// Prefix of a region code: 44, 440100, GB
    #[arg(long, default_value = "", value_name = "PREFIX")]
    region: String,
    /// Field group, expertise or ISCED-F prefix
    #[arg(long, default_value = "", value_name = "CODE")]
    field: String,
    /// BCP 47: zh also finds zh-Hans
    #[arg(long, default_value = "", value_name = "TAG")]
    language: String,
    /// speaker, key_contact, seat_holder, expert or volunteer
    #[arg(long, default_value = "")]
    role: String,
    /// Code of a home point
    #[arg(long, default_value = "", value_name = "POINT")]
    home: String,
    /// Ask the homes themselves
    #[arg(long)]
    live: bool,
    /// Exit with 0 although some point did not answer
    #[arg(long)]
    allow_partial: bool,
}

#[derive(Args)]
pub struct Leave {
    /// Record id
    id: String,
    /// Last day; today if not given
    #[arg(long, value_name = "DAY")]
    ended_on: Option<String>,
}

#[derive(Args)]
pub struct Consent {
    /// Record id of the member
    id: String,
    /// What for, such as profile.network, or transfer.to:HK with its scope
    #[arg(long)]
    purpose: String,
    /// What it is limited to: an event, a destination, `domestic`
    #[arg(long, default_value = "")]
    scope: String,
    /// Version of the text that was agreed to
    #[arg(long, default_value = "v2", value_name = "V")]
    text_version: String,
    /// Language in which the text was shown
    #[arg(long, default_value = "zh-Hans", value_name = "TAG")]
    text_language: String,
    /// web, desk or paper
    #[arg(long, default_value = "desk")]
    via: String,
    /// When it was given; now if not given
    #[arg(long, value_name = "T")]
    given_at: Option<String>,
    /// When it ends by itself
    #[arg(long, value_name = "T")]
    expires_at: Option<String>,
    /// Code of the point that states it for the person; paper only
    #[arg(long, default_value = "", value_name = "POINT")]
    asserted_by: String,
    /// SHA-256 of the text that was agreed to, in hex
    #[arg(long, default_value = "", value_name = "HEX")]
    text_hash: String,
    /// SHA-256 of what proves it, in hex
    #[arg(long, default_value = "", value_name = "HEX")]
    evidence_hash: String,
}

#[derive(Args)]
pub struct Withdraw {
    /// Record id of the member
    id: String,
    /// What for, such as profile.network, or transfer.to:HK with its scope
    #[arg(long)]
    purpose: String,
    /// Only consents limited to this
    #[arg(long, default_value = "")]
    scope: String,
}

#[derive(Args)]
pub struct Grants {
    /// Record id of the member
    id: String,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Args)]
pub struct Erase {
    /// Record id
    id: String,
    /// Do not ask on a terminal
    #[arg(long)]
    yes: bool,
    /// Only say what would go
    #[arg(long)]
    preview: bool,
    /// How you made sure that the person has asked: in_person, document_seen or known
    #[arg(long, default_value = "", value_name = "HOW")]
    identity: String,
}

/// What is checked is what the network's keeper has declared (`yizhand basis`); it is no legal advice.
#[derive(Args)]
pub struct Transfer {
    /// Record id
    id: String,
    /// Code of the destination
    #[arg(long, value_name = "POINT")]
    to: String,
}

/// Both points and the person have to agree: staff offers what the member has asked for, or what a
/// consent for transfer.to allows; the other point accepts.
#[derive(Args)]
pub struct Move {
    /// Record id
    id: String,
    /// Code of the point that is to be home
    #[arg(long, value_name = "POINT")]
    to: String,
    /// For the staff there; names nobody
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
}

#[derive(Args)]
pub struct Access {
    /// Record id
    id: String,
    /// JSON lines for programs, or a page for the person
    #[arg(long, value_enum, default_value_t = AccessFormat::Jsonl)]
    format: AccessFormat,
    /// A new file, readable by you alone; printed if not given
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum AccessFormat {
    Jsonl,
    Html,
}

impl Member {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        let node = context.node().await?;
        match self {
            Member::Create(create) => create.run(&node).await,
            Member::Get { id, why } => {
                let node = why.at(node)?;
                let answer = get(&node, &id).await?;
                let state = answer.point.as_ref().map(point_state);
                let shown = Answer::one(member::seen(&answer));
                Ok(shown.with("points", state.into_iter().collect()))
            }
            Member::Update(update) => update.run(&node).await,
            Member::Search(search) => search.run(node).await,
            Member::Leave(leave) => leave.run(&node).await,
            Member::Consent(consent) => consent.run(&node).await,
            Member::Withdraw(withdraw) => withdraw.run(&node).await,
            Member::Grants(grants) => grants.run(&node).await,
            Member::Erase(erase) => erase.run(&node).await,
            Member::Access(access) => access.run(&node).await,
            Member::Transfer(transfer) => transfer.run(&node).await,
            Member::Move(wish) => {
                let request = MoveMemberRequest { member: wish.id, to: wish.to, note: wish.note };
                member_move::start(&node, request).await
            }
            Member::Moves { ended, all: _ } => member_move::list(&node, ended).await,
            Member::Accept { id } => member_move::accept(&node, id).await,
            Member::Decline { id, reason } => member_move::decline(&node, id, reason).await,
            Member::Recall { id } => member_move::recall(&node, id).await,
            Member::Where { id } => copies(&node, id).await,
        }
    }
}

impl Create {
    async fn run(self, node: &Node) -> Result<Answer> {
        let document: member::Member = read(read_json(&self.file)?)?;
        let request = CreateMemberRequest {
            member: Some(v1::Member::try_from(&document)?),
            request_id: request_id(),
            home: new_home(self.home, &document.home)?,
            other_than: self.other_than,
        };
        let created = repeating(|| {
            let (mut members, request) = (node.members(), request.clone());
            async move { members.create_member(request).await }
        });
        shown(created.await?.member)
    }
}

impl Update {
    async fn run(self, node: &Node) -> Result<Answer> {
        let change = read_json(&self.file)?;
        let current = json_of(&home_record(node, &self.id).await?);
        let changed: member::Member = read(overlay(current.clone(), change))?;
        same_home(&current, &changed.home)?;
        let request = UpdateMemberRequest { member: Some(v1::Member::try_from(&changed)?) };
        shown(once(node.members().update_member(request)).await?.member)
    }
}

impl Search {
    async fn run(self, node: Node) -> Result<Answer> {
        let node = &self.why.at(node)?;
        let asked = SearchMembersRequest {
            words: self.words,
            region: self.region,
            field: self.field,
            language: self.language,
            role: role(&self.role)?,
            home: self.home,
            live: self.live,
            ..SearchMembersRequest::default()
        };
        let fetch = async |page_size, page_token: String| {
            let request = SearchMembersRequest { page_size, page_token, ..asked.clone() };
            let answer = repeating(|| {
                let (mut members, request) = (node.members(), request.clone());
                async move { members.search_members(request).await }
            });
            let answer = answer.await?;
            let next_page_token = answer.next_page_token;
            Ok(Page { items: answer.items, next_page_token, rest: answer.points })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(member::found).collect();
        let mut answer = Answer::list(items, page.next_page_token, FOUND_COLUMNS)
            .with("points", point_states(&page.rest));
        if self.live && !self.allow_partial {
            answer.missing = missing(&page.rest);
        }
        Ok(answer)
    }
}

impl Leave {
    async fn run(self, node: &Node) -> Result<Answer> {
        let ended_on = self.ended_on.as_deref().map(|day| parse_day(day, "ended_on"));
        let ended_on = ended_on.transpose()?;
        let etag = home_record(node, &self.id).await?.etag;
        let request = LeaveMemberRequest { id: self.id, ended_on, etag };
        shown(once(node.members().leave_member(request)).await?.member)
    }
}

impl Consent {
    async fn run(self, node: &Node) -> Result<Answer> {
        let time = |text: &Option<String>, field| {
            text.as_deref().map(|text| parse_time(text, field)).transpose()
        };
        let (purpose, scope) = purpose_and_scope(self.purpose, self.scope);
        let grant = Grant {
            member: self.id,
            purpose,
            scope,
            text_version: self.text_version,
            text_language: self.text_language,
            given_via: channel(&self.via)?,
            given_time: time(&self.given_at, "given_at")?,
            expire_time: time(&self.expires_at, "expires_at")?,
            asserted_by: self.asserted_by,
            text_hash: hash(&self.text_hash, "text_hash")?,
            evidence_hash: hash(&self.evidence_hash, "evidence_hash")?,
            ..Grant::default()
        };
        let request = GiveConsentRequest { grant: Some(grant), request_id: request_id() };
        let given = repeating(|| {
            let (mut members, request) = (node.members(), request.clone());
            async move { members.give_consent(request).await }
        });
        Ok(Answer::one(member::grant(&present(given.await?.grant)?)))
    }
}

impl Withdraw {
    async fn run(self, node: &Node) -> Result<Answer> {
        let (purpose, scope) = purpose_and_scope(self.purpose, self.scope);
        let request = WithdrawConsentRequest { member: self.id.clone(), purpose, scope };
        let ended = repeating(|| {
            let (mut members, request) = (node.members(), request.clone());
            async move { members.withdraw_consent(request).await }
        });
        let ended: Vec<Value> = ended.await?.grants.iter().map(member::grant).collect();
        Ok(Answer::list(ended, String::new(), GRANT_COLUMNS).with("id", self.id.into()))
    }
}

impl Grants {
    async fn run(self, node: &Node) -> Result<Answer> {
        let fetch = async |page_size, page_token: String| {
            let member = self.id.clone();
            let request = ListGrantsRequest { member, page_size, page_token };
            let answer = repeating(|| {
                let (mut members, request) = (node.members(), request.clone());
                async move { members.list_grants(request).await }
            });
            let answer = answer.await?;
            Ok(Page { items: answer.items, next_page_token: answer.next_page_token, rest: () })
        };
        let page = self.paging.fetch(fetch).await?;
        let items = page.items.iter().map(member::grant).collect();
        Ok(Answer::list(items, page.next_page_token, GRANT_COLUMNS))
    }
}

impl Erase {
    async fn run(self, node: &Node) -> Result<Answer> {
        if !self.yes && !self.preview && io::stdin().is_terminal() && io::stderr().is_terminal() {
            eprint!("Everything about {} is removed, here and everywhere. Type yes: ", self.id);
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            read.map_err(|error| Error::failed("INPUT", format!("cannot read: {error}")))?;
            if line.trim() != "yes" {
                return Err(Error::failed("NOT_CONFIRMED", "nothing was removed"));
            }
        }
        let request = EraseMemberRequest {
            id: self.id.clone(),
            request_id: request_id(),
            preview: self.preview,
            identity: self.identity,
        };
        let erased = repeating(|| {
            let (mut members, request) = (node.members(), request.clone());
            async move { members.erase_member(request).await }
        });
        let erased = erased.await?;
        if let Some(preview) = erased.preview {
            return Ok(Answer::one(json!({
                "id": self.id,
                "records": preview.records,
                "appearances": preview.appearances,
                "points": preview.points,
            })));
        }
        if !erased.approval.is_empty() {
            return Ok(needs_approval(erased.approval).with("id", self.id.into()));
        }
        let removed = erased.removed_records;
        let order = erased.order;
        Ok(Answer::one(json!({"id": self.id, "removed_records": removed, "order": order})))
    }
}

impl Transfer {
    async fn run(self, node: &Node) -> Result<Answer> {
        let request = TransferMemberRequest { member: self.id, to: self.to };
        let sent = once(node.transfers().transfer_member(request)).await?;
        Ok(Answer::one(member::transfer(&sent)))
    }
}

impl Access {
    async fn run(self, node: &Node) -> Result<Answer> {
        let request = AccessMemberRequest { id: self.id.clone() };
        let held = once(node.members().access_member(request)).await?;
        if !held.approval.is_empty() {
            return Ok(needs_approval(held.approval).with("id", self.id.into()));
        }
        let lines = access::lines(&held);
        let Some(path) = self.to else {
            if self.format == AccessFormat::Html {
                return Err(Error::usage("a page needs a file").advice("give --to FILE"));
            }
            return Ok(Answer::list(lines, String::new(), &["kind", "purpose", "point", "state"]));
        };
        let text = match self.format {
            AccessFormat::Html => access::html(&held),
            AccessFormat::Jsonl => lines.iter().map(|line| format!("{line}\n")).collect(),
        };
        let shown = path.display().to_string();
        let mut file = OpenOptions::new();
        let written = file.write(true).create_new(true).mode(0o600).open(&path);
        let written = written.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| Error::failed("FILE", format!("cannot write {shown}: {error}")))?;
        Ok(Answer::one(json!({"id": self.id, "file": shown, "lines": lines.len()})))
    }
}

/// `transfer.to:HK` is `transfer.to` with the scope HK.
fn purpose_and_scope(purpose: String, scope: String) -> (String, String) {
    match purpose.split_once(':') {
        Some((purpose, within)) if scope.is_empty() => (purpose.to_owned(), within.to_owned()),
        _ => (purpose, scope),
    }
}

async fn copies(node: &Node, id: String) -> Result<Answer> {
    let answer = repeating(|| {
        let (mut members, id) = (node.members(), id.clone());
        async move { members.list_member_copies(ListMemberCopiesRequest { id }).await }
    });
    let answer = answer.await?;
    let copies: Vec<Value> = answer.copies.iter().map(member::copy).collect();
    let mut document = json!({"id": answer.id, "copies": copies});
    if !answer.moved_to.is_empty() {
        document["moved_to"] = answer.moved_to.into();
    }
    if let Some(certificate) = answer.certificate {
        document["certificate"] = json!({
            "order": certificate.order,
            "ordered_at": time(certificate.order_time.as_ref()),
            "points": certificate.points,
            "receipts": certificate.receipts,
            "state": certificate.state,
            "exceptions": certificate.exceptions.iter().map(member::exception).collect::<Vec<_>>(),
        });
    }
    Ok(Answer::shaped(document, "copies", COPY_COLUMNS))
}

async fn get(node: &Node, id: &str) -> Result<GetMemberResponse> {
    repeating(|| {
        let (mut members, id) = (node.members(), id.to_owned());
        async move { members.get_member(GetMemberRequest { id }).await }
    })
    .await
}

/// The record itself, which only its home has and only some may see.
async fn home_record(node: &Node, id: &str) -> Result<v1::Member> {
    let answer = get(node, id).await?;
    match answer.seen {
        Some(Seen::Member(member)) => Ok(member),
        _ => Err(Error::failed("NOT_HOME", format!("the member's home is {}", answer.home))
            .advice("ask that point's node, as one of its staff")),
    }
}

fn json_of(member: &v1::Member) -> Value {
    document::json(&member::Member::from(member))
}

fn hash(text: &str, field: &str) -> Result<Vec<u8>> {
    hex::decode(text).map_err(|_| Error::field(field, "not_hex", "is not hex", "不是十六进制"))
}

fn shown(member: Option<v1::Member>) -> Result<Answer> {
    Ok(Answer::one(json_of(&present(member)?)))
}
