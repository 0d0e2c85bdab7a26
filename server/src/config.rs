//! Every setting of a node, with its unit, default and limit.
//!
//! A setting comes from a flag, else from the environment (`YIZHAN_` and its name in upper case),
//! else from `yizhan.toml` in the node's directory, else from its default. A value out of its limit
//! and an unknown name in the file are refused: a mistyped setting must not pass as the default.

use std::{collections::BTreeMap, fmt, fs, io, ops::RangeInclusive, path::Path};

use crate::{
    domain::id::PointCode,
    notify::{mail::Security, robot::Manner},
};

/// The file of settings in a node's directory.
pub const FILE: &str = "yizhan.toml";

/// Declares the settings once: the typed struct, and the table that is printed and searched.
macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $kind:ty = $default:literal, $rule:expr;)+) => {
        /// A node's settings, checked.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $kind,)+
        }

        impl Config {
            fn check(values: &BTreeMap<&'static str, Resolved>) -> Result<Config, Error> {
                Ok(Config {
                    $($name: {
                        let value = &values[stringify!($name)];
                        $rule.parse(&value.value).map_err(|what| Error::Value {
                            name: stringify!($name),
                            origin: value.origin,
                            what,
                        })?
                    },)+
                })
            }
        }

        /// All settings, in the order they are printed.
        pub fn all() -> Vec<Setting> {
            vec![$(Setting {
                name: stringify!($name),
                default: $default,
                limit: $rule.limit(),
                meaning: concat!($($doc),+).trim(),
            },)+]
        }
    };
}

settings! {
    /// Name of the network. Written by `init` and `join`.
    network: String = "", Text(64);
    /// Code of the node's own point. Written by `init` and `join`.
    point: Option<PointCode> = "", Point;
    /// Code of the founding point, whose issuer signs the roster. Written by `init` and `join`.
    founder: Option<PointCode> = "", Point;
    /// Where other nodes reach this one.
    listen_link: Address = "0.0.0.0:7443", HostPort;
    /// Where clients reach this node.
    listen_public: Address = "0.0.0.0:8443", HostPort;
    /// `sqlite:` for a file in the node's directory, or `postgres://...`.
    database: DatabaseUrl = "sqlite:", Url;
    /// Link address of the parent's node; empty at the founding node.
    parent: Option<Address> = "", OptionalHostPort;
    /// Code of the parent's point. Written by `join`.
    parent_point: Option<PointCode> = "", Point;
    /// Further neighbours to dial, each as its point's code and link address (GB-LON@host:port),
    /// separated by commas. The code says whom to expect there: an address alone proves nobody.
    siblings: Vec<Sibling> = "", Siblings(64);
    /// What is logged: `tracing` directives such as `info` or `yizhan_server=debug`.
    log: String = "info", Text(1_024);
    /// How it is logged.
    log_format: LogFormat = "text", Format;
    /// Time that running work gets to finish after a stop signal.
    drain_ms: u64 = "10000", Number(0..=600_000, "ms");
    /// Links at once.
    links_max: u64 = "1000", Number(1..=10_000, "links");
    /// Connections of clients at once.
    public_connections_max: u64 = "2000", Number(1..=100_000, "connections");
    /// TLS handshakes at once, on each listener.
    handshakes_max: u64 = "64", Number(1..=1_024, "handshakes");
    /// Time that a TLS handshake may take.
    handshake_timeout_ms: u64 = "5000", Number(100..=60_000, "ms");
    /// Connections to the database that read.
    readers: u64 = "4", Number(1..=64, "connections");
    /// How often the node signs the list of all its heads.
    statement_every_ms: u64 = "600000", Number(100..=3_600_000, "ms");
    /// Silence after which a help request that is resolved, or waits for its client, is closed.
    help_close_days: u64 = "14", Number(0..=3_650, "days");
    /// Files of a help request are deleted so long after it was closed.
    help_files_days: u64 = "90", Number(0..=3_650, "days");
    /// Everything personal in a help request is deleted so long after it was closed.
    help_anonymise_days: u64 = "365", Number(0..=3_650, "days");
    /// So long before closing or deletion the client is told.
    help_ahead_days: u64 = "7", Number(0..=90, "days");
    /// An offer to pass a help request on ends by itself if nobody has answered it for so long.
    help_offer_hours: u64 = "168", Number(1..=2_160, "hours");
    /// Mail server that notices go through; empty: no mail. Its password lies in keys/mail.password.
    mail_server: Option<Address> = "", OptionalHostPort;
    /// How it is spoken to. `none` is for a server on this machine alone.
    mail_security: Security = "starttls", MailSecurity;
    /// Address that notices come from.
    mail_from: String = "", Text(254);
    /// Name to sign in with at the mail server; empty: without.
    mail_user: String = "", Text(254);
    /// Whose manners the receiver of webhooks keeps. Its URL lies in keys/webhook.url, the secret for
    /// signatures in keys/webhook.secret.
    webhook_kind: Option<Manner> = "none", WebhookKind;
    /// Language in which the webhook is told.
    webhook_language: String = "zh-Hans", Text(35);
    /// Hosts of robots that staff may name for themselves, with blanks between.
    webhook_hosts: String = "qyapi.weixin.qq.com oapi.dingtalk.com open.feishu.cn", Text(1_024);
    /// Certificate to trust for mail and webhooks beside those of the public web: a file in PEM.
    outgoing_ca: String = "", Text(1_024);
    /// A feed whose home was not heard for this long is shown as stale.
    stale_after_ms: u64 = "1800000", Number(100..=86_400_000, "ms");
}

