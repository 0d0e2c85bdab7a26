//! Where whoever is signed in wants to be told of news.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use yizhan_proto::v1::{
    GetNoticeSettingsRequest, NoticeSettings, NoticeWebhook, QuietHours, SetNoticeSettingsRequest,
    notice_settings::Way, notice_webhook::Kind,
};

use crate::{
    answer::Answer,
    channel::{Node, once, repeating},
    error::{Error, Result},
};

/// Without a way, shows what is set.
#[derive(Args)]
#[group(id = "way", multiple = false, args = ["email", "webhook", "off"])]
pub struct Notices {
    /// Tell me by mail
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Tell my robot, at this https address
    #[arg(long, value_name = "URL", requires = "kind")]
    webhook: Option<String>,
    /// generic, wecom, dingtalk or feishu
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// File with the secret that the robot checks signatures with
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Language of notices, BCP 47
    #[arg(long, default_value = "zh-Hans", value_name = "TAG")]
    lang: String,
    #[command(flatten)]
    quiet: Quiet,
    /// Tell me nothing any more
    #[arg(long)]
    off: bool,
}

/// When not to be told.
#[derive(Args)]
pub struct Quiet {
    /// Hours without notices, such as 22:00-08:00
    #[arg(long, value_name = "HOURS", requires = "zone")]
    quiet: Option<String>,
    /// IANA zone of those hours, such as Europe/London
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
}

impl Quiet {
    pub fn message(self) -> Option<QuietHours> {
        let time_zone = self.zone.unwrap_or_default();
        self.quiet.map(|hours| QuietHours { hours, time_zone })
    }
}

pub async fn run(node: &Node, notices: Notices) -> Result<Answer> {
    let way = match (notices.email, notices.webhook, notices.off) {
        (None, None, false) => {
            let asked = repeating(|| {
                let mut node = node.notices();
                async move { node.get_notice_settings(GetNoticeSettingsRequest {}).await }
            });
            let found = asked.await?;
            return Ok(Answer::one(document(found.settings, found.active)));
        }
        (Some(email), ..) => Some(Way::Email(email)),
        (None, Some(url), _) => {
            let secret = match notices.secret_file {
                Some(file) => std::fs::read_to_string(&file)
                    .map_err(|error| {
                        Error::usage(format!(
                            "--secret-file {} cannot be read: {error}",
                            file.display()
                        ))
                    })?
                    .trim_end()
                    .to_owned(),
                None => String::new(),
            };
            let kind = kind(notices.kind.as_deref().unwrap_or_default())?.into();
            Some(Way::Webhook(NoticeWebhook { kind, url, secret }))
        }
        (None, None, true) => None,
    };
    let settings =
        NoticeSettings { way, language: notices.lang, quiet_hours: notices.quiet.message() };
    let request = SetNoticeSettingsRequest { settings: Some(settings) };
    let done = once(node.notices().set_notice_settings(request)).await?;
    if done.settings.is_some() && !done.active {
        eprintln!("This node has not set up that way yet: ask its operator.");
    }
    Ok(Answer::one(document(done.settings, done.active)))
}

fn kind(text: &str) -> Result<Kind> {
    match text {
        "generic" => Ok(Kind::Generic),
        "wecom" => Ok(Kind::Wecom),
        "dingtalk" => Ok(Kind::Dingtalk),
        "feishu" => Ok(Kind::Feishu),
        _ => Err(Error::usage("--kind is generic, wecom, dingtalk or feishu")),
    }
}

fn document(settings: Option<NoticeSettings>, active: bool) -> Value {
    let settings = settings.unwrap_or_default();
    let quiet = settings.quiet_hours.unwrap_or_default();
    let (way, address) = match settings.way {
        None => ("none", String::new()),
        Some(Way::Email(email)) => ("email", email),
        Some(Way::Webhook(webhook)) => ("webhook", webhook.url),
    };
    json!({
        "way": way,
        "address": address,
        "language": settings.language,
        "quiet": quiet.hours,
        "zone": quiet.time_zone,
        "active": active,
    })
}
