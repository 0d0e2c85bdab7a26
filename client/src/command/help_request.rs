//! `yizhan help`: asking for help without an account.
//!
//! The tracking code is made here, shown once, and never sent: what is derived from it is. Messages
//! are sealed and opened here, under a key that only the code and the handlers lead to.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use prost::Message;
use serde_json::{Value, json};
use yizhan_client::{
    answer::Answer,
    channel::{Node, repeating},
    document::{self, help_request as shown, json as to_json, time},
    error::{Error, Result},
    notices::Quiet,
    sealed::{self, BadCode, Key, TrackingCode},
};
use yizhan_proto::v1::{
    ConsentHelpRequestRequest, HelpAnswer, HelpContent, HelpNotices, HelpSecret, HelpText,
    ListHelpCategoriesRequest, RateHelpRequestRequest, ReplyToHelpRequestRequest,
    SetHelpNoticesRequest, SubmitHelpRequestRequest, SupplyLine, TrackHelpRequestRequest,
    TrackHelpRequestResponse, WithdrawHelpRequestRequest,
};

use super::{Context, attachment, read_text};

/// What the client's own copy of the content key is sealed for; bound to the look-up id.
const CLIENT_WRAP: &str = "client wrap";
/// Messages that are fetched, the newest.
const MESSAGES: i32 = 200;

#[derive(Subcommand)]
pub enum Help {
    /// Ask for help
    Submit(Box<Submit>),
    /// How a request stands, and what was answered
    Track(Tracked),
    /// Write to whoever handles it
    Reply {
        #[command(flatten)]
        tracked: Tracked,
        #[command(flatten)]
        text: Text,
    },
    /// Take a request back
    Withdraw(Tracked),
    /// Agree to pass a request to another point, or not
    Consent {
        #[command(flatten)]
        tracked: Tracked,
        /// It stays where it is
        #[arg(long)]
        no: bool,
    },
    /// Say where, when and in which language you are told of news, or that you are not
    Notices {
        #[command(flatten)]
        tracked: Tracked,
        #[command(flatten)]
        wanted: Wanted,
    },
    /// Say how it went
    Rate {
        #[command(flatten)]
        tracked: Tracked,
        /// 1 to 5
        #[arg(long)]
        stars: i32,
    },
    /// What can be asked for, and what is asked in return
    Categories,
}

#[derive(Args)]
pub struct Submit {
    /// Sort of help, such as medical_advice; `yizhan help categories` lists them
    #[arg(long, value_name = "C")]
    category: String,
    /// Country you are in, ISO 3166-1
    #[arg(long, value_name = "CC")]
    country: String,
    /// City abroad, UN/LOCODE
    #[arg(long, default_value = "", value_name = "LOCODE")]
    city: String,
    /// Region code; GB/T 2260 in mainland China
    #[arg(long, default_value = "", value_name = "CODE")]
    region: String,
    /// Language to answer in, BCP 47
    #[arg(long, value_name = "TAG")]
    lang: String,
    #[command(flatten)]
    text: Text,
    /// emergency, urgent, normal or low
    #[arg(long, default_value = "", value_name = "U")]
    urgency: String,
    /// How to reach you
    #[arg(long, default_value = "")]
    contact: String,
    /// Your name
    #[arg(long, default_value = "")]
    name: String,
    /// Answer to a question of the category
    #[arg(long, value_name = "QUESTION=TEXT")]
    answer: Vec<String>,
    /// What you need, for supplies
    #[arg(long, value_name = "ITEM:UNIT:NUMBER")]
    supply: Vec<String>,
    /// A file to send along: pictures, PDF, plain text; at most 20, of 20 MB each
    #[arg(long, value_name = "F")]
    attach: Vec<PathBuf>,
    /// For somebody else, who agrees
    #[arg(long)]
    for_other: bool,
    /// A point you prefer to the one that serves your place
    #[arg(long, default_value = "", value_name = "POINT")]
    point: String,
    /// For people of a desk, signed in: entered for somebody who came by desk, phone, mail, web or wechat
    #[arg(long, value_name = "WAY")]
    channel: Option<String>,
    /// The same key has one effect
    #[arg(long, value_name = "K")]
    key: Option<String>,
}