/// One setting, as it is explained to people.
pub struct Setting {
    pub name: &'static str,
    pub default: &'static str,
    /// Unit and limit.
    pub limit: String,
    pub meaning: &'static str,
}

/// Where a value came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    Flag,
    Environment,
    File,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Flag => "flag",
            Origin::Environment => "environment",
            Origin::File => "file",
            Origin::Default => "default",
        })
    }
}

/// A setting's text and where it came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resolved {
    pub value: String,
    pub origin: Origin,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{FILE} cannot be read")]
    Read(#[source] io::Error),
    #[error("{FILE} is not TOML: {0}")]
    Syntax(String),
    #[error("{FILE} names an unknown setting: {0}")]
    Unknown(String),
    #[error("setting {name} (from {origin}) {what}")]
    Value { name: &'static str, origin: Origin, what: String },
}

/// The settings of the node in `dir`, and where each came from.
pub fn load(
    dir: &Path,
    flags: &[(&'static str, String)],
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Config, BTreeMap<&'static str, Resolved>), Error> {
    let file = read(dir)?;
    let mut values = BTreeMap::new();
    for Setting { name, default, .. } in all() {
        let flag = flags.iter().find(|(flag, _)| *flag == name);
        let variable = || environment(&variable(name));
        let (value, origin) = if let Some((_, value)) = flag {
            (value.clone(), Origin::Flag)
        } else if let Some(value) = variable() {
            (value, Origin::Environment)
        } else if let Some(value) = file.get(name) {
            (value.clone(), Origin::File)
        } else {
            (default.to_owned(), Origin::Default)
        };
        values.insert(name, Resolved { value, origin });
    }
    Ok((Config::check(&values)?, values))
}

/// Name of a setting's environment variable.
pub fn variable(name: &str) -> String {
    format!("YIZHAN_{}", name.to_uppercase())
}

/// The text of a new `yizhan.toml`: the given settings, each with its meaning and limit.
pub fn file_text(values: &[(&'static str, String)]) -> String {
    let mut text = String::from("# Settings of this node. `yizhand config` lists all there are.\n");
    for Setting { name, limit, meaning, .. } in all() {
        if let Some((_, value)) = values.iter().find(|(given, _)| *given == name) {
            let value = toml::Value::String(value.clone());
            text.push_str(&format!("\n# {meaning} ({limit})\n{name} = {value}\n"));
        }
    }
    text
}

fn read(dir: &Path) -> Result<BTreeMap<String, String>, Error> {
    let text = match fs::read_to_string(dir.join(FILE)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::Read(error)),
    };
    let table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| Error::Syntax(error.message().into()))?;
    let mut values = BTreeMap::new();
    for (name, value) in table {
        if !all().iter().any(|setting| setting.name == name) {
            return Err(Error::Unknown(name));
        }
        let value = match value {
            toml::Value::String(text) => text,
            toml::Value::Array(items) => {
                let texts = items.iter().map(|item| item.as_str().unwrap_or_default());
                texts.collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        values.insert(name, value);
    }
    Ok(values)
}

/// Host and port. The port may be 0 where one listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// Reads `host:port`, with an IPv6 address in brackets.
    pub fn parse(text: &str) -> Result<Address, String> {
        let wrong = || format!("is not HOST:PORT: {text}");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(bare) if bare.parse::<std::net::Ipv6Addr>().is_ok() => bare,
            None if !host.is_empty() && !host.contains([':', '[', ']', '/', ' ']) => host,
            _ => return Err(wrong()),
        };
        Ok(Address { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// A neighbour to dial, beside the parent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sibling {
    pub point: PointCode,
    pub address: Address,
}

/// Where the tables lie.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file in the node's directory.
    Sqlite,
    Postgres(String),
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DatabaseUrl::Sqlite => f.write_str("sqlite:"),
            DatabaseUrl::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A URL that may be shown: a password becomes `***`, and so does one among the parameters.
pub fn without_password(url: &str) -> String {
    let (address, parameters) = match url.split_once('?') {
        Some((address, parameters)) => (address, Some(parameters)),
        None => (url, None),
    };
    let mut shown = address.to_owned();
    if let Some((scheme, rest)) = address.split_once("://")
        && let Some((user, host)) = rest.rsplit_once('@')
        && let Some((user, _)) = user.split_once(':')
    {
        shown = format!("{scheme}://{user}:***@{host}");
    }
    if let Some(parameters) = parameters {
        let hide = |pair: &str| match pair.split_once('=') {
            Some(("password", _)) => "password=***".to_owned(),
            _ => pair.to_owned(),
        };
        let pairs: Vec<String> = parameters.split('&').map(hide).collect();
        shown = format!("{shown}?{}", pairs.join("&"));
    }
    shown
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    Text,
    Json,
}

struct Text(usize);

impl Text {
    fn parse(&self, text: &str) -> Result<String, String> {
        match text.len() <= self.0 {
            true => Ok(text.to_owned()),
            false => Err(format!("is longer than {} bytes", self.0)),
        }
    }

    fn limit(&self) -> String {
        format!("text, at most {} bytes", self.0)
    }
}

struct Number(RangeInclusive<u64>, &'static str);

impl Number {
    fn parse(&self, text: &str) -> Result<u64, String> {
        let number = text.parse().ok().filter(|number| self.0.contains(number));
        number.ok_or_else(|| format!("is not {}: {text}", self.limit()))
    }

    fn limit(&self) -> String {
        format!("{} to {} {}", self.0.start(), self.0.end(), self.1)
    }
}

struct Point;

impl Point {
    fn parse(&self, text: &str) -> Result<Option<PointCode>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| format!("is not a point code: {text}"))
    }

    fn limit(&self) -> String {
        "point code".into()
    }
}

struct HostPort;

impl HostPort {
    fn parse(&self, text: &str) -> Result<Address, String> {
        Address::parse(text)
    }

    fn limit(&self) -> String {
        "host:port; port 0 takes a free one".into()
    }
}

struct OptionalHostPort;

impl OptionalHostPort {
    fn parse(&self, text: &str) -> Result<Option<Address>, String> {
        if text.is_empty() { Ok(None) } else { Address::parse(text).map(Some) }
    }

    fn limit(&self) -> String {
        "host:port".into()
    }
}

struct Siblings(usize);

impl Siblings {
    fn parse(&self, text: &str) -> Result<Vec<Sibling>, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let sibling = |part: &str| {
            let (code, address) =
                part.split_once('@').ok_or_else(|| format!("is not CODE@HOST:PORT: {part}"))?;
            let point = code.parse().map_err(|_| format!("is not a point code: {code}"))?;
            Ok(Sibling { point, address: Address::parse(address)? })
        };
        let siblings: Vec<Sibling> = parts.map(sibling).collect::<Result<_, String>>()?;
        match siblings.len() <= self.0 {
            true => Ok(siblings),
            false => Err(format!("has more than {} neighbours", self.0)),
        }
    }

    fn limit(&self) -> String {
        format!("at most {} times CODE@host:port", self.0)
    }
}

struct Url;

impl Url {
    fn parse(&self, text: &str) -> Result<DatabaseUrl, String> {
        match text {
            "sqlite:" | "sqlite" => Ok(DatabaseUrl::Sqlite),
            url if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                Ok(DatabaseUrl::Postgres(url.to_owned()))
            }
            // Not repeated: it may hold a password.
            _ => Err("is neither `sqlite:` nor `postgres://...`".into()),
        }
    }

    fn limit(&self) -> String {
        "URL".into()
    }
}

struct MailSecurity;

impl MailSecurity {
    fn parse(&self, text: &str) -> Result<Security, String> {
        match text {
            "starttls" => Ok(Security::StartTls),
            "tls" => Ok(Security::Tls),
            "none" => Ok(Security::None),
            _ => Err(format!("is not {}: {text}", self.limit())),
        }
    }

    fn limit(&self) -> String {
        "starttls, tls or none".into()
    }
}

struct WebhookKind;

impl WebhookKind {
    fn parse(&self, text: &str) -> Result<Option<Manner>, String> {
        match text {
            "none" => Ok(None),
            _ => match Manner::find(text) {
                Some(manner) => Ok(Some(manner)),
                None => Err(format!("is not {}: {text}", self.limit())),
            },
        }
    }

    fn limit(&self) -> String {
        "none, generic, wecom, dingtalk or feishu".into()
    }
}

struct Format;

impl Format {
    fn parse(&self, text: &str) -> Result<LogFormat, String> {
        match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("is neither text nor json: {text}")),
        }
    }

    fn limit(&self) -> String {
        "text or json".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_dir(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), text).unwrap();
        dir
    }

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn every_default_is_within_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let (config, values) = load(dir.path(), &[], nothing).unwrap();
        assert_eq!(config.listen_link.to_string(), "0.0.0.0:7443");
        assert!(values.values().all(|value| value.origin == Origin::Default));
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
        let dir = in_dir("links_max = 1\nreaders = 1\ndrain_ms = 1\n");
        let environment = |name: &str| match name {
            "YIZHAN_LINKS_MAX" | "YIZHAN_READERS" => Some("2".to_owned()),
            _ => None,
        };
        let (config, values) = load(dir.path(), &[("links_max", "3".into())], environment).unwrap();
        assert_eq!((config.links_max, config.readers, config.drain_ms), (3, 2, 1));
        assert_eq!(values["links_max"].origin, Origin::Flag);
        assert_eq!(values["readers"].origin, Origin::Environment);
        assert_eq!(values["drain_ms"].origin, Origin::File);
    }

    #[test]
    fn an_unknown_name_and_a_value_out_of_its_limit_are_refused() {
        let typo = in_dir("link_max = 1\n");
        assert!(matches!(load(typo.path(), &[], nothing), Err(Error::Unknown(_))));
        let large = in_dir("links_max = 10001\n");
        let refused = load(large.path(), &[], nothing).unwrap_err().to_string();
        assert_eq!(refused, "setting links_max (from file) is not 1 to 10000 links: 10001");
    }

    #[test]
    fn a_sibling_is_named_by_its_point() {
        let dir = in_dir("siblings = [\"GB-LON@yz.example:7443\", \"HK@[::1]:1\"]\n");
        let (config, _) = load(dir.path(), &[], nothing).unwrap();
        let named: Vec<String> = config.siblings.iter().map(|one| one.point.to_string()).collect();
        assert_eq!(named, ["GB-LON", "HK"]);
        assert_eq!(config.siblings[1].address.to_string(), "[::1]:1");
        for text in ["yz.example:7443", "nowhere@yz.example:1", "HK@yz.example"] {
            assert!(Siblings(64).parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_written_file_reads_the_same() {
        let values = [("network", "广东 \"gd\"".to_owned()), ("listen_link", "[::1]:0".to_owned())];
        let dir = in_dir(&file_text(&values));
        let (config, _) = load(dir.path(), &[], nothing).unwrap();
        assert_eq!(config.network, "广东 \"gd\"");
        assert_eq!(config.listen_link, Address { host: "::1".into(), port: 0 });
    }

    #[test]
    fn a_database_password_is_never_shown() {
        let url = "postgres://gd:p@ss@db:5432/gd?sslmode=require&password=x";
        let shown = DatabaseUrl::Postgres(url.into()).to_string();
        assert_eq!(shown, "postgres://gd:***@db:5432/gd?sslmode=require&password=***");
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in ["", "host", "host:", ":1", "host:65536", "::1:80", "[::1]", "a b:1", "h/x:1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        assert_eq!(Address::parse("localhost:0").unwrap().to_string(), "localhost:0");
    }
}
