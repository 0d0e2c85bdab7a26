//! What people are told, and when: texts without anything personal, quiet hours, and the pauses
//! between attempts.
//!
//! A notice names a reference and a label. Whoever reads it over somebody's shoulder, or on a mail
//! server on the way, learns that there is news, and not what.

use jiff::{Timestamp, tz::TimeZone};

use super::{code::named, language::Language, text::Invalid, time::Time};

/// Attempts to deliver one notice.
pub const ATTEMPTS_MAX: u32 = 12;
/// Pause after the first failed attempt; doubled each time.
const PAUSE_MIN_US: i64 = 60 * 1_000_000;
/// Longest pause between attempts.
const PAUSE_MAX_US: i64 = 6 * 60 * 60 * 1_000_000;
const MINUTE_US: i64 = 60 * 1_000_000;
const DAY_MINUTES: u16 = 24 * 60;

named! { /// By which way somebody is told.
    Channel, "unknown_notice_channel";
    Email = 1 "email",
    /// The point's own robot in a chat, or any receiver of webhooks.
    Webhook = 2 "webhook",
}

named! { /// What somebody is told of.
    Fact, "unknown_fact";
    // To the desk.
    NewRequest = 1 "new_request",
    ClientWrote = 2 "client_wrote",
    Escalated = 3 "escalated",
    HandoffOffered = 4 "handoff_offered",
    HandoffDecided = 5 "handoff_decided",
    // To the client.
    Answered = 10 "answered",
    Waiting = 11 "waiting",
    ConsentAsked = 12 "consent_asked",
    PassedOn = 13 "passed_on",
    Done = 14 "done",
    NotOurs = 15 "not_ours",
    Opened = 16 "opened",
    DeletionAhead = 17 "deletion_ahead",
    ClosingAhead = 18 "closing_ahead",
}

/// The languages that notices are written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Script {
    Simplified,
    Traditional,
    English,
}

impl Script {
    /// Chinese of whatever kind is read in one of its two scripts; everybody else reads English.
    fn of(language: &Language) -> Script {
        match (language.primary(), language.as_str()) {
            ("zh" | "yue" | "nan" | "hak" | "cmn" | "wuu" | "hsn" | "gan", tag) => {
                let traditional = ["Hant", "HK", "MO", "TW"].iter().any(|part| tag.contains(part));
                let cantonese = matches!(language.primary(), "yue") && !tag.contains("Hans");
                if traditional || cantonese { Script::Traditional } else { Script::Simplified }
            }
            _ => Script::English,
        }
    }
}

/// Subject and body of a notice, in the reader's language.
pub fn text(fact: Fact, language: &Language, reference: &str, label: &str) -> (String, String) {
    let script = Script::of(language);
    let said = words(fact, script);
    let subject = match script {
        Script::Simplified | Script::Traditional => format!("{reference}：{said}"),
        Script::English => format!("{reference}: {said}"),
    };
    let state = match (label, script) {
        ("", _) => String::new(),
        (label, Script::Simplified | Script::Traditional) => format!("（{label}）"),
        (label, Script::English) => format!(" ({label})"),
    };
    let foot = match (is_for_client(fact), script) {
        (true, Script::Simplified) => {
            "请凭您的查询码在任一联络点的网页或客户端查看。本邮件自动发出，请勿回复。"
        }
        (true, Script::Traditional) => {
            "請憑您的查詢碼在任一聯絡點的網頁或用戶端查看。本郵件自動發出，請勿回覆。"
        }
        (true, Script::English) => {
            "Look it up with your tracking code at any contact point. Sent automatically: please do \
             not answer this message."
        }
        (false, Script::Simplified) => "请登录工作台查看。",
        (false, Script::Traditional) => "請登入工作台查看。",
        (false, Script::English) => "Sign in to the desk to see it.",
    };
    let body = format!("{subject}{state}\n\n{foot}\n");
    (subject, body)
}

/// The one of zh-Hans, zh-Hant and en that a reader of `language` reads.
pub fn in_script<'a>(language: &Language, texts: &[&'a str; 3]) -> &'a str {
    match Script::of(language) {
        Script::Simplified => texts[0],
        Script::Traditional => texts[1],
        Script::English => texts[2],
    }
}

/// Is it told to a client, and not to the desk?
pub fn is_for_client(fact: Fact) -> bool {
    match fact {
        Fact::NewRequest
        | Fact::ClientWrote
        | Fact::Escalated
        | Fact::HandoffOffered
        | Fact::HandoffDecided => false,
        Fact::Answered
        | Fact::Waiting
        | Fact::ConsentAsked
        | Fact::PassedOn
        | Fact::Done
        | Fact::NotOurs
        | Fact::Opened
        | Fact::DeletionAhead
        | Fact::ClosingAhead => true,
    }
}

