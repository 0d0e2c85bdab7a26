//! Pages of lists: their size, and the token that leads to the next one.

use data_encoding::BASE64URL_NOPAD;

use super::text::Invalid;

pub const PAGE_SIZE_DEFAULT: usize = 50;
pub const PAGE_SIZE_MAX: usize = 1_000;
/// Longest token, in characters.
const TOKEN_MAX: usize = 256;
/// Bytes of a token that name the question.
const QUESTION: usize = 8;

/// The page size used for the one asked for. Too large is lowered, not refused: the maximum can
/// then change without breaking a client.
pub fn page_size(asked: i32) -> Result<usize, Invalid> {
    match usize::try_from(asked) {
        Ok(0) => Ok(PAGE_SIZE_DEFAULT),
        Ok(size) => Ok(size.min(PAGE_SIZE_MAX)),
        Err(_) => Err(Invalid::new("page_size", "negative")),
    }
}

/// What is asked and by whom, so that a token of one list never leads into another.
pub struct Question(blake3::Hasher);

impl Question {
    /// `list` names the list, such as `members`.
    pub fn new(list: &str) -> Question {
        Question(blake3::Hasher::new()).with(list)
    }

    /// Another part of what is asked; the order matters, an empty part counts.
    pub fn with(mut self, part: &str) -> Question {
        self.0.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        self
    }

    /// The token for what comes after a place.
    pub fn token(&self, place: &[u8]) -> String {
        BASE64URL_NOPAD.encode(&[&self.mark()[..], place].concat())
    }

    /// The place that a token of this question names; none for the first page.
    pub fn place<const N: usize>(&self, token: &str) -> Result<Option<[u8; N]>, Invalid> {
        if token.is_empty() {
            return Ok(None);
        }
        let wrong = || Invalid::new("page_token", "not_a_page_token");
        if token.len() > TOKEN_MAX {
            return Err(wrong());
        }
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).map_err(|_| wrong())?;
        let place = bytes.strip_prefix(&self.mark()[..]).ok_or_else(wrong)?;
        place.try_into().map(Some).map_err(|_| wrong())
    }

    fn mark(&self) -> [u8; QUESTION] {
        let mut mark = [0; QUESTION];
        mark.copy_from_slice(&self.0.finalize().as_bytes()[..QUESTION]);
        mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_on_in_its_own_list_only() {
        let question = Question::new("members").with("张伟").with("");
        let token = question.token(&[7; 8]);
        assert_eq!(question.place(&token), Ok(Some([7; 8])));
        assert_eq!(question.place::<8>(""), Ok(None));
        let other = Question::new("members").with("").with("张伟");
        for (question, token) in [(&other, &*token), (&question, "x"), (&question, "AAAA")] {
            assert_eq!(question.place::<8>(token).unwrap_err().reason, "not_a_page_token");
        }
        assert!(question.place::<16>(&token).is_err());
    }

    #[test]
    fn a_page_is_never_larger_than_the_maximum() {
        assert_eq!(page_size(0), Ok(50));
        assert_eq!(page_size(5_000), Ok(1_000));
        assert!(page_size(-1).is_err());
    }
}
