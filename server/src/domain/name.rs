//! Names of people: per script, with order and sort key.
//!
//! A name is kept as it was written, oddities included; only control characters are refused.

use super::{
    code::named,
    text::{self, Invalid},
};

/// Longest name, in characters.
pub const NAME_MAX: usize = 100;
/// Most names of one person.
pub const NAMES_MAX: usize = 8;

named! {
    /// What a name is written in.
    Script, "unknown_script";
    Hans = 1 "zh-Hans",
    Hant = 2 "zh-Hant",
    Latin = 3 "latin",
    /// A further Latin name that the person goes by, such as an English given name.
    Nickname = 4 "nickname",
}

named! {
    /// Which part is said first.
    Order, "unknown_name_order";
    FamilyFirst = 1 "family_first",
    GivenFirst = 2 "given_first",
}

/// One name in one script.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Name {
    pub script: Script,
    /// Empty for a person who has none, or where the parts are not known.
    pub family: String,
    pub given: String,
    /// Never empty.
    pub full: String,
    pub order: Order,
    /// Lower-case ASCII, family then given; empty for scripts that are sorted by another name.
    pub sort_key: String,
}

impl Name {
    pub fn new(
        script: Script,
        [family, given, full]: [&str; 3],
        order: Order,
        field: &str,
    ) -> Result<Name, Invalid> {
        Ok(Name {
            script,
            family: text::line(family, field, NAME_MAX)?,
            given: text::line(given, field, NAME_MAX)?,
            full: text::required(text::line(full, field, NAME_MAX)?, field)
                .map_err(|_| Invalid::new(field, "name_missing"))?,
            order,
            sort_key: String::new(),
        })
    }

    pub fn sorted_by(mut self, key: &str, field: &str) -> Result<Name, Invalid> {
        let good = key.len() <= NAME_MAX
            && key.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b' '));
        if !good {
            return Err(Invalid::new(field, "sort_key_malformed"));
        }
        key.clone_into(&mut self.sort_key);
        Ok(self)
    }
}

/// The names of one person: at least one, at most one per script, the preferred one known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Names {
    all: Vec<Name>,
    preferred: Script,
}

impl Names {
    pub fn new(all: Vec<Name>, preferred: Script, field: &str) -> Result<Names, Invalid> {
        if all.is_empty() {
            return Err(Invalid::new(field, "name_missing"));
        }
        if all.len() > NAMES_MAX {
            return Err(Invalid::new(field, "too_many"));
        }
        for (at, name) in all.iter().enumerate() {
            if all[..at].iter().any(|earlier| earlier.script == name.script) {
                return Err(Invalid::new(field, "duplicate_script"));
            }
        }
        if !all.iter().any(|name| name.script == preferred) {
            return Err(Invalid::new(field, "preferred_name_missing"));
        }
        Ok(Names { all, preferred })
    }

    pub fn all(&self) -> &[Name] {
        &self.all
    }

    pub fn preferred_script(&self) -> Script {
        self.preferred
    }

    pub fn preferred(&self) -> &Name {
        self.in_script(self.preferred).unwrap_or(&self.all[0])
    }

    pub fn in_script(&self, script: Script) -> Option<&Name> {
        self.all.iter().find(|name| name.script == script)
    }

    /// The known names instead of these, if these say no more. A row of a table has one family name and
    /// one given name for all Chinese names, one order, and one sort key: what else is known stays.
    pub fn or_known(self, known: Names) -> Names {
        let is_known = |name: &Name| {
            known.in_script(name.script).is_some_and(|known| {
                let is_whole = name.script == self.preferred || name.script == Script::Latin;
                let parts = |name: &Name| (name.family.clone(), name.given.clone(), name.order);
                let keys = name.sort_key.is_empty() || name.sort_key == known.sort_key;
                name.full == known.full && keys && (!is_whole || parts(name) == parts(known))
            })
        };
        let is_same = self.preferred == known.preferred
            && self.all.len() == known.all.len()
            && self.all.iter().all(is_known);
        if is_same { known } else { self }
    }

    /// Does any name hold characters that cannot be seen? Kept, but people are told.
    pub fn is_flagged(&self) -> bool {
        self.all.iter().any(|name| name.full.chars().any(is_invisible))
    }
}

/// Zero-width characters and changes of direction.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(script: Script, full: &str) -> Name {
        Name::new(script, ["", "", full], Order::FamilyFirst, "names").unwrap()
    }

    #[test]
    fn a_person_has_a_name_and_the_preferred_one_is_among_them() {
        assert_eq!(Names::new(vec![], Script::Hans, "names").unwrap_err().reason, "name_missing");
        let latin = vec![name(Script::Latin, "Wulandari")];
        assert!(Names::new(latin.clone(), Script::Hans, "names").is_err());
        assert_eq!(
            Names::new(latin, Script::Latin, "names").unwrap().preferred().full,
            "Wulandari"
        );
    }

    #[test]
    fn what_a_row_cannot_say_of_known_names_stays() {
        let hant = Name { family: "歐陽".into(), ..name(Script::Hant, "歐陽若晴") };
        let hans = name(Script::Hans, "欧阳若晴").sorted_by("ouyang ruoqing", "key").unwrap();
        let names = |all: &[&Name]| {
            let all = all.iter().map(|name| (*name).clone()).collect();
            Names::new(all, Script::Hans, "names").unwrap()
        };
        let known = names(&[&hant, &hans]);
        let plain = Name { family: String::new(), ..hant.clone() };
        assert_eq!(names(&[&hans, &plain]).or_known(known.clone()), known);
        for other in [
            names(&[&hans]),
            names(&[&hans, &name(Script::Hant, "歐陽若清")]),
            names(&[&Name { family: "欧阳".into(), ..hans.clone() }, &plain]),
            names(&[&hans.clone().sorted_by("ou yang", "key").unwrap(), &plain]),
        ] {
            assert_eq!(other.clone().or_known(known.clone()), other);
        }
    }

    #[test]
    fn an_invisible_character_is_kept_and_flagged() {
        let names =
            Names::new(vec![name(Script::Hans, "张\u{200b}伟")], Script::Hans, "names").unwrap();
        assert!(names.is_flagged());
        assert_eq!(names.preferred().full, "张\u{200b}伟");
        assert!(Name::new(Script::Hans, ["", "", "张\0伟"], Order::FamilyFirst, "names").is_err());
    }
}