#[derive(Args)]
pub struct Wanted {
    /// Where to write to; the first address in your contact, if not given
    #[arg(long, default_value = "", value_name = "ADDRESS")]
    email: String,
    /// Language of notices, BCP 47; that of the request, if not given
    #[arg(long, default_value = "", value_name = "TAG")]
    lang: String,
    #[command(flatten)]
    quiet: Quiet,
    /// Tell me nothing
    #[arg(long)]
    off: bool,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
pub struct Text {
    /// What it is about
    #[arg(long)]
    text: Option<String>,
    /// The same from a file; - for stdin
    #[arg(long, value_name = "F")]
    text_file: Option<PathBuf>,
}

#[derive(Args)]
pub struct Tracked {
    /// Such as LON-23-00012-A
    reference: String,
    /// The tracking code
    #[arg(long, value_name = "C", env = "YIZHAN_HELP_CODE", hide_env_values = true)]
    code: String,
}

impl Help {
    pub async fn run(self, context: &Context) -> Result<Answer> {
        match self {
            Help::Submit(submit) => submit.run(context).await,
            Help::Track(tracked) => {
                let code = tracked.code()?;
                let node = context.anonymous().await?;
                Ok(Answer::one(tracked.shown(&tracked.fetch(&node, &code).await?, &code)))
            }
            Help::Reply { tracked, text } => tracked.reply(context, text).await,
            Help::Withdraw(tracked) => tracked.withdraw(context).await,
            Help::Consent { tracked, no } => {
                let code = tracked.code()?;
                let node = context.anonymous().await?;
                let request = ConsentHelpRequestRequest {
                    reference: tracked.reference.clone(),
                    secret: Some(secret(&code)),
                    agree: !no,
                };
                let done = repeating(|| {
                    let (mut help, request) = (node.help_requests(), request.clone());
                    async move { help.consent_help_request(request).await }
                });
                Ok(tracked.moved(done.await?.state).with("agreed", (!no).into()))
            }
            Help::Notices { tracked, wanted } => tracked.set_notices(context, wanted).await,
            Help::Rate { tracked, stars } => {
                let code = tracked.code()?;
                let node = context.anonymous().await?;
                let request = RateHelpRequestRequest {
                    reference: tracked.reference.clone(),
                    secret: Some(secret(&code)),
                    rating: stars,
                };
                let done = repeating(|| {
                    let (mut help, request) = (node.help_requests(), request.clone());
                    async move { help.rate_help_request(request).await }
                });
                Ok(tracked.moved(done.await?.state))
            }
            Help::Categories => categories(context).await,
        }
    }
}

impl Submit {
    async fn run(self, context: &Context) -> Result<Answer> {
        let (code, key) = match &self.key {
            Some(key) => (TrackingCode::of_key(&secret_of(context)?, key), key.clone()),
            None => (TrackingCode::random(), uuid::Uuid::now_v7().to_string()),
        };
        let node = match self.channel {
            Some(_) => context.node().await?,
            None => context.anonymous().await?,
        };
        let files = attachment::upload(&node, &self.attach).await?;
        let content_key = sealed::random_key();
        let lookup_id = code.lookup_id();
        let request = SubmitHelpRequestRequest {
            category: self.category,
            country: self.country,
            city: self.city,
            region_code: self.region,
            language: self.lang,
            urgency: shown::urgency_value(&self.urgency)?,
            content: Some(HelpContent {
                text: self.text.read()?,
                contact: self.contact,
                name: self.name,
                answers: self.answer.iter().map(|text| answer(text)).collect::<Result<_>>()?,
                supplies: self.supply.iter().map(|text| supply(text)).collect::<Result<_>>()?,
                attachments: files.iter().map(|file| file.name.clone()).collect(),
                files,
                ..HelpContent::default()
            }),
            key,
            secret: Some(secret(&code)),
            content_key: content_key.to_vec(),
            client_wrap: sealed::seal_exactly(
                &code.reply_key(),
                CLIENT_WRAP,
                &lookup_id,
                content_key.as_ref(),
            ),
            for_other: self.for_other,
            point: self.point,
            channel: self.channel.unwrap_or_default(),
        };
        let done = repeating(|| {
            let (mut help, request) = (node.help_requests(), request.clone());
            async move { help.submit_help_request(request).await }
        });
        let done = done.await?;
        if done.emergency_first && !done.emergency_numbers.is_empty() {
            eprintln!(
                "In danger? Call {} now. 如有生命危险，请立即拨打 {}。",
                done.emergency_numbers.join(" or "),
                done.emergency_numbers.join(" 或 ")
            );
        }
        if !done.warning.is_empty() {
            eprintln!("{}", done.warning);
        }
        if !done.opens_at.is_empty() {
            let (point, opens) = (&done.owner, &done.opens_at);
            eprintln!(
                "{point} is closed now and opens at {opens} · {point} 现在不在服务时间，{opens} 开始服务"
            );
        }
        let route = done.route.as_ref().map(shown::Route::from).unwrap_or_default();
        Ok(Answer::one(json!({
            "emergency_numbers": done.emergency_numbers,
            "reference": done.reference,
            "code": code.reveal(),
            "owner": done.owner,
            "route": to_json(&route),
            "first_answer_by": done.first_answer_by,
            "time_zone": done.time_zone,
            "emergency_first": done.emergency_first,
            "open_now": done.is_open,
            "warning": done.warning,
            "opens_at": done.opens_at,
            "readers": done.readers.iter().map(shown::reader).collect::<Vec<_>>(),
        })))
    }
}

impl Text {
    fn read(&self) -> Result<String> {
        match (&self.text, &self.text_file) {
            (Some(text), _) => Ok(text.clone()),
            (None, Some(path)) => read_text(path),
            (None, None) => Err(Error::usage("give --text or --text-file")),
        }
    }
}

impl Tracked {
    /// A mistyped code is told before anything is asked.
    fn code(&self) -> Result<TrackingCode> {
        TrackingCode::parse(&self.code).map_err(|bad| {
            let (reason, zh) = match bad {
                BadCode::Length => ("code_malformed", "不是有效的查询码"),
                BadCode::Symbol => ("code_malformed", "含有查询码中没有的字符"),
                BadCode::Check => ("code_mistyped", "有误，请核对"),
            };
            Error::field("code", reason, &bad.to_string(), zh)
                .advice("compare it with what was shown when you asked")
        })
    }