fn words(fact: Fact, script: Script) -> &'static str {
    let (hans, hant, en) = match fact {
        Fact::NewRequest => ("有新的求助", "有新的求助", "A new request has come in"),
        Fact::ClientWrote => ("求助人有新留言", "求助人有新留言", "The client has written"),
        Fact::Escalated => ("求助已超时", "求助已逾時", "A request is overdue"),
        Fact::HandoffOffered => ("有求助待接收", "有求助待接收", "A request is offered to you"),
        Fact::HandoffDecided => {
            ("对方已答复您的转交", "對方已答覆您的轉交", "Your handoff was answered")
        }
        Fact::Answered => ("您的求助有新答复", "您的求助有新答覆", "There is an answer for you"),
        Fact::Waiting => ("我们在等您回复", "我們在等您回覆", "We are waiting for your answer"),
        Fact::ConsentAsked => {
            ("转交前请您同意", "轉交前請您同意", "May we pass your request on? Please answer")
        }
        Fact::PassedOn => ("您的求助已转交", "您的求助已轉交", "Your request was passed on"),
        Fact::Done => ("您的求助已办结", "您的求助已辦結", "Your request is done"),
        Fact::NotOurs => ("您的求助需另寻渠道", "您的求助需另尋管道", "Others can help you better"),
        Fact::Opened => (
            "您的求助经两人批准被特别查阅",
            "您的求助經兩人批准被特別查閱",
            "Two persons opened your request for a stated reason",
        ),
        Fact::DeletionAhead => (
            "您的求助资料即将删除",
            "您的求助資料即將刪除",
            "What you sent us will be deleted soon",
        ),
        Fact::ClosingAhead => (
            "您的求助即将关闭，如仍需帮助请回复",
            "您的求助即將關閉，如仍需幫助請回覆",
            "Your request will be closed soon: write to us if you still need help",
        ),
    };
    match script {
        Script::Simplified => hans,
        Script::Traditional => hant,
        Script::English => en,
    }
}

/// Hours in which somebody does not want to be told, in their own zone.
#[derive(Clone, PartialEq, Debug)]
pub struct Quiet {
    zone: TimeZone,
    name: String,
    from: u16,
    to: u16,
}

impl Quiet {
    /// From the name of an IANA zone and minutes since local midnight; `from` after `to` spans the
    /// night. Equal ends: no quiet hours.
    pub fn new(zone: &str, from: u16, to: u16, field: &str) -> Result<Quiet, Invalid> {
        let known = TimeZone::get(zone)
            .map_err(|_| Invalid::new(field, "unknown_time_zone").hint("such as Europe/London"))?;
        if from >= DAY_MINUTES || to >= DAY_MINUTES {
            return Err(Invalid::new(field, "hours_malformed").hint("such as 22:00-08:00"));
        }
        Ok(Quiet { zone: known, name: zone.to_owned(), from, to })
    }

    /// Reads `22:00-08:00`.
    pub fn parse(hours: &str, zone: &str, field: &str) -> Result<Quiet, Invalid> {
        let malformed = || Invalid::new(field, "hours_malformed").hint("such as 22:00-08:00");
        let (from, to) = hours.split_once('-').ok_or_else(malformed)?;
        let minute = |text: &str| {
            let time: jiff::civil::Time = text.parse().map_err(|_| malformed())?;
            Ok(time.hour() as u16 * 60 + time.minute() as u16)
        };
        Quiet::new(zone, minute(from)?, minute(to)?, field)
    }

    pub fn zone(&self) -> &str {
        &self.name
    }

    pub fn minutes(&self) -> (u16, u16) {
        (self.from, self.to)
    }

    /// `22:00-08:00`.
    pub fn hours(&self) -> String {
        let wall = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        format!("{}-{}", wall(self.from), wall(self.to))
    }

    /// When it is over, if it is quiet now. A night in which clocks change ends when the wall clock
    /// says so.
    pub fn until(&self, now: Time) -> Option<Time> {
        let local = Timestamp::from_microsecond(now.0).ok()?.to_zoned(self.zone.clone());
        let minute = local.hour() as u16 * 60 + local.minute() as u16;
        let (quiet, tomorrow) = match self.from <= self.to {
            true => (self.from <= minute && minute < self.to, false),
            false => (minute >= self.from || minute < self.to, minute >= self.from),
        };
        if !quiet {
            return None;
        }
        let day = if tomorrow { local.date().tomorrow().ok()? } else { local.date() };
        let over = day.at((self.to / 60) as i8, (self.to % 60) as i8, 0, 0);
        let over = self.zone.to_ambiguous_zoned(over).compatible().ok()?;
        // Where the hour was skipped or came twice, it is over within the next minute at the latest.
        Some(Time(over.timestamp().as_microsecond().max(now.0 + MINUTE_US)))
    }
}

/// The next attempt after so many; `chance` spreads what failed together. None: it is given up.
pub fn next_attempt(now: Time, attempts: u32, chance: u8) -> Option<Time> {
    if attempts >= ATTEMPTS_MAX {
        return None;
    }
    let doubled = PAUSE_MIN_US.saturating_mul(1 << attempts.saturating_sub(1).min(20));
    let pause = doubled.min(PAUSE_MAX_US);
    // Jitter over the upper half.
    Some(Time(now.0 + pause / 2 + pause / 512 * i64::from(chance)))
}

