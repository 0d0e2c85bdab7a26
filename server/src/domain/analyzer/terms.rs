//! Terms of a record: filters first, then its names and texts, none twice.

use pinyin::ToPinyin;

use super::fold::{Class, class, is_umlaut, push_letter};
use crate::domain::{
    kind::Kind,
    name::{Order, Script},
    region::Region,
};

/// Most terms of one record; filters come first, so that a text can only push out its own.
pub const TERMS_MAX: usize = 256;
/// Longest term, in bytes; a longer word is cut, in the index and in questions alike.
pub const TERM_BYTES_MAX: usize = 64;

/// Opens every filter term. Private use, so no text can write it (`fold::class`).
const MARKER: char = '\u{e000}';
/// Added to an ASCII character that a tokenizer would take for a break.
const ENCODED: u32 = 0xe100;

/// How people type `ü`: without dots, as on keyboards, as in passports.
const UMLAUTS: [&str; 3] = ["u", "v", "yu"];

/// What a record can be narrowed down by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Filter {
    Kind,
    Home,
    /// Prefixes of region codes in their shortest form.
    Region,
    /// Field groups, expertise, ISCED-F codes of two to four digits.
    Field,
    Language,
    Role,
    Phone,
    Email,
    Series,
    /// Number in a series: `TALK-20`.
    Issue,
    State,
    /// Id of the member that a consent is of, without hyphens.
    Member,
    /// Name of the row that a record was imported from.
    Source,
    /// Id of the group that a place is in, without hyphens.
    Group,
    /// What sort of organisation or group it is: `park`, `cohort`.
    Sort,
    /// Records that this node cannot read.
    Quarantine,
}

impl Filter {
    fn letter(self) -> char {
        match self {
            Filter::Kind => 'k',
            Filter::Home => 'h',
            Filter::Region => 'r',
            Filter::Field => 'f',
            Filter::Language => 'l',
            Filter::Role => 'o',
            Filter::Phone => 'p',
            Filter::Email => 'e',
            Filter::Series => 's',
            Filter::Issue => 'n',
            Filter::State => 't',
            Filter::Member => 'm',
            Filter::Source => 'i',
            Filter::Group => 'g',
            Filter::Sort => 'y',
            Filter::Quarantine => 'q',
        }
    }
}

/// The term that records with this value carry.
pub fn filter(filter: Filter, value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 8);
    push_filter(&mut out, filter, value);
    out
}

fn push_filter(out: &mut String, filter: Filter, value: &str) {
    out.push(MARKER);
    out.push(filter.letter());
    for c in value.chars() {
        if c.is_ascii_alphanumeric() || !c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else if let Some(c) = char::from_u32(ENCODED + c as u32) {
            out.push(c);
        }
    }
}

/// A name as the index needs it, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub struct NameView<'a> {
    pub script: Script,
    pub family: &'a str,
    pub given: &'a str,
    pub full: &'a str,
    pub order: Order,
    /// How the person says it, family first: characters of names have readings that only the person
    /// knows. May be empty.
    pub sort_key: &'a str,
}

/// Collects the terms of one record into a text: each once, separated by single spaces.
pub struct Terms<'a> {
    out: &'a mut String,
    /// Where the terms of this record begin.
    base: usize,
    count: usize,
    hashes: [u32; TERMS_MAX],
    ends: [u32; TERMS_MAX],
}