    async fn fetch(&self, node: &Node, code: &TrackingCode) -> Result<TrackHelpRequestResponse> {
        let request = TrackHelpRequestRequest {
            reference: self.reference.clone(),
            secret: Some(secret(code)),
            message_limit: MESSAGES,
        };
        repeating(|| {
            let (mut help, request) = (node.help_requests(), request.clone());
            async move { help.track_help_request(request).await }
        })
        .await
    }

    fn shown(&self, found: &TrackHelpRequestResponse, code: &TrackingCode) -> Value {
        let key = content_key(found, code);
        let id = uuid::Uuid::parse_str(&found.id).unwrap_or_default();
        let open = |purpose: &str, id: &[u8], sealed: &[u8]| {
            let plain = sealed::open(key.as_deref()?, purpose, id, sealed)?;
            HelpText::decode(&plain[..]).ok()
        };
        let mut messages = Vec::new();
        let content = key.as_deref().and_then(|key| {
            let plain = sealed::open(key, "content", id.as_bytes(), &found.content)?;
            HelpContent::decode(&plain[..]).ok()
        });
        if let Some(content) = &content {
            messages.push(json!({
                "from": "client", "at": time(found.received_time.as_ref()), "text": content.text,
            }));
        }
        for message in &found.messages {
            let id = uuid::Uuid::parse_str(&message.id).unwrap_or_default();
            let text = open("message", id.as_bytes(), &message.sealed).map(|words| words.text);
            messages.push(json!({
                "from": shown::author_word(message.author),
                "at": time(message.time.as_ref()),
                "text": text,
            }));
        }
        let clocks: Vec<_> =
            found.clocks.iter().map(|clock| to_json(&shown::Clock::from(clock))).collect();
        json!({
            "reference": found.reference,
            "state": shown::state_word(found.state),
            "label": shown::label(&found.labels, &found.language),
            "label_code": found.label_code,
            "labels": shown::texts(&found.labels).0,
            "owner": found.owner,
            "owner_names": shown::texts(&found.owner_names).0,
            "messages": messages,
            "clocks": clocks,
            "content": content.as_ref().map(shown::content),
            "advice": open("redirect", id.as_bytes(), &found.redirect).map(|words| words.text),
            "duplicate_of": found.duplicate_of,
            "closes_at": time(found.close_due_time.as_ref()),
            "deleted_at": time(found.delete_due_time.as_ref()),
            "handoff_asked": found.handoff_asked.as_ref().map(shown::handoff_asked),
            "route": to_json(&found.route.as_ref().map(shown::Route::from).unwrap_or_default()),
        })
    }

    async fn reply(&self, context: &Context, text: Text) -> Result<Answer> {
        let code = self.code()?;
        let node = context.anonymous().await?;
        let found = self.fetch(&node, &code).await?;
        let key = content_key(&found, &code).ok_or_else(|| {
            Error::failed(
                "NOT_READABLE",
                "the request's key is not here, so nothing can be written",
            )
            .advice(format!("ask at {}", found.owner))
        })?;
        let id = uuid::Uuid::now_v7();
        let words = HelpText { text: text.read()?, by: String::new() };
        let sealed = sealed::seal(&key, "message", id.as_bytes(), &words.encode_to_vec())
            .ok_or_else(|| Error::field("text", "too_long", "is too long", "过长"))?;
        let request = ReplyToHelpRequestRequest {
            reference: self.reference.clone(),
            secret: Some(secret(&code)),
            message_id: id.to_string(),
            sealed,
        };
        let done = repeating(|| {
            let (mut help, request) = (node.help_requests(), request.clone());
            async move { help.reply_to_help_request(request).await }
        });
        Ok(self.moved(done.await?.state))
    }

