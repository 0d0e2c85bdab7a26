//! On what basis a point may have what a home discloses: declared configuration, checked for the
//! limits that each basis has by itself. Whether a declaration is true is nobody's to check here.

use super::{code::named, roster_entry::Jurisdiction, text::Invalid};

named! {
    /// Why a point may have what a home discloses, or that it may not.
    BasisKind, "unknown_basis";
    Denied = 1 "denied",
    /// Both points are bound by the same law.
    SameJurisdiction = 2 "domestic",
    Contract = 3 "contract",
    Assessment = 4 "assessment",
    /// The mainland's standard contract, certification and security assessment.
    CnScc = 5 "cn_scc",
    CnCertified = 6 "cn_certified",
    CnAssessed = 7 "cn_assessed",
    /// The Greater Bay Area's standard contracts with Hong Kong and with Macau.
    GbaScHk = 8 "gba_sc_hk",
    GbaScMo = 9 "gba_sc_mo",
    EuScc = 10 "eu_scc",
    Adequacy = 11 "adequacy",
    ExplicitConsent = 12 "explicit_consent",
}

/// The first four digits (GB/T 2260) of the nine mainland cities of the Greater Bay Area: Guangzhou,
/// Shenzhen, Zhuhai, Foshan, Jiangmen, Zhaoqing, Huizhou, Dongguan, Zhongshan.
const NINE_CITIES: [&str; 9] =
    ["4401", "4403", "4404", "4406", "4407", "4412", "4413", "4419", "4420"];

/// The European Economic Area, ISO 3166-1 alpha-2.
const EEA: [&str; 30] = [
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IS",
    "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK",
];

/// Where a point stands in law: whose law binds it, and where it is registered, which need not be
/// the region that it serves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seat {
    pub jurisdiction: Jurisdiction,
    /// Region code; may be empty.
    pub registered: String,
}

impl Seat {
    fn is_in(&self, jurisdiction: &str) -> bool {
        self.jurisdiction.to_string() == jurisdiction
    }

    fn is_of_nine_cities(&self) -> bool {
        self.is_in("CN") && NINE_CITIES.iter().any(|city| self.registered.starts_with(city))
    }
}

impl BasisKind {
    /// Does the basis reach from one to the other? A basis is for its two ends, and no further.
    pub fn reaches(self, from: &Seat, to: &Seat) -> bool {
        let bay = |other: &str| {
            (from.is_of_nine_cities() && to.is_in(other))
                || (from.is_in(other) && to.is_of_nine_cities())
        };
        match self {
            BasisKind::Denied => false,
            BasisKind::SameJurisdiction => from.jurisdiction == to.jurisdiction,
            BasisKind::CnScc | BasisKind::CnCertified | BasisKind::CnAssessed => from.is_in("CN"),
            BasisKind::GbaScHk => bay("HK"),
            BasisKind::GbaScMo => bay("MO"),
            BasisKind::EuScc => EEA.contains(&from.jurisdiction.to_string().as_str()),
            BasisKind::Contract
            | BasisKind::Assessment
            | BasisKind::Adequacy
            | BasisKind::ExplicitConsent => true,
        }
    }
}

/// Reads the word for a basis; `none` is none.
pub fn declared(text: &str, field: &str) -> Result<Option<BasisKind>, Invalid> {
    if text == "none" {
        return Ok(None);
    }
    let names: Vec<&str> = BasisKind::ALL.iter().map(|kind| kind.name()).collect();
    let kind = BasisKind::parse(text, field);
    kind.map(Some).map_err(|invalid| invalid.hint(format!("none, {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(jurisdiction: &str, registered: &str) -> Seat {
        Seat { jurisdiction: jurisdiction.parse().unwrap(), registered: registered.into() }
    }

    #[test]
    fn the_bay_areas_contract_is_for_nine_cities_and_one_other_side() {
        let hk = seat("HK", "HK");
        for city in [
            "440100", "440300", "440400", "440600", "440700", "441200", "441300", "441900",
            "442000", "440106",
        ] {
            let city = seat("CN", city);
            assert!(BasisKind::GbaScHk.reaches(&city, &hk), "{city:?}");
            assert!(BasisKind::GbaScHk.reaches(&hk, &city), "{city:?}");
            assert!(!BasisKind::GbaScMo.reaches(&city, &hk), "{city:?}");
        }
        for outside in ["445300", "440000", "440500", "440200", "110100", ""] {
            assert!(!BasisKind::GbaScHk.reaches(&seat("CN", outside), &hk), "{outside}");
        }
        // No onward: not from Hong Kong to London, and not between two cities.
        let london = seat("GB", "GBLON");
        assert!(!BasisKind::GbaScHk.reaches(&hk, &london));
        assert!(!BasisKind::GbaScHk.reaches(&seat("CN", "440100"), &london));
        assert!(!BasisKind::GbaScHk.reaches(&seat("CN", "440100"), &seat("CN", "440300")));
    }

    #[test]
    fn every_basis_is_bound_to_where_it_is_made() {
        let (mainland, hk) = (seat("CN", "445300"), seat("HK", "HK"));
        let (berlin, london) = (seat("DE", "DEBER"), seat("GB", "GBLON"));
        for kind in [BasisKind::CnScc, BasisKind::CnCertified, BasisKind::CnAssessed] {
            assert!(kind.reaches(&mainland, &london) && !kind.reaches(&london, &mainland));
        }
        assert!(BasisKind::EuScc.reaches(&berlin, &hk) && !BasisKind::EuScc.reaches(&london, &hk));
        assert!(!BasisKind::SameJurisdiction.reaches(&mainland, &hk));
        assert!(BasisKind::Adequacy.reaches(&berlin, &london));
        for kind in BasisKind::ALL {
            assert_eq!(declared(kind.name(), "kind"), Ok(Some(*kind)));
        }
        assert_eq!(declared("none", "kind"), Ok(None));
        assert_eq!(declared("gba", "kind").unwrap_err().reason, "unknown_basis");
    }
}
