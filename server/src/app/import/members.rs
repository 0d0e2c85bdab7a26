//! members.csv.

use super::{
    points::{bounded, point_code},
    row::{Column, Row, columns},
    speakers::Profile,
};
use crate::domain::{
    code::{codes, source},
    contact::{Email, HANDLES_MAX, Handle, Phone},
    id::PointCode,
    language::{Language, LocalTexts, languages},
    member::{
        Availability, EXPERTISE_MAX, FieldGroup, Member, MemberState, Role, Roles, SKILL_MAX, Study,
    },
    name::{Name, Names, Order, Script},
    region::Region,
    text::{Invalid, LINE_MAX, line},
    time::Time,
};

/// What the data says of a person who is no more.
const ERASED: &str = "erased";

columns!(MemberColumns {
    member_id, home_point, state;
    joined_on, ended_on, name_zh_hans, name_zh_hant, family_zh, given_zh, name_latin,
    family_latin, given_latin, given_en, name_order, preferred_script, sort_key, preferred_lang,
    other_langs, city_code, phone, email, handle, study_country, study_org_id, study_from,
    study_to, degree_isced, field_group, field_isced_f, expertise, employer_org_id, roles,
    availability, moved_from, moved_on, created_at, updated_at, id, institution, subject, skills,
});

impl MemberColumns {
    /// The record's own id, as an export of this node writes it.
    pub fn id(&self) -> Column {
        self.id
    }

    pub fn home(&self) -> Column {
        self.home_point
    }
}

/// What a row needs to be told apart before it is read in full.
pub struct Head<'a> {
    pub source: &'a str,
    pub home: PointCode,
    pub is_erased: bool,
    pub create_time: Time,
    pub update_time: Time,
    pub is_speaker: bool,
}

pub fn head<'a>(
    row: &Row<'a>,
    c: &MemberColumns,
    home: impl FnOnce(&str) -> Result<PointCode, Invalid>,
) -> Result<Head<'a>, Invalid> {
    let update_time = row.time(c.updated_at)?;
    let is_erased = row.text(c.state) == ERASED;
    let create_time = match (row.time(c.created_at)?, update_time) {
        (Some(created), _) => created,
        (None, Some(updated)) if is_erased => updated,
        (None, _) => return Err(Invalid::new(c.created_at.name, "required")),
    };
    let id = row.required(c.member_id)?;
    source(id, c.member_id.name)?;
    Ok(Head {
        source: id,
        home: home(row.required(c.home_point)?)?,
        is_erased,
        create_time,
        update_time: update_time.unwrap_or(create_time),
        is_speaker: row.list(c.roles).any(|role| role == Role::Speaker.name()),
    })
}