/// Names a notice: the same person, fact and channel make the same one.
pub fn id(person: &str, fact: &str, channel: Channel) -> [u8; 32] {
    let mut hash = blake3::Hasher::new_derive_key("yizhan notice id v1");
    for part in [person, fact, channel.name()] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        Time::parse(text, "time").unwrap()
    }

    fn language(tag: &str) -> Language {
        Language::parse(tag, "language").unwrap()
    }

    #[test]
    fn everybody_is_told_in_a_language_they_read() {
        for (tag, part) in [
            ("zh-Hans", "新答复"),
            ("zh", "新答复"),
            ("zh-Hant", "新答覆"),
            ("yue", "新答覆"),
            ("zh-HK", "新答覆"),
            ("en-GB", "an answer"),
            ("fr", "an answer"),
        ] {
            let (subject, body) = text(Fact::Answered, &language(tag), "LON-23-00012-A", "");
            assert!(subject.contains(part) && subject.contains("LON-23-00012-A"), "{tag}");
            assert!(body.contains(part) && body.contains("LON-23-00012-A"), "{tag}");
        }
        for &fact in Fact::ALL {
            for tag in ["zh-Hans", "zh-Hant", "en"] {
                let (subject, body) = text(fact, &language(tag), "R-1", "已收到");
                assert!(subject.contains("R-1") && body.contains("R-1"), "{fact:?} {tag}");
                assert!(!subject.contains('{') && !body.contains('{'), "{fact:?} {tag}");
                assert_eq!(subject.is_ascii(), tag == "en", "{fact:?} {tag}: {subject}");
            }
        }
    }

    #[test]
    fn nobody_is_told_at_night() {
        let night = Quiet::parse("22:00-08:00", "Europe/London", "quiet").unwrap();
        assert_eq!(night.until(at("2023-01-10T12:00:00Z")), None);
        assert_eq!(night.until(at("2023-01-10T23:00:00Z")), Some(at("2023-01-11T08:00:00Z")));
        assert_eq!(night.until(at("2023-01-11T03:00:00Z")), Some(at("2023-01-11T08:00:00Z")));
        assert_eq!(night.until(at("2023-01-11T08:00:00Z")), None);
        // In summer the same wall clock is an hour earlier in UTC.
        assert_eq!(night.until(at("2023-07-10T21:30:00Z")), Some(at("2023-07-11T07:00:00Z")));
        let noon = Quiet::parse("12:00-13:30", "Asia/Shanghai", "quiet").unwrap();
        assert_eq!(noon.until(at("2023-01-10T04:10:00Z")), Some(at("2023-01-10T05:30:00Z")));
        let never = Quiet::parse("00:00-00:00", "UTC", "quiet").unwrap();
        assert_eq!(never.until(at("2023-01-10T00:00:00Z")), None);
        assert!(Quiet::parse("22-8", "UTC", "quiet").is_err());
        assert!(Quiet::parse("22:00-08:00", "Asia/Beijing", "quiet").is_err());
    }

    #[test]
    fn a_night_in_which_clocks_change_ends_by_the_wall_clock() {
        let night = Quiet::parse("22:00-08:00", "Europe/London", "quiet").unwrap();
        assert_eq!(night.until(at("2023-03-26T00:30:00Z")), Some(at("2023-03-26T07:00:00Z")));
        let skipped = Quiet::parse("22:00-01:30", "Europe/London", "quiet").unwrap();
        assert!(skipped.until(at("2023-03-26T00:30:00Z")).unwrap() <= at("2023-03-26T01:30:00Z"));
    }

    #[test]
    fn pauses_grow_are_spread_and_end() {
        let now = Time(0);
        let pauses: Vec<i64> =
            (1..ATTEMPTS_MAX).map(|n| next_attempt(now, n, 255).unwrap().0).collect();
        assert!(pauses.is_sorted());
        assert!(next_attempt(now, 1, 0).unwrap().0 >= PAUSE_MIN_US / 2);
        assert!(pauses.iter().all(|pause| *pause <= PAUSE_MAX_US));
        assert_ne!(next_attempt(now, 3, 0), next_attempt(now, 3, 200));
        assert_eq!(next_attempt(now, ATTEMPTS_MAX, 0), None);
    }

    #[test]
    fn the_same_person_is_told_of_a_fact_once() {
        let one = id("account:wang", "answered:1", Channel::Email);
        assert_eq!(one, id("account:wang", "answered:1", Channel::Email));
        assert_ne!(one, id("account:wang", "answered:2", Channel::Email));
        assert_ne!(one, id("account:li", "answered:1", Channel::Email));
        assert_ne!(id("a", "bc", Channel::Email), id("ab", "c", Channel::Email));
    }
}
