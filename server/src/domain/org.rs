//! An organisation that members and events have to do with.

use super::{code::named, language::LocalTexts, region::Region, text::Invalid};

named! {
    /// What sort of organisation it is.
    OrgType, "unknown_org_type";
    Park = 1 "park",
    University = 2 "university",
    Institute = 3 "institute",
    Department = 4 "department",
    Association = 5 "association",
    Company = 6 "company",
}

/// An organisation as anybody may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Org {
    pub kind: OrgType,
    pub names: LocalTexts,
    pub region: Region,
    /// Section of ISIC Rev. 4.
    pub sector: Option<char>,
    pub url: String,
    pub source: String,
}

/// Checks a section of ISIC Rev. 4: `A` to `U`; empty is none.
pub fn sector(text: &str, field: &str) -> Result<Option<char>, Invalid> {
    match text.as_bytes() {
        [] => Ok(None),
        [letter @ b'A'..=b'U'] => Ok(Some(char::from(*letter))),
        _ => Err(Invalid::new(field, "unknown_sector")),
    }
}

impl Org {
    /// What no field can say alone.
    pub fn checked(self) -> Result<Org, Invalid> {
        if self.names.is_empty() {
            return Err(Invalid::new("names", "required"));
        }
        Ok(self)
    }
}