/// Reads one living member.
pub fn member(
    row: &Row<'_>,
    c: &MemberColumns,
    head: &Head<'_>,
    profile: Profile,
) -> Result<Member, Invalid> {
    let year = |column| row.number(column, u32::from(u16::MAX)).map(|year| year.map(|y| y as u16));
    let study = Study {
        country: row.optional(c.study_country, Region::parse)?,
        org: source(row.text(c.study_org_id), c.study_org_id.name)?,
        from_year: year(c.study_from)?,
        to_year: year(c.study_to)?,
        degree: row.number(c.degree_isced, u32::from(u8::MAX))?.map(|degree| degree as u8),
        field: row.text(c.field_isced_f).to_owned(),
        institution: line(row.text(c.institution), c.institution.name, LINE_MAX)?,
        subject: line(row.text(c.subject), c.subject.name, LINE_MAX)?,
    };
    let mut skills = Vec::new();
    for text in row.list(c.skills) {
        skills.push(line(text, c.skills.name, SKILL_MAX)?);
    }
    Member {
        state: row.read(c.state, MemberState::parse)?,
        joined_on: row.date(c.joined_on)?,
        ended_on: row.date(c.ended_on)?,
        names: names(row, c)?,
        preferred_language: row.read(c.preferred_lang, Language::parse)?,
        other_languages: languages(row.list(c.other_langs), c.other_langs.name)?,
        city: row.read(c.city_code, Region::parse)?,
        phone: row.optional(c.phone, |text, field| {
            // Most are good as they stand; the others are what people write.
            Phone::parse(text, field).or_else(|_| Phone::tidy(text, field))
        })?,
        email: row.optional(c.email, Email::parse)?,
        handles: bounded(
            row.list(c.handle).map(|text| Handle::parse(text, c.handle.name)),
            HANDLES_MAX,
            c.handle.name,
        )?,
        study: study.checked()?,
        field_group: row.optional(c.field_group, FieldGroup::parse)?,
        expertise: codes(row.list(c.expertise), c.expertise.name, EXPERTISE_MAX)?,
        employer_org: source(row.text(c.employer_org_id), c.employer_org_id.name)?,
        roles: row
            .list(c.roles)
            .map(|text| Role::parse(text, c.roles.name))
            .collect::<Result<Roles, _>>()?,
        availability: row.optional(c.availability, Availability::parse)?,
        moved_from: row.optional(c.moved_from, point_code)?,
        home_number: 0,
        moved_on: row.date(c.moved_on)?,
        biographies: LocalTexts::default(),
        further_studies: Vec::new(),
        affiliations: Vec::new(),
        skills,
        speaker: profile.speaker,
        seats: profile.seats,
        source: head.source.to_owned(),
        create_time: head.create_time,
        update_time: head.update_time,
    }
    .checked()
}

/// The names of a row: per script that is there. The parts of a Chinese name are given once, in the
/// script of `name_zh_hans` if that is there.
pub fn names(row: &Row<'_>, c: &MemberColumns) -> Result<Names, Invalid> {
    let parts = [row.text(c.family_zh), row.text(c.given_zh)];
    let latin_order = row.optional(c.name_order, Order::parse)?.unwrap_or(Order::FamilyFirst);
    let mut all = Vec::with_capacity(4);
    for (script, column) in [(Script::Hans, c.name_zh_hans), (Script::Hant, c.name_zh_hant)] {
        let full = row.text(column);
        if !full.is_empty() {
            let ([family, given], order) = split(full, parts);
            all.push(Name::new(script, [family, given, full], order, column.name)?);
        }
    }
    let latin = row.text(c.name_latin);
    if !latin.is_empty() {
        let parts = [row.text(c.family_latin), row.text(c.given_latin), latin];
        all.push(Name::new(Script::Latin, parts, latin_order, c.name_latin.name)?);
    }
    let english = row.text(c.given_en);
    if !english.is_empty() {
        let parts = ["", "", english];
        all.push(Name::new(Script::Nickname, parts, latin_order, c.given_en.name)?);
    }
    if all.is_empty() {
        return Err(Invalid::new(c.name_zh_hans.name, "name_missing"));
    }
    let preferred = row.optional(c.preferred_script, Script::parse)?.unwrap_or(all[0].script);
    let key = row.text(c.sort_key);
    if let Some(at) = all.iter().position(|name| name.script == preferred) {
        let name = all.swap_remove(at).sorted_by(key, c.sort_key.name)?;
        // The preferred name first: it is the one that most readers want.
        all.insert(0, name);
    }
    Names::new(all, preferred, c.preferred_script.name)
}

/// Cuts a Chinese name where the parts say. The parts may be in the other script: then their
/// lengths say it, character by character.
fn split<'a>(full: &'a str, [family, given]: [&'a str; 2]) -> ([&'a str; 2], Order) {
    if full.strip_prefix(family).is_some_and(|rest| rest == given) {
        return ([family, given], Order::FamilyFirst);
    }
    if full.starts_with(given) && full.ends_with(family) && !family.is_empty() {
        return ([family, given], Order::GivenFirst);
    }
    let lengths = (family.chars().count(), given.chars().count());
    if lengths.0 + lengths.1 == full.chars().count()
        && let Some((cut, _)) = full.char_indices().nth(lengths.0)
    {
        let (family, given) = full.split_at(cut);
        return ([family, given], Order::FamilyFirst);
    }
    (["", ""], Order::FamilyFirst)
}
