//! What is known of Chinese names: surnames of two characters, and the key a name sorts by.

use pinyin::ToPinyin;

/// Surnames of two characters. After the list of 《百家姓》, those in use.
const COMPOUND: &[&str] = &[
    "欧阳", "歐陽", "司徒", "司马", "司馬", "上官", "诸葛", "諸葛", "夏侯", "皇甫", "尉迟", "尉遲",
    "公孙", "公孫", "慕容", "令狐", "宇文", "长孙", "長孫", "东方", "東方", "端木", "南宫", "南宮",
    "轩辕", "軒轅", "独孤", "獨孤", "万俟", "闻人", "聞人", "赫连", "赫連", "钟离", "鍾離", "呼延",
    "淳于", "单于", "單于", "申屠", "太叔", "仲孙", "仲孫", "濮阳", "濮陽", "澹台", "澹臺",
];

/// Surnames that are read otherwise than the character alone.
const READINGS: &[(char, &str)] = &[
    ('单', "shan"),
    ('單', "shan"),
    ('仇', "qiu"),
    ('解', "xie"),
    ('曾', "zeng"),
    ('查', "zha"),
    ('区', "ou"),
    ('區', "ou"),
    ('任', "ren"),
    ('盖', "ge"),
    ('朴', "piao"),
    ('尉', "yu"),
];

/// Does the name begin with a surname of two characters, with a given name behind it?
pub fn compound_surname(name: &str) -> bool {
    name.chars().count() > 2 && COMPOUND.iter().any(|surname| name.starts_with(surname))
}

/// Lower-case ASCII, family then given: what a Chinese name sorts by. Characters without a reading
/// are left out.
pub fn sort_key(name: &str) -> String {
    let family = if compound_surname(name) { 2 } else { 1 };
    let mut key = String::new();
    for (at, character) in name.chars().enumerate() {
        if at == family && !key.is_empty() {
            key.push(' ');
        }
        let special = READINGS.iter().find(|(known, _)| at == 0 && *known == character);
        match (special, character.to_pinyin()) {
            (Some((_, reading)), _) if family == 1 => key.push_str(reading),
            (_, Some(reading)) => {
                key.extend(reading.plain().chars().map(|c| if c == 'ü' { 'v' } else { c }));
            }
            _ if character.is_ascii_alphanumeric() => key.push(character.to_ascii_lowercase()),
            _ => (),
        }
    }
    key.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_by_surname_as_it_is_read() {
        assert_eq!(sort_key("欧阳若晴"), "ouyang ruoqing");
        assert_eq!(sort_key("单雄信"), "shan xiongxin");
        assert_eq!(sort_key("张伟"), "zhang wei");
        assert_eq!(sort_key("=x"), "x");
    }
}