    async fn withdraw(&self, context: &Context) -> Result<Answer> {
        let code = self.code()?;
        let node = context.anonymous().await?;
        let request = WithdrawHelpRequestRequest {
            reference: self.reference.clone(),
            secret: Some(secret(&code)),
        };
        let done = repeating(|| {
            let (mut help, request) = (node.help_requests(), request.clone());
            async move { help.withdraw_help_request(request).await }
        });
        Ok(self.moved(done.await?.state))
    }

    async fn set_notices(&self, context: &Context, wanted: Wanted) -> Result<Answer> {
        let code = self.code()?;
        let node = context.anonymous().await?;
        let found = self.fetch(&node, &code).await?;
        let key = content_key(&found, &code).ok_or_else(|| {
            Error::failed("NOT_READABLE", "the request's key is not here, so nothing can be set")
                .advice(format!("ask at {}", found.owner))
        })?;
        let id = uuid::Uuid::parse_str(&found.id).unwrap_or_default();
        let notices = HelpNotices {
            off: wanted.off,
            email: wanted.email,
            language: wanted.lang,
            quiet_hours: wanted.quiet.message(),
        };
        let sealed = sealed::seal(&key, "notices", id.as_bytes(), &notices.encode_to_vec())
            .ok_or_else(|| Error::field("email", "too_long", "is too long", "过长"))?;
        let request = SetHelpNoticesRequest {
            reference: self.reference.clone(),
            secret: Some(secret(&code)),
            sealed,
        };
        let done = repeating(|| {
            let (mut help, request) = (node.help_requests(), request.clone());
            async move { help.set_help_notices(request).await }
        });
        Ok(self.moved(done.await?.state).with("notices", (!notices.off).into()))
    }

    fn moved(&self, state: i32) -> Answer {
        let reference = self.reference.trim().to_uppercase();
        Answer::one(json!({"reference": reference, "state": shown::state_word(state)}))
    }
}

/// The content key, out of the copy that the client sealed for itself.
fn content_key(found: &TrackHelpRequestResponse, code: &TrackingCode) -> Option<Key> {
    let plain = sealed::open_exactly(
        &code.reply_key(),
        CLIENT_WRAP,
        &code.lookup_id(),
        &found.client_wrap,
    )?;
    let mut key = Key::default();
    *key = plain[..].try_into().ok()?;
    Some(key)
}

fn secret(code: &TrackingCode) -> HelpSecret {
    HelpSecret { lookup_id: code.lookup_id().to_vec(), mac_key: code.mac_key().to_vec() }
}

/// The profile's secret from which codes of keyed submissions follow; made when it is first needed.
fn secret_of(context: &Context) -> Result<[u8; 32]> {
    let (profiles, name) = (context.profiles()?, context.profile());
    let read = |text: &str| {
        let mut secret = [0; 32];
        hex::decode_to_slice(text, &mut secret).ok().map(|()| secret)
    };
    if let Some(secret) = read(&profiles.get(name)?.help_secret) {
        return Ok(secret);
    }
    let new = sealed::random_key();
    let mut kept = *new;
    profiles.update(name, |profile| match read(&profile.help_secret) {
        // Another command was faster.
        Some(secret) => kept = secret,
        None => profile.help_secret = hex::encode(*new),
    })?;
    Ok(kept)
}

fn answer(text: &str) -> Result<HelpAnswer> {
    let (question, text) = text
        .split_once('=')
        .ok_or_else(|| Error::usage(format!("--answer is QUESTION=TEXT, not {text}")))?;
    Ok(HelpAnswer { question: question.to_owned(), text: text.to_owned() })
}

fn supply(text: &str) -> Result<SupplyLine> {
    let wrong = || Error::usage(format!("--supply is ITEM:UNIT:NUMBER, not {text}"));
    let parts: Vec<&str> = text.split(':').collect();
    let &[item, unit, needed] = &parts[..] else { return Err(wrong()) };
    let needed = needed.parse().map_err(|_| wrong())?;
    Ok(SupplyLine { item: item.to_owned(), unit: unit.to_owned(), needed, ..SupplyLine::default() })
}

async fn categories(context: &Context) -> Result<Answer> {
    let node = context.anonymous().await?;
    let all = repeating(|| {
        let mut help = node.help_requests();
        async move { help.list_help_categories(ListHelpCategoriesRequest {}).await }
    });
    let all = all.await?.categories;
    let items = all.iter().map(|category| {
        let questions = category.questions.iter().map(|question| {
            json!({
                "code": question.code, "texts": document::help_request::texts(&question.texts).0,
                "type": question.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase(),
                "choices": question.choices,
            })
        });
        json!({
            "code": category.code, "names": document::help_request::texts(&category.names).0,
            "questions": questions.collect::<Vec<_>>(),
        })
    });
    Ok(Answer::list(items.collect(), String::new(), &["code", "names"]))
}
