//! Invented member cards of 400 bytes, some 110 of them beyond what compression can save.

use prost::Message;
use yizhan_proto::v1::{
    self,
    person_name::{Order, Script},
};

/// Bytes of every card.
pub const CARD_LEN: usize = 400;

const FAMILIES: [(&str, &str); 20] = [
    ("王", "wang"),
    ("李", "li"),
    ("张", "zhang"),
    ("刘", "liu"),
    ("陈", "chen"),
    ("杨", "yang"),
    ("赵", "zhao"),
    ("黄", "huang"),
    ("周", "zhou"),
    ("吴", "wu"),
    ("徐", "xu"),
    ("孙", "sun"),
    ("胡", "hu"),
    ("朱", "zhu"),
    ("高", "gao"),
    ("林", "lin"),
    ("何", "he"),
    ("郭", "guo"),
    ("马", "ma"),
    ("罗", "luo"),
];
const GIVEN: [(&str, &str); 40] = [
    ("伟", "wei"),
    ("芳", "fang"),
    ("娜", "na"),
    ("敏", "min"),
    ("静", "jing"),
    ("丽", "li"),
    ("强", "qiang"),
    ("磊", "lei"),
    ("军", "jun"),
    ("洋", "yang"),
    ("勇", "yong"),
    ("艳", "yan"),
    ("杰", "jie"),
    ("涛", "tao"),
    ("明", "ming"),
    ("超", "chao"),
    ("秀", "xiu"),
    ("霞", "xia"),
    ("平", "ping"),
    ("刚", "gang"),
    ("桂", "gui"),
    ("英", "ying"),
    ("华", "hua"),
    ("慧", "hui"),
    ("巧", "qiao"),
    ("美", "mei"),
    ("云", "yun"),
    ("莲", "lian"),
    ("真", "zhen"),
    ("环", "huan"),
    ("雪", "xue"),
    ("荣", "rong"),
    ("爱", "ai"),
    ("妹", "mei"),
    ("香", "xiang"),
    ("月", "yue"),
    ("莺", "ying"),
    ("媛", "yuan"),
    ("瑞", "rui"),
    ("凡", "fan"),
];
const CITIES: [&str; 8] =
    ["440100", "440300", "440400", "440600", "440700", "445300", "GBLON", "AUSYD"];
const FIELDS: [&str; 6] =
    ["engineering", "business_law", "arts_education", "ict", "natural_science", "health"];

/// Numbers that look random and are the same in every run.
fn draw(number: u32, version: u32, purpose: u8) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&number.to_le_bytes()).update(&version.to_le_bytes()).update(&[purpose]);
    *hasher.finalize().as_bytes()
}

/// Han form of the name of card `number`: what is searched for.
pub fn name(number: u32) -> (String, String, String) {
    let random = draw(number, 0, 1);
    let (family, family_latin) = FAMILIES[random[0] as usize % FAMILIES.len()];
    let (one, one_latin) = GIVEN[random[1] as usize % GIVEN.len()];
    let (two, two_latin) = GIVEN[random[2] as usize % GIVEN.len()];
    let given_latin =
        if random[3] < 60 { one_latin.to_owned() } else { format!("{one_latin}{two_latin}") };
    let given = if random[3] < 60 { one.to_owned() } else { format!("{one}{two}") };
    (format!("{family}{given}"), family_latin.to_owned(), given_latin)
}

/// The first two characters of that name: every member is found by them.
pub fn first_two(number: u32) -> String {
    name(number).0.chars().take(2).collect()
}

fn title(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_ascii_uppercase().to_string() + chars.as_str())
        .unwrap_or_default()
}

/// The encoded card `number` in one of its versions.
pub fn card(number: u32, version: u32) -> Vec<u8> {
    let (full, family_latin, given_latin) = name(number);
    let family: String = full.chars().take(1).collect();
    let given: String = full.chars().skip(1).collect();
    let random = draw(number, version, 2);
    let sort_key = format!("{family_latin} {given_latin}");
    let han = v1::PersonName {
        script: Script::Hans.into(),
        family,
        given,
        full,
        order: Order::FamilyFirst.into(),
        sort_key: sort_key.clone(),
    };
    let latin = v1::PersonName {
        script: Script::Latin.into(),
        full: format!("{} {}", title(&family_latin), title(&given_latin)),
        family: title(&family_latin),
        given: title(&given_latin),
        order: Order::FamilyFirst.into(),
        sort_key,
    };
    let card = v1::Card {
        home_number: 0,
        former_home: String::new(),
        names: vec![han, latin],
        preferred_script: Script::Hans.into(),
        city_code: CITIES[random[0] as usize % CITIES.len()].to_owned(),
        fields: vec![FIELDS[random[1] as usize % FIELDS.len()].to_owned()],
        expertise: Vec::new(),
        languages: vec!["zh-Hans".to_owned(), "en".to_owned()],
        roles: Vec::new(),
        availability: 0,
        basis: Some(v1::ConsentBasis {
            purpose: "profile.network".to_owned(),
            text_version: "v2".to_owned(),
            given_time: Some(prost_types::Timestamp {
                seconds: 1_600_000_000 + i64::from(number),
                nanos: 0,
            }),
            expire_time: None,
        }),
    };
    let mut bytes = card.encode_to_vec();
    pad(&mut bytes, &random);
    bytes
}

/// A field of a later version fills the card up: 40 random bytes, then words.
fn pad(bytes: &mut Vec<u8>, random: &[u8; 32]) {
    const TAG: [u8; 2] = [0xfa, 0x3f]; // field 127, length-delimited
    const WORDS: &[u8] =
        b"a note that a later version of the card would carry, the same for many people; ";
    let room = CARD_LEN.saturating_sub(bytes.len() + 4);
    bytes.extend_from_slice(&TAG);
    // Two bytes of length, so that the card has its size to the byte.
    bytes.push((room & 0x7f) as u8 | 0x80);
    bytes.push((room >> 7) as u8);
    let start = bytes.len();
    bytes.extend_from_slice(random);
    bytes.extend_from_slice(&random[..8]);
    while bytes.len() < start + room {
        let word = WORDS[(bytes.len() - start) % WORDS.len()];
        bytes.push(word);
    }
    bytes.truncate(start + room);
}
