//! When two descriptions mean one person: nobody, exactly one, or a doubt that is told and never
//! resolved by a guess. One rule for files of persons and for a member made by hand.

use super::{
    contact::{Email, Phone},
    member::Member,
    name::Names,
    region::Region,
};

/// What tells a person from the other members of a home.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    pub names: &'a Names,
    /// The name that the person goes by: members who are met have to bear it.
    pub name: &'a str,
    pub city: Region,
    pub phone: Option<&'a Phone>,
    pub email: Option<&'a Email>,
}

/// What members are looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By<'a> {
    Phone(&'a str),
    Email(&'a str),
    /// A name, and where its bearer lives.
    Name(&'a str, Region),
}

impl By<'_> {
    /// The field that a doubt is about.
    pub fn field(self) -> &'static str {
        match self {
            By::Phone(_) => "phone",
            By::Email(_) => "email",
            By::Name(..) => "name",
        }
    }
}

/// Whom a description means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Met<T> {
    Nobody,
    One(T),
    /// Several, or one of another name.
    Doubt {
        field: &'static str,
        matches: Vec<T>,
    },
}

impl<'a> Traits<'a> {
    pub fn of(member: &'a Member) -> Traits<'a> {
        Traits {
            names: &member.names,
            name: &member.names.preferred().full,
            city: member.city,
            phone: member.phone.as_ref(),
            email: member.email.as_ref(),
        }
    }

    /// What to look members up by: phone and e-mail; name and place only if there is neither.
    pub fn asked(&self) -> Vec<By<'a>> {
        let phone = self.phone.map(|phone| By::Phone(phone.as_str()));
        let email = self.email.map(|email| By::Email(email.as_str()));
        let mut asked: Vec<By> = phone.into_iter().chain(email).collect();
        if asked.is_empty() {
            asked.push(By::Name(self.name, self.city));
        }
        asked
    }

    fn is_bare(&self) -> bool {
        self.phone.is_none() && self.email.is_none()
    }

    fn has_name(&self, names: &Names) -> bool {
        names.all().iter().any(|known| known.full == self.name)
    }

    /// Do both have a name in one script, and not the same? Many share one of two characters.
    fn is_named_otherwise(&self, names: &Names) -> bool {
        let mut own = self.names.all().iter();
        own.any(|name| names.in_script(name.script).is_some_and(|known| known.full != name.full))
    }

    /// Whom of those who were found the traits mean. Everybody is in `found` once, with the field
    /// that they were found by first.
    pub fn meet<T>(
        &self,
        mut found: Vec<(&'static str, T)>,
        member: impl Fn(&T) -> &Member,
    ) -> Met<T> {
        if self.is_bare() {
            found.retain(|(_, at)| {
                let known = member(at);
                self.has_name(&known.names)
                    && !self.is_named_otherwise(&known.names)
                    && known.city == self.city
            });
        }
        let is_one = matches!(&found[..], [(_, one)] if self.has_name(&member(one).names));
        match (found.first().map(|(field, _)| *field), is_one) {
            (None, _) => Met::Nobody,
            (Some(_), true) => found.pop().map_or(Met::Nobody, |(_, one)| Met::One(one)),
            (Some(field), false) => {
                Met::Doubt { field, matches: found.into_iter().map(|(_, at)| at).collect() }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use yizhan_proto::v1;

    use super::*;

    fn member(hans: &str, latin: &str, phone: &str, city: &str) -> Member {
        let name = |script, full: &str| v1::PersonName {
            script,
            full: full.into(),
            order: 1,
            ..Default::default()
        };
        let mut names = vec![name(1, hans)];
        if !latin.is_empty() {
            names.push(name(3, latin));
        }
        let message = v1::Member {
            state: 2,
            names,
            preferred_script: 1,
            preferred_language: "zh-Hans".into(),
            city_code: city.into(),
            phone: phone.into(),
            create_time: Some(Default::default()),
            update_time: Some(Default::default()),
            ..Default::default()
        };
        message.try_into().unwrap()
    }

    fn met(new: &Member, found: &[(&'static str, &Member)]) -> Met<usize> {
        let all = found.iter().enumerate();
        let all = all.map(|(at, (field, known))| (*field, (at, Member::clone(known)))).collect();
        match Traits::of(new).meet(all, |(_, known)| known) {
            Met::Nobody => Met::Nobody,
            Met::One((at, _)) => Met::One(at),
            Met::Doubt { field, matches } => {
                Met::Doubt { field, matches: matches.into_iter().map(|(at, _)| at).collect() }
            }
        }
    }

    #[test]
    fn a_phone_means_its_bearer_and_nobody_of_another_name() {
        let new = member("张伟", "", "+8615400000001", "440100");
        assert_eq!(Traits::of(&new).asked(), [By::Phone("+8615400000001")]);
        let same = member("张伟", "", "+8615400000001", "440300");
        let wife = member("王芳", "", "+8615400000001", "440100");
        assert_eq!(met(&new, &[]), Met::Nobody);
        assert_eq!(met(&new, &[("phone", &same)]), Met::One(0));
        let doubt = |matches| Met::Doubt { field: "phone", matches };
        assert_eq!(met(&new, &[("phone", &wife)]), doubt(vec![0]));
        assert_eq!(met(&new, &[("phone", &same), ("email", &wife)]), doubt(vec![0, 1]));
    }

    #[test]
    fn a_name_alone_means_who_bears_it_in_that_place() {
        let new = member("张伟", "Zhang Wei", "", "440100");
        assert_eq!(Traits::of(&new).asked(), [By::Name("张伟", new.city)]);
        let same = member("张伟", "", "+8615400000001", "440100");
        let elsewhere = member("张伟", "", "", "440300");
        let otherwise = member("张伟", "Cheung Wai", "", "440100");
        let longer = member("张伟民", "", "", "440100");
        assert_eq!(met(&new, &[("name", &same)]), Met::One(0));
        let others = [("name", &elsewhere), ("name", &otherwise), ("name", &longer)];
        assert_eq!(met(&new, &others), Met::Nobody);
        let two = met(&new, &[("name", &same), ("name", &same)]);
        assert_eq!(two, Met::Doubt { field: "name", matches: vec![0, 1] });
    }
}
