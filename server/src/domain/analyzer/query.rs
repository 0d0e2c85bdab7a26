//! What people ask, as terms of the index.

use super::{
    fold::{Class, class, push_letter},
    terms::{Filter, TERM_BYTES_MAX, filter},
};
use crate::domain::text::Invalid;

/// Longest question, in characters.
pub const QUERY_CHARS_MAX: usize = 200;
/// Letters from which on a word also finds longer words.
const PREFIX_LETTERS: usize = 3;
/// Characters from which on pairs alone do not prove a run: 陈家慧 has the pairs of 陈家 and 家慧.
const PROOF_CHARS: usize = 3;

/// One term that a record must carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Term {
    pub text: String,
    /// A longer term that begins so will do.
    pub prefix: bool,
}

/// A question. A record fits if it carries every term, and `fits` says so.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    pub terms: Vec<Term>,
    /// Something was asked, but nothing that any text can hold: no record fits.
    pub is_hopeless: bool,
    /// Runs that have to be there in one piece.
    runs: Vec<String>,
}

impl Query {
    /// Reads names by character, full pinyin or initials, words, phones and e-mail addresses.
    pub fn parse(words: &str) -> Result<Query, Invalid> {
        if words.chars().count() > QUERY_CHARS_MAX {
            let hint = format_args!("at most {QUERY_CHARS_MAX} characters");
            return Err(Invalid::new("words", "too_long").hint(hint));
        }
        let mut query = Query::default();
        for piece in words.split_whitespace() {
            if piece.contains('@') {
                query.add(filter(Filter::Email, piece), false);
            } else if is_phone(piece) {
                query.add(filter(Filter::Phone, piece), false);
            } else {
                query.add_text(piece);
            }
        }
        query.is_hopeless = query.terms.is_empty() && !words.trim().is_empty();
        Ok(query)
    }

    /// Narrows the question down.
    pub fn filter(mut self, by: Filter, value: &str) -> Query {
        self.add(filter(by, value), false);
        self
    }

    /// Does a record whose terms fit hold what was asked? Only runs of three characters and more
    /// can be refuted here; everything else is in the terms already.
    pub fn fits<'a>(&self, texts: impl Iterator<Item = &'a str> + Clone) -> bool {
        self.runs.iter().all(|run| texts.clone().any(|text| holds(text, run)))
    }

    /// Is there something that `fits` could refute?
    pub fn needs_proof(&self) -> bool {
        !self.runs.is_empty()
    }

    fn add_text(&mut self, piece: &str) {
        let mut word = String::new();
        let mut run = String::new();
        for c in piece.chars() {
            match class(c) {
                Class::Joiner => (),
                Class::Letter => {
                    self.add_run(&mut run);
                    if word.len() < TERM_BYTES_MAX {
                        push_letter(&mut word, c, "u");
                    }
                }
                Class::Ideograph => {
                    self.add_word(&mut word);
                    run.push(c);
                }
                Class::Break => {
                    self.add_run(&mut run);
                    self.add_word(&mut word);
                }
            }
        }
        self.add_run(&mut run);
        self.add_word(&mut word);
    }

    fn add_word(&mut self, word: &mut String) {
        if !word.is_empty() {
            let prefix = word.chars().count() >= PREFIX_LETTERS;
            self.add(std::mem::take(word), prefix);
        }
    }

    fn add_run(&mut self, run: &mut String) {
        let mut previous: Option<char> = None;
        let mut length = 0;
        for c in run.chars() {
            if let Some(previous) = previous {
                self.add([previous, c].into_iter().collect(), false);
            }
            previous = Some(c);
            length += 1;
        }
        if length == 1 {
            self.add(run.clone(), false);
        }
        if length >= PROOF_CHARS {
            self.runs.push(std::mem::take(run));
        }
        run.clear();
    }

    fn add(&mut self, text: String, prefix: bool) {
        let term = Term { text, prefix };
        if !self.terms.contains(&term) {
            self.terms.push(term);
        }
    }
}

fn is_phone(piece: &str) -> bool {
    piece
        .strip_prefix('+')
        .is_some_and(|digits| digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Is the run in the text, joiners aside?
fn holds(text: &str, run: &str) -> bool {
    let rest = text.char_indices().filter(|(_, c)| class(*c) != Class::Joiner);
    rest.clone().any(|(start, _)| {
        let mut seen = text[start..].chars().filter(|c| class(*c) != Class::Joiner);
        run.chars().all(|c| seen.next() == Some(c))
    })
}
