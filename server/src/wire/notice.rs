//! Where people are told of news, message <-> value.

use yizhan_proto::v1::{self, notice_settings::Way, notice_webhook::Kind};

use crate::{
    app::notices::Reader,
    domain::{contact::Email, language::Language, notice::Quiet, text::Invalid},
    notify::{
        http::Address,
        robot::Manner,
        target::{Target, Webhook},
    },
};

/// What to set; none: nowhere. `hosts` are those that robots may stand on.
pub fn reader(
    message: Option<v1::NoticeSettings>,
    hosts: &[String],
) -> Result<Option<Reader>, Invalid> {
    let message = message.unwrap_or_default();
    let Some(way) = message.way else { return Ok(None) };
    let target = match way {
        Way::Email(email) => Target::Email(Email::parse(&email, "settings.email")?),
        Way::Webhook(webhook) => {
            let manner = match webhook.kind() {
                Kind::Unspecified => {
                    return Err(Invalid::new("settings.webhook.kind", "required"));
                }
                Kind::Generic => Manner::Generic,
                Kind::Wecom => Manner::WeCom,
                Kind::Dingtalk => Manner::DingTalk,
                Kind::Feishu => Manner::Feishu,
            };
            let (url, secret) = (&webhook.url, &webhook.secret);
            Target::Webhook(Webhook::new(manner, url, secret, hosts, "settings.webhook.url")?)
        }
    };
    let language = Language::parse(&message.language, "settings.language")?;
    Ok(Some(Reader { target, language, quiet: quiet(message.quiet_hours)? }))
}

/// What is set, without what is secret.
pub fn settings(reader: Reader) -> v1::NoticeSettings {
    let way = match &reader.target {
        Target::Email(email) => Way::Email(email.as_str().to_owned()),
        Target::Webhook(webhook) => {
            let kind = match webhook.manner {
                Manner::Generic => Kind::Generic,
                Manner::WeCom => Kind::Wecom,
                Manner::DingTalk => Kind::Dingtalk,
                Manner::Feishu => Kind::Feishu,
            };
            let host = Address::parse(&webhook.url).map(|address| address.host().to_owned());
            let url = host.unwrap_or_default();
            Way::Webhook(v1::NoticeWebhook { kind: kind.into(), url, secret: String::new() })
        }
    };
    v1::NoticeSettings {
        way: Some(way),
        language: reader.language.to_string(),
        quiet_hours: reader.quiet.map(|quiet| v1::QuietHours {
            hours: quiet.hours(),
            time_zone: quiet.zone().to_owned(),
        }),
    }
}

pub fn quiet(message: Option<v1::QuietHours>) -> Result<Option<Quiet>, Invalid> {
    match message {
        None => Ok(None),
        Some(quiet) if quiet.hours.is_empty() => Ok(None),
        Some(quiet) => Quiet::parse(&quiet.hours, &quiet.time_zone, "quiet_hours").map(Some),
    }
}
