//! The spoken name of a help request: `LON-23-00012-A`. Short name and counter of the point whose node
//! took it in, with a check character, so that a slip of the tongue is noticed before any look-up.

use std::fmt;

use super::{point::short_name, text::Invalid};

/// Digits of the number at least.
const DIGITS: usize = 5;
/// Largest number of a year.
pub const NUMBER_MAX: u32 = 9_999_999;
/// ISO 7064 MOD 37-2: values of characters are their places here.
const ALPHABET: &[u8; 37] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*";

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Reference(String);

impl Reference {
    /// `year` counts fully; its last two digits are spoken.
    pub fn new(short: &str, year: i16, number: u32) -> Reference {
        let number = format!("{:02}{number:0DIGITS$}", year.rem_euclid(100));
        let check = check_character(&format!("{short}{number}"));
        let (year, number) = number.split_at(2);
        Reference(format!("{short}-{year}-{number}-{check}"))
    }

    /// Reads a reference in any case, with blanks around it.
    pub fn parse(text: &str, field: &str) -> Result<Reference, Invalid> {
        let malformed =
            || Invalid::new(field, "reference_malformed").hint("such as LON-23-00012-A");
        let text = text.trim().to_ascii_uppercase();
        let parts: Vec<&str> = text.split('-').collect();
        let &[short, year, number, check] = &parts[..] else { return Err(malformed()) };
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let fits = short_name(short, field).is_ok()
            && year.len() == 2
            && digits(year)
            && (DIGITS..=7).contains(&number.len())
            && digits(number)
            && check.len() == 1;
        if !fits {
            return Err(malformed());
        }
        let spoken = format!("{short}{year}{number}");
        if !check.starts_with(check_character(&spoken)) {
            return Err(Invalid::new(field, "reference_mistyped"));
        }
        Ok(Reference(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The character that makes a string of capitals and digits congruent to 1 (ISO 7064, pure system,
/// modulus 37, radix 2).
fn check_character(text: &str) -> char {
    let value = |byte: u8| ALPHABET.iter().position(|known| *known == byte).unwrap_or(0);
    let sum = text.bytes().fold(0, |sum, byte| (sum + value(byte)) * 2 % 37);
    char::from(ALPHABET[(38 - sum) % 37])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_of_the_reference_data_are_made_and_read() {
        assert_eq!(Reference::new("LON", 2023, 12).as_str(), "LON-23-00012-A");
        assert_eq!(Reference::new("GZ", 2023, 1).as_str(), "GZ-23-00001-B");
        assert_eq!(Reference::new("LON", 2020, 1).as_str(), "LON-20-00001-N");
        let data = include_str!("../../data/demo/requests.csv");
        let mut read = 0;
        for line in data.lines().skip(1).filter(|line| line.starts_with("R-")) {
            let text = line.split(',').nth(1).unwrap();
            assert_eq!(Reference::parse(text, "ref").unwrap().as_str(), text);
            read += 1;
        }
        assert_eq!(read, 180);
    }

    #[test]
    fn a_mistyped_one_is_told_from_what_is_none() {
        let reason = |text: &str| Reference::parse(text, "reference").unwrap_err().reason;
        assert_eq!(reason("LON-23-00012-B"), "reference_mistyped");
        assert_eq!(reason("LON-23-00021-A"), "reference_mistyped");
        for text in
            ["", "LON", "LON-23-12-A", "LON-2023-00012-A", "L0N2-23-00012-AA", "伦敦-23-00012-A"]
        {
            assert_eq!(reason(text), "reference_malformed", "{text}");
        }
        assert!(Reference::parse(" lon-23-00012-a ", "reference").is_ok());
    }

    proptest! {
        #[test]
        fn every_reference_is_read_back_and_every_slip_noticed(
            short in "[A-Z][A-Z0-9]{1,4}", year in 2000i16..2100, number in 1u32..NUMBER_MAX,
            at in 0usize..16, by in 1u8..35,
        ) {
            let reference = Reference::new(&short, year, number);
            prop_assert_eq!(Reference::parse(reference.as_str(), "r").unwrap(), reference.clone());
            let mut slip = reference.as_str().as_bytes().to_vec();
            let at = at % slip.len();
            if slip[at] != b'-' && slip[at] != b'*' {
                let place = ALPHABET.iter().position(|known| *known == slip[at]).unwrap();
                slip[at] = ALPHABET[(place + usize::from(by)) % 36];
                let slip = String::from_utf8(slip).unwrap();
                if slip != reference.as_str() {
                    prop_assert!(Reference::parse(&slip, "r").is_err());
                }
            }
        }
    }
}
