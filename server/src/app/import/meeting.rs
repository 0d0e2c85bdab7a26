//! A person of a row meets the members of a home, and becomes one of them or brings one up to date.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use prost::Message;
use yizhan_proto::v1;

use super::{
    item::{Batch, Value, Verdict},
    persons::{self, Person, PersonColumns},
    reading::{Asked, Known},
    row::{Row, midnight_ms},
    rows::{Fate, RowReader},
    table::Table,
};
use crate::domain::{
    calendar::Date,
    grant::{GivenVia, Grant, GrantState, Purpose, Scope, check_listed},
    group::{Place, PlaceRole, PlaceState},
    id::{GrantId, MemberId, PointCode, RecordId},
    kind::Kind,
    language::LocalTexts,
    likeness::{Met, Traits},
    member::{Member, MemberState, Role, Roles},
    text::Invalid,
    time::Time,
};

/// Version of the consent text that files without one speak of.
const TEXT_VERSION: &str = "v2";

/// Phones, addresses and names of the persons of the files so far, as hashes.
#[derive(Default)]
pub struct Seen {
    seed: RandomState,
    hashes: HashSet<u64>,
}

impl Seen {
    fn has(&self, what: &(&str, String)) -> bool {
        self.hashes.contains(&self.seed.hash_one(what))
    }

    fn add(&mut self, what: &(&str, String)) {
        self.hashes.insert(self.seed.hash_one(what));
    }
}

/// A member that a row meets.
struct Stored {
    id: RecordId,
    member: Member,
}

impl RowReader<'_, '_> {
    pub(super) fn person(
        &mut self,
        row: &Row<'_>,
        c: &PersonColumns,
        batch: &mut Batch,
    ) -> Result<Fate, Invalid> {
        let home = self.settings.home.clone();
        if !self.settings.served.contains(&home) {
            return Ok(Fate::Skipped);
        }
        let is_key_contact = self.table == Table::KeyContacts;
        let person = persons::person(row, c, is_key_contact, day(self.settings.as_of))?;
        let cohort = match person.cohort {
            Some(number) => {
                let unknown = || Invalid::new("cohort_no", "unknown_cohort");
                Some(self.cohort(number).ok_or_else(unknown)?)
            }
            None if is_key_contact => return Err(Invalid::new("cohort_no", "required")),
            None => None,
        };
        let marks = self.marks(&person);
        if let Some((field, _)) = marks.iter().find(|mark| self.known.seen.has(mark)) {
            return Err(Invalid::new(*field, "duplicate_in_file"));
        }
        let stored = match self.meet(&home, &person) {
            Met::Doubt { field, matches } => {
                let field = self.header.shown(field).to_owned();
                let matches: Vec<RecordId> = matches.into_iter().map(|stored| stored.id).collect();
                batch.met.extend(&matches);
                batch.doubt(self.file, self.row_number, &field, matches);
                return Ok(Fate::Doubted);
            }
            Met::Nobody => None,
            Met::One(stored) => {
                batch.met.push(stored.id);
                Some(stored)
            }
        };
        if let Some(Stored { id, .. }) = &stored {
            self.check_consents(row, c, &home, *id, &person)?;
        }
        marks.iter().for_each(|mark| self.known.seen.add(mark));
        self.take(&home, person, stored, cohort, batch);
        Ok(Fate::Taken)
    }

    /// What tells a person of the file from the others. A key contact is reached by mail first, a
    /// sheet goes by the mobile.
    fn marks(&self, person: &Person) -> Vec<(&'static str, String)> {
        let phone = person.phone.iter().map(|phone| ("phone", phone.as_str().to_owned()));
        let email = person.email.iter().map(|email| ("email", email.as_str().to_lowercase()));
        let mut marks: Vec<_> = phone.chain(email).collect();
        if self.table == Table::KeyContacts {
            marks.reverse();
        }
        if marks.is_empty() {
            marks.push(("name", format!("{} {}", person.name, person.city)));
        }
        marks
    }

