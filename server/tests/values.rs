//! Laws of the checked values: what is read is what was written, and nothing else is read.

use proptest::prelude::*;
use yizhan_server::domain::{
    id::{PointCode, RecordId},
    text::{self, BODY_MAX, LINE_MAX},
    time::Time,
};

fn point_code() -> impl Strategy<Value = String> {
    let place = "(CN-[0-9]{6}|HK|MO|(GB|US|AU|SG|DE|JP)-[A-Z2-9]{3})";
    prop::string::string_regex(&format!("{place}(-[0-9]{{1,3}})?")).unwrap()
}

/// What is close to a point's code and mostly none.
fn nearly_a_point_code() -> impl Strategy<Value = String> {
    "[A-Za-z]{0,3}-?[A-Z0-9\u{ff10}\u{ff21}]{0,7}(-[0-9]{0,4}){0,2}[ \n\0]?"
}

proptest! {
    #[test]
    fn a_point_code_is_kept_as_it_is_written(code in point_code()) {
        let read: PointCode = code.parse().unwrap();
        prop_assert_eq!(read.as_str(), &code);
        prop_assert_eq!(read.to_string(), code);
    }

    #[test]
    fn a_point_code_is_short_and_plain_whatever_was_offered(text in nearly_a_point_code()) {
        if let Ok(code) = text.parse::<PointCode>() {
            prop_assert_eq!(code.as_str(), &text);
            prop_assert!(text.len() <= PointCode::MAX_LEN);
            // Safe in a file name, a certificate, a URL and a log line.
            prop_assert!(text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'));
        }
    }

    #[test]
    fn no_text_makes_the_point_code_reader_panic(text in any::<String>()) {
        let _ = text.parse::<PointCode>();
    }

    #[test]
    fn a_record_id_is_read_back_from_what_people_see(bytes in any::<[u8; 16]>()) {
        let id = RecordId(bytes);
        prop_assert_eq!(RecordId::parse(&id.to_string(), "id"), Ok(id));
    }

    #[test]
    fn source_rows_get_different_ids_of_one_time(
        network in "[a-z]{1,8}", kind in 1_u32..50, a in "[A-Z0-9-]{1,12}", b in "[A-Z0-9-]{1,12}",
        created_ms in 0_u64..1 << 47,
    ) {
        let id = |source: &str| RecordId::of_source(&network, kind, source, created_ms);
        prop_assert_eq!(id(&a) == id(&b), a == b);
        prop_assert_eq!(&id(&a).0[..6], &created_ms.to_be_bytes()[2..], "ordered by creation");
        prop_assert_eq!((id(&a).0[6] >> 4, id(&a).0[8] >> 6), (7, 0b10), "a UUIDv7");
    }

    #[test]
    fn a_line_is_trimmed_bounded_and_read_alike_twice(text in any::<String>()) {
        if let Ok(line) = text::line(&text, "f", LINE_MAX) {
            prop_assert!(line.chars().count() <= LINE_MAX && !line.chars().any(char::is_control));
            prop_assert_eq!(line.trim(), &line);
            prop_assert_eq!(text::line(&line, "f", LINE_MAX), Ok(line));
        }
    }

    #[test]
    fn a_line_counts_characters_and_not_bytes(length in 0_usize..50, max in 0_usize..50) {
        let line = text::line(&"驿".repeat(length), "f", max);
        prop_assert_eq!(line.is_ok(), length <= max);
    }

    #[test]
    fn a_body_is_kept_to_the_character(text in "[^\\p{Cc}]{0,200}(\n|\r\n|\t)?[^\\p{Cc}]{0,200}") {
        prop_assert_eq!(text::body(&text, "f", BODY_MAX), Ok(text));
    }

    #[test]
    fn a_nul_is_never_stored(before in "[a-z]{0,9}", after in "[a-z]{1,9}") {
        let text = format!("{before}\0{after}");
        prop_assert_eq!(text::line(&text, "f", LINE_MAX).unwrap_err().reason, "control_character");
        prop_assert_eq!(text::body(&text, "f", BODY_MAX).unwrap_err().reason, "control_character");
    }

    #[test]
    fn a_moment_is_read_back_to_the_microsecond(us in -62_000_000_000_000_000_i64..253_000_000_000_000_000) {
        prop_assert_eq!(Time::parse(&Time(us).to_string(), "f"), Ok(Time(us)));
    }

    #[test]
    fn any_number_can_be_shown_as_a_moment(us in any::<i64>()) {
        prop_assert!(!Time(us).to_string().is_empty());
    }

    #[test]
    fn milliseconds_round_down(ms in any::<i32>(), us in 0_i64..1_000) {
        let time = Time(Time::from_millis(ms.into()).0 + us);
        prop_assert_eq!(time.millis(), i64::from(ms));
    }

    #[test]
    fn one_moment_is_one_value_in_every_zone(hours in -12_i32..=12, s in 0_i64..4_000_000_000) {
        let here = Time(s * 1_000_000);
        let local = Time((s + i64::from(hours) * 3_600) * 1_000_000).to_string();
        let written = format!("{}{hours:+03}:00", local.trim_end_matches('Z'));
        prop_assert_eq!(Time::parse(&written, "f"), Ok(here), "{}", written);
    }
}