impl<'a> Terms<'a> {
    /// Appends to `out`, which may be used again and again.
    pub fn new(out: &'a mut String) -> Terms<'a> {
        let base = out.len();
        Terms { out, base, count: 0, hashes: [0; TERMS_MAX], ends: [0; TERMS_MAX] }
    }

    pub fn kind(&mut self, kind: Kind) {
        let mut digits = [0; 10];
        let mut at = digits.len();
        let mut rest = kind.0;
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.filter(Filter::Kind, std::str::from_utf8(&digits[at..]).unwrap_or(""));
    }

    pub fn filter(&mut self, filter: Filter, value: &str) {
        if !value.is_empty() {
            let start = self.open();
            push_filter(self.out, filter, value);
            self.close(start);
        }
    }

    /// The place and all that it lies in.
    pub fn region(&mut self, region: Region) {
        for prefix in region.prefixes() {
            self.filter(Filter::Region, prefix);
        }
    }

    /// A field of study with its broad and narrow fields: `0912`, `091`, `09`.
    pub fn field_of_study(&mut self, code: &str) {
        for digits in 2..=code.len() {
            self.filter(Filter::Field, code.get(..digits).unwrap_or(""));
        }
    }

    /// A language, and the same without script and region: `zh-Hans`, `zh`.
    pub fn language(&mut self, tag: &str) {
        self.filter(Filter::Language, tag);
        if let Some((primary, _)) = tag.split_once('-') {
            self.filter(Filter::Language, primary);
        }
    }

    /// Words, and single characters and pairs of what is written without spaces.
    pub fn text(&mut self, text: &str) {
        self.text_with(text, UMLAUTS[0]);
    }

    /// All names of one person.
    pub fn names(&mut self, names: &[NameView<'_>]) {
        let latin = names.iter().find(|name| name.script == Script::Latin);
        for name in names {
            match name.script {
                Script::Hans | Script::Hant => {
                    self.text(name.full);
                    self.pinyin(name, latin);
                }
                Script::Latin => self.latin(name),
                Script::Nickname => self.text(name.full),
            }
        }
    }

    fn latin(&mut self, name: &NameView<'_>) {
        let variants = if name.full.chars().any(is_umlaut) { 3 } else { 1 };
        for umlaut in &UMLAUTS[..variants] {
            self.text_with(name.full, umlaut);
            if name.family.is_empty() || name.given.is_empty() {
                self.joined(&[name.full], umlaut);
                continue;
            }
            self.joined(&[name.family], umlaut);
            self.joined(&[name.given], umlaut);
            self.joined(&[name.family, name.given], umlaut);
            self.joined(&[name.given, name.family], umlaut);
        }
        self.initials(&[name.family, name.given]);
        self.initials(&[name.given, name.family]);
    }

    /// Full pinyin and initials of a Chinese name. Readings of surnames have exceptions, so a Latin
    /// form lends its first letter.
    fn pinyin(&mut self, name: &NameView<'_>, latin: Option<&NameView<'_>>) {
        let (family, given) = match (name.family, name.given) {
            ("", "") => ("", name.full),
            parts => parts,
        };
        let umlaut = family
            .chars()
            .chain(given.chars())
            .any(|c| c.to_pinyin().is_some_and(|reading| !reading.plain().is_ascii()));
        for umlaut in &UMLAUTS[..if umlaut { 3 } else { 1 }] {
            if !family.is_empty() {
                self.read(&[family], umlaut);
                self.read(&[given], umlaut);
                self.read(&[given, family], umlaut);
            }
            self.read(&[family, given], umlaut);
        }
        self.spoken(name, family, given);
        let first = |text: &str| text.chars().find(|c| class(*c) == Class::Letter);
        let start = self.open();
        push_initials(self.out, family);
        push_initials(self.out, given);
        self.close(start);
        if let Some(letter) = latin.and_then(|latin| first(latin.family)) {
            let start = self.open();
            push_letter(self.out, letter, UMLAUTS[0]);
            push_initials(self.out, family.chars().next().map_or("", |c| &family[c.len_utf8()..]));
            push_initials(self.out, given);
            self.close(start);
        }
    }

    /// A family name that is not read as dictionaries have it: 覃 is Qin or Tan.
    fn spoken(&mut self, name: &NameView<'_>, family: &str, given: &str) {
        let Some((said, rest)) = name.sort_key.split_once(' ') else { return };
        if family.is_empty() || reads_as(family, said) {
            return;
        }
        for parts in [&[said][..], &[said, rest], &[rest, said]] {
            self.joined(parts, UMLAUTS[0]);
        }
        if let Some(letter) = said.chars().next() {
            let start = self.open();
            push_letter(self.out, letter, UMLAUTS[0]);
            push_initials(self.out, family.chars().next().map_or("", |c| &family[c.len_utf8()..]));
            push_initials(self.out, given);
            self.close(start);
        }
    }

    fn text_with(&mut self, text: &str, umlaut: &str) {
        let mut word: Option<usize> = None;
        let mut previous: Option<char> = None;
        for c in text.chars() {
            match class(c) {
                Class::Joiner => continue,
                Class::Letter => {
                    let start = *word.get_or_insert(self.out.len());
                    if self.out.len() - start < TERM_BYTES_MAX {
                        push_letter(self.out, c, umlaut);
                    }
                    previous = None;
                    continue;
                }
                Class::Ideograph | Class::Break => {
                    if let Some(start) = word.take() {
                        self.close(start);
                    }
                }
            }
            if class(c) == Class::Break {
                previous = None;
                continue;
            }
            let start = self.open();
            self.out.push(c);
            self.close(start);
            if let Some(previous) = previous {
                let start = self.open();
                self.out.push(previous);
                self.out.push(c);
                self.close(start);
            }
            previous = Some(c);
        }
        if let Some(start) = word {
            self.close(start);
        }
    }

    /// One term of all letters of the parts.
    fn joined(&mut self, parts: &[&str], umlaut: &str) {
        let start = self.open();
        for c in parts.iter().flat_map(|part| part.chars()) {
            if class(c) == Class::Letter && self.out.len() - start < TERM_BYTES_MAX {
                push_letter(self.out, c, umlaut);
            }
        }
        self.close(start);
    }

    /// One term of the readings of all characters of the parts.
    fn read(&mut self, parts: &[&str], umlaut: &str) {
        let start = self.open();
        for c in parts.iter().flat_map(|part| part.chars()) {
            if self.out.len() - start >= TERM_BYTES_MAX {
                break;
            }
            if let Some(reading) = c.to_pinyin() {
                let plain = reading.plain();
                if plain.is_ascii() {
                    self.out.push_str(plain);
                } else {
                    plain.chars().for_each(|c| push_letter(self.out, c, umlaut));
                }
            }
        }
        self.close(start);
    }

    /// One term of the first letters of all words, if there are two.
    fn initials(&mut self, parts: &[&str]) {
        let start = self.open();
        for part in parts {
            let mut inside = false;
            for c in part.chars() {
                match class(c) {
                    Class::Letter if !inside && self.out.len() - start < TERM_BYTES_MAX => {
                        push_letter(self.out, c, UMLAUTS[0]);
                        inside = true;
                    }
                    Class::Break => inside = false,
                    _ => (),
                }
            }
        }
        if self.out.len() - start < 2 {
            self.out.truncate(start);
        }
        self.close(start);
    }

    fn open(&mut self) -> usize {
        self.out.len()
    }

    /// Keeps what was written since `start` as a term, unless it is empty, known or one too many.
    fn close(&mut self, start: usize) {
        let term = &self.out.as_bytes()[start..];
        // FNV-1a; a match is compared byte by byte.
        let hash = term.iter().fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
        let known = !term.is_empty()
            && self.hashes[..self.count].contains(&hash)
            && (0..self.count).any(|at| self.hashes[at] == hash && self.term(at) == term);
        if term.is_empty() || known || self.count == TERMS_MAX {
            self.out.truncate(start);
            return;
        }
        self.hashes[self.count] = hash;
        self.ends[self.count] = (self.out.len() - self.base) as u32;
        self.count += 1;
        self.out.push(' ');
    }

    fn term(&self, at: usize) -> &[u8] {
        let start = match at {
            0 => 0,
            at => self.ends[at - 1] as usize + 1,
        };
        &self.out.as_bytes()[self.base + start..self.base + self.ends[at] as usize]
    }
}

impl Drop for Terms<'_> {
    /// Takes the last separator back.
    fn drop(&mut self) {
        if self.count > 0 {
            self.out.pop();
        }
    }
}

/// Is this how dictionaries read these characters first?
fn reads_as(characters: &str, said: &str) -> bool {
    let mut rest = said;
    for c in characters.chars() {
        let read = c.to_pinyin().and_then(|reading| rest.strip_prefix(reading.plain()));
        match read {
            Some(left) => rest = left,
            None => return false,
        }
    }
    rest.is_empty()
}

fn push_initials(out: &mut String, text: &str) {
    for c in text.chars().take(TERM_BYTES_MAX) {
        if let Some(reading) = c.to_pinyin() {
            reading.first_letter().chars().for_each(|c| push_letter(out, c, UMLAUTS[0]));
        }
    }
}