    /// Whom of the home's members a person is.
    fn meet(&mut self, home: &PointCode, person: &Person) -> Met<Stored> {
        let traits = Traits {
            names: &person.names,
            name: &person.name,
            city: person.city,
            phone: person.phone.as_ref(),
            email: person.email.as_ref(),
        };
        let mut met: Vec<(&'static str, Stored)> = Vec::new();
        for by in traits.asked() {
            for known in (self.lookup)(Asked::Like(home, by)) {
                if met.iter().all(|(_, earlier)| earlier.id != known.id)
                    && let Some(member) = member_of(&known)
                {
                    met.push((by.field(), Stored { id: known.id, member }));
                }
            }
        }
        traits.meet(met, |stored| &stored.member)
    }

    /// Puts the member, what the person has agreed to, and the place in the cohort.
    fn take(
        &mut self,
        home: &PointCode,
        person: Person,
        stored: Option<Stored>,
        cohort: Option<RecordId>,
        batch: &mut Batch,
    ) {
        let now = self.settings.now;
        let mark = self.marks(&person).into_iter().map(|(_, mark)| mark).next().unwrap_or_default();
        let (id, before) = match stored {
            Some(Stored { id, member }) => (id, Some(member)),
            None => {
                let source = format!("person {home} {mark}");
                (self.settings.id_of(Kind::MEMBER, &source, self.settings.as_of), None)
            }
        };
        let is_known = before.is_some();
        let member = overlaid(&person, before, cohort.is_some(), now);
        batch.put(home, id, Value::Member(Box::new(member)), 1);

        let mut in_force = match is_known {
            true => self.in_force(home, id),
            false => Vec::new(),
        };
        for purpose in &person.consents {
            let Some(day) = person.consented_on else { break };
            if in_force.iter().any(|(_, known)| known == purpose) {
                continue;
            }
            let (grant_id, grant) = self.consent(home, id, *purpose, day, &person);
            batch.put_also(home, grant_id, Value::Grant(Box::new(grant)));
            in_force.push((GrantId(grant_id.0), *purpose));
        }
        let grant_of =
            |purpose| in_force.iter().find(|(_, known)| *known == purpose).map(|(id, _)| *id);
        if let Some(group) = cohort {
            let place = Place {
                group,
                member: Some(MemberId(id.0)),
                token: self.settings.token(&id.0),
                role: PlaceRole::KeyContact,
                state: PlaceState::ActiveContact,
                from: person.consented_on.or(Some(day(self.settings.as_of))),
                to: None,
                duty_region: None,
                grant: grant_of(Purpose::ContactByPoints),
                display_names: LocalTexts::default(),
                source: String::new(),
            };
            let source = format!("place {group} {id}");
            let place_id = self.settings.id_of(Kind::GROUP_MEMBER, &source, Time(0));
            let value = Value::Place { place: Box::new(place), only_new: true };
            batch.put_also(home, place_id, value);
        }
        self.known.redisclose.insert(id, home.clone());
        let is_shown = grant_of(Purpose::ProfileNetwork).is_some();
        let visibility = if is_shown { "network" } else { "home" };
        self.remark(&person, is_known, visibility, batch);
    }

    /// Tells what became of a row that went in.
    fn remark(&self, person: &Person, is_known: bool, visibility: &'static str, batch: &mut Batch) {
        let mut say = |field: &str, reason| {
            let invalid = Invalid::new(self.header.shown(field), reason);
            let verdict = Verdict::new(self.file, self.row_number, invalid);
            batch.remarks.push(Verdict { visibility, ..verdict });
        };
        if is_known {
            say("", "ok_existing");
        }
        person.remarks.iter().for_each(|(field, reason)| say(field, reason));
        if !is_known && person.remarks.is_empty() {
            say("", "ok");
        }
    }

    /// Refuses a row with a consent that the person has taken back since, or lately. A consent that
    /// is known stays as it stands, whatever the list says.
    fn check_consents(
        &mut self,
        row: &Row<'_>,
        c: &PersonColumns,
        home: &PointCode,
        id: RecordId,
        person: &Person,
    ) -> Result<(), Invalid> {
        let Some(day) = person.consented_on else { return Ok(()) };
        let now = self.settings.now;
        let known = self.grants(home, id);
        for purpose in &person.consents {
            let (grant_id, listed) = self.consent(home, id, *purpose, day, person);
            let holds = |grant: &Grant| {
                grant.purpose == *purpose && grant.scope == Scope::Unlimited && grant.holds_at(now)
            };
            if known.iter().any(|(known, grant)| known.0 == grant_id.0 || holds(grant)) {
                continue;
            }
            check_listed(&listed, known.iter().map(|(_, grant)| grant), now).map_err(
                |invalid| Invalid { field: c.consent_column(row).to_owned(), ..invalid },
            )?;
        }
        Ok(())
    }

    /// A consent as a list states it, and its id: the same list states the same one again.
    fn consent(
        &self,
        home: &PointCode,
        id: RecordId,
        purpose: Purpose,
        day: Date,
        person: &Person,
    ) -> (RecordId, Grant) {
        let grant = consent(home, id, purpose, day, person);
        let source = format!("consent {id} {} {day}", purpose.name());
        (self.settings.id_of(Kind::GRANT, &source, grant.given_time), grant)
    }

    /// The consents of a member, those included that have ended.
    fn grants(&mut self, home: &PointCode, id: RecordId) -> Vec<(GrantId, Grant)> {
        let known = (self.lookup)(Asked::Grants(home, id)).into_iter();
        let grants = known.filter_map(|known| {
            let grant = v1::Grant::decode(&known.payload[..]).ok()?;
            Some((GrantId(known.id.0), Grant::try_from(grant).ok()?))
        });
        grants.collect()
    }

    /// The consents of a member that hold now.
    pub(super) fn in_force(&mut self, home: &PointCode, id: RecordId) -> Vec<(GrantId, Purpose)> {
        let now = self.settings.now;
        let mut grants = self.grants(home, id);
        grants.retain(|(_, grant)| grant.holds_at(now) && grant.scope == Scope::Unlimited);
        grants.into_iter().map(|(id, grant)| (id, grant.purpose)).collect()
    }
}

fn member_of(known: &Known) -> Option<Member> {
    v1::Member::decode(&known.payload[..]).ok().and_then(|member| member.try_into().ok())
}

/// The member with what the row says; what it does not say stays. Nothing new: nothing changes.
fn overlaid(person: &Person, before: Option<Member>, is_key_contact: bool, now: Time) -> Member {
    let mut roles = before.as_ref().map_or(Roles::default(), |member| member.roles);
    if is_key_contact {
        roles.add(Role::KeyContact);
    }
    let Some(before) = before else {
        return Member {
            state: MemberState::Active,
            joined_on: None,
            ended_on: None,
            names: person.names.clone(),
            preferred_language: person.language.clone(),
            other_languages: Vec::new(),
            city: person.city,
            phone: person.phone.clone(),
            email: person.email.clone(),
            handles: Vec::new(),
            study: person.study.clone(),
            field_group: None,
            expertise: person.expertise.clone(),
            employer_org: String::new(),
            roles,
            availability: None,
            moved_from: None,
            moved_on: None,
            biographies: LocalTexts::default(),
            further_studies: Vec::new(),
            affiliations: Vec::new(),
            skills: person.skills.clone(),
            speaker: None,
            seats: Vec::new(),
            source: String::new(),
            home_number: 0,
            create_time: now,
            update_time: now,
        };
    };
    let mut member = before.clone();
    member.roles = roles;
    member.city = person.city;
    member.phone = person.phone.clone().or(member.phone);
    member.email = person.email.clone().or(member.email);
    member.study = member.study.or_else(|| person.study.clone());
    for code in &person.expertise {
        if !member.expertise.contains(code) {
            member.expertise.push(code.clone());
        }
    }
    for skill in &person.skills {
        if !member.skills.contains(skill) {
            member.skills.push(skill.clone());
        }
    }
    member.expertise.truncate(crate::domain::member::EXPERTISE_MAX);
    member.skills.truncate(crate::domain::member::SKILLS_MAX);
    if member != before {
        member.update_time = now.max(Time(before.update_time.0 + 1));
    }
    member
}

/// A consent as a list on paper states it: the point answers for it, not whoever imports.
fn consent(home: &PointCode, id: RecordId, purpose: Purpose, on: Date, person: &Person) -> Grant {
    Grant {
        member: MemberId(id.0),
        purpose,
        scope: Scope::Unlimited,
        text_version: TEXT_VERSION.to_owned(),
        text_language: person.language.clone(),
        given_via: GivenVia::Paper,
        given_time: Time::from_millis(midnight_ms(on) as i64),
        expire_time: None,
        state: GrantState::Given,
        end_time: None,
        asserted_by: Some(home.clone()),
        source: String::new(),
        text_hash: None,
        evidence_hash: None,
    }
}

/// The day of a moment in UTC.
fn day(time: Time) -> Date {
    let at = jiff::Timestamp::from_microsecond(time.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    at.to_zoned(jiff::tz::TimeZone::UTC).date()
}
