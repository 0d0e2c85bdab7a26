//! Characters as the index sees them.

use crate::domain::name::is_invisible;

/// What a character is to the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Part of a word of an alphabet.
    Letter,
    /// Written without spaces: Han, Kana, Hangul.
    Ideograph,
    /// Neither seen nor a break: apostrophes, middle dots, combining marks, zero-width characters.
    Joiner,
    Break,
}

pub fn class(c: char) -> Class {
    if c.is_ascii_alphanumeric() {
        return Class::Letter;
    }
    match c {
        '\'' => Class::Joiner,
        '\0'..='\x7f' => Class::Break,
        '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{3fffd}'
        | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{30fa}'
        | '\u{30fc}'..='\u{30ff}'
        | '\u{ac00}'..='\u{d7a3}' => Class::Ideograph,
        '·' | '•' | '‧' | '・' | '･' | '’' | '‘' | 'ʼ' | '＇' | '\u{300}'..='\u{36f}' => {
            Class::Joiner
        }
        // Markers of filter terms: no text may write them.
        '\u{e000}'..='\u{f8ff}' => Class::Break,
        _ if is_invisible(c) => Class::Joiner,
        _ if c.is_alphanumeric() => Class::Letter,
        _ => Class::Break,
    }
}

/// Base letters of U+00C0 to U+024F; `-` has none. From the canonical decompositions of Unicode,
/// and for crossed letters the letter that is crossed.
const LATIN: &[u8] =
    b"aaaaaa-ceeeeiiiidnooooo-ouuuuy--aaaaaa-ceeeeiiiidnooooo-ouuuuy-yaaaaaaccccccccdd\
ddeeeeeeeeeegggggggghhhhiiiiiiiiii--jjkkkllllllllllnnnnnnnnnoooooo--rrrrrrssssss\
ssttttttuuuuuuuuuuuuwwyyyzzzzzzsb--------------e-------i--------oo-------------u\
u----------------------------aaiioouuuuuuuuuueaaaa----ggkkoooo--j---gg--nnaa----\
aaaaeeeeiiiioooorrrruuuusstt--hh------aaeeooooooooyy----------------------------";
/// Base letters of U+1E00 to U+1EFF.
const LATIN_ADDITIONAL: &[u8] =
    b"aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooo\
oooopppprrrrrrrrssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwyas----\
aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuu\
uuyyyyyyyy------";

/// Appends a letter as the index spells it. `umlaut` stands for `ü`, which people type in three
/// ways.
pub fn push_letter(out: &mut String, c: char, umlaut: &str) {
    if c.is_ascii() {
        out.push(c.to_ascii_lowercase());
        return;
    }
    let code = c as usize;
    let base = match code {
        _ if is_umlaut(c) => {
            out.push_str(umlaut);
            return;
        }
        0xc0..=0x24f => LATIN[code - 0xc0],
        0x1e00..=0x1eff => LATIN_ADDITIONAL[code - 0x1e00],
        // Full-width forms of ASCII.
        0xff10..=0xff19 | 0xff21..=0xff3a | 0xff41..=0xff5a => (code - 0xfee0) as u8,
        _ => b'-',
    };
    match (base, c) {
        (_, 'ß') => out.push_str("ss"),
        (_, 'æ' | 'Æ') => out.push_str("ae"),
        (_, 'œ' | 'Œ') => out.push_str("oe"),
        (_, 'þ' | 'Þ') => out.push_str("th"),
        (b'-', _) => out.extend(c.to_lowercase()),
        (base, _) => out.push(char::from(base.to_ascii_lowercase())),
    }
}

/// `ü` and `Ü`, with or without a tone.
pub fn is_umlaut(c: char) -> bool {
    matches!(c, 'ü' | 'Ü' | 'ǖ' | 'Ǖ' | 'ǘ' | 'Ǘ' | 'ǚ' | 'Ǚ' | 'ǜ' | 'Ǜ')
}
