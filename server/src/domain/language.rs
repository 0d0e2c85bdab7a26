//! Language tags, and texts in several languages with a defined fallback.

use std::fmt;

use super::text::Invalid;

/// Longest language tag, in bytes (RFC 5646 4.4.1 asks for at least 35).
pub const TAG_MAX: usize = 35;
/// Most languages of one person or point.
pub const LANGUAGES_MAX: usize = 32;

/// A BCP 47 language tag in its usual case: `zh-Hans`, `yue`, `en-GB`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Language(String);

/// Two-letter primary subtags of ISO 639-1, as the IANA registry lists them.
const TWO_LETTERS: &str = "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce \
    ch co cr cs cu cv cy da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha \
    he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku \
    kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv \
    ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st \
    su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu";

/// Three-letter primary subtags that people of this network write: spoken Chinese and neighbours.
const THREE_LETTERS: &str =
    "cmn yue nan hak wuu hsn gan cdo cjy cpx czh czo mnp cnp csp und mul fil";

impl Language {
    /// Reads language, script, region and variants; the case is put right.
    pub fn parse(text: &str, field: &str) -> Result<Language, Invalid> {
        // What nine in ten cells say.
        if matches!(text, "zh-Hans" | "zh-Hant" | "en" | "yue") {
            return Ok(Language(text.to_owned()));
        }
        let unknown = || Invalid::new(field, "unknown_language").hint("BCP 47, such as zh-Hans");
        if text.len() > TAG_MAX || !text.is_ascii() {
            return Err(unknown());
        }
        let mut parts = text.split('-');
        let primary = parts.next().unwrap_or("").to_ascii_lowercase();
        let known = match primary.len() {
            2 => TWO_LETTERS.split_ascii_whitespace().any(|tag| tag == primary),
            3 => THREE_LETTERS.split_ascii_whitespace().any(|tag| tag == primary),
            _ => false,
        };
        if !known {
            return Err(unknown());
        }
        let mut tag = primary;
        for part in parts {
            let letters = part.bytes().all(|byte| byte.is_ascii_alphabetic());
            let digits = part.bytes().all(|byte| byte.is_ascii_digit());
            tag.push('-');
            match part.len() {
                4 if letters => {
                    tag.push_str(&part[..1].to_ascii_uppercase());
                    tag.push_str(&part[1..].to_ascii_lowercase());
                }
                2 if letters => tag.push_str(&part.to_ascii_uppercase()),
                3 if digits => tag.push_str(part),
                4..=8 if part.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                    tag.push_str(&part.to_ascii_lowercase());
                }
                _ => return Err(unknown()),
            }
        }
        Ok(Language(tag))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `zh` of `zh-Hans`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks a list of languages: each known, none twice, at most `LANGUAGES_MAX`.
pub fn languages<'a>(
    tags: impl IntoIterator<Item = &'a str>,
    field: &str,
) -> Result<Vec<Language>, Invalid> {
    let mut languages = Vec::new();
    for tag in tags {
        let language = Language::parse(tag, field)?;
        if !languages.contains(&language) {
            languages.push(language);
        }
        if languages.len() > LANGUAGES_MAX {
            return Err(Invalid::new(field, "too_many"));
        }
    }
    Ok(languages)
}

/// One text in several languages, in the order in which they were given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LocalTexts(pub Vec<(Language, String)>);

/// Where to look when a text is missing in the reader's language.
const FALLBACK: [&str; 3] = ["zh-Hans", "zh-Hant", "en"];

impl LocalTexts {
    /// The text for a reader: the same tag, the same language, then the order of `FALLBACK` (the
    /// other Chinese script before English for readers of Chinese), then whatever there is.
    pub fn best(&self, reader: &Language) -> Option<&str> {
        let exact = self.0.iter().find(|(language, _)| language == reader);
        let alike = || self.0.iter().find(|(language, _)| language.primary() == reader.primary());
        let fallback = || {
            FALLBACK
                .iter()
                .find_map(|tag| self.0.iter().find(|(language, _)| language.as_str() == *tag))
        };
        exact.or_else(alike).or_else(fallback).or_else(|| self.0.first()).map(|(_, text)| &**text)
    }

    pub fn get(&self, tag: &str) -> Option<&str> {
        self.0.iter().find(|(language, _)| language.as_str() == tag).map(|(_, text)| &**text)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a text; an empty one is no text, and a second one of a language is refused.
    pub fn add(&mut self, language: Language, text: String, field: &str) -> Result<(), Invalid> {
        if text.is_empty() {
            return Ok(());
        }
        if self.0.iter().any(|(known, _)| *known == language) {
            return Err(Invalid::new(field, "duplicate_language"));
        }
        if self.0.len() >= LANGUAGES_MAX {
            return Err(Invalid::new(field, "too_many"));
        }
        self.0.push((language, text));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(text: &str) -> Language {
        Language::parse(text, "lang").unwrap()
    }

    #[test]
    fn tags_are_read_in_any_case() {
        assert_eq!(tag("ZH-hans").as_str(), "zh-Hans");
        assert_eq!(tag("en-gb").as_str(), "en-GB");
        assert_eq!(tag("yue").primary(), "yue");
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for text in ["", "cn", "chinese", "zh_Hans", "zh-", "中文", "x", "zz-ZZ"] {
            assert!(Language::parse(text, "lang").is_err(), "{text}");
        }
    }

    #[test]
    fn a_reader_never_meets_a_blank() {
        let mut texts = LocalTexts::default();
        texts.add(tag("zh-Hant"), "學長說".into(), "titles").unwrap();
        assert_eq!(texts.best(&tag("en")), Some("學長說"));
        texts.add(tag("en"), "Talks".into(), "titles").unwrap();
        assert_eq!(texts.best(&tag("zh-Hans")), Some("學長說"));
        assert_eq!(texts.best(&tag("en-GB")), Some("Talks"));
        assert!(texts.add(tag("en"), "Again".into(), "titles").is_err());
    }
}
