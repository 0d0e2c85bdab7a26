use proptest::prelude::*;

use super::*;

const GPS: &[u8] = include_bytes!("samples/gps.jpg");
const PDF: &[u8] = include_bytes!("samples/small.pdf");
const PROGRAM: &[u8] = include_bytes!("samples/program.pdf");
/// Stands in whatever has to fall out.
const SECRET: &[u8] = b"22.5431N 114.0579E";

/// Takes a file in pieces of that size.
fn take(name: &str, bytes: &[u8], piece: usize) -> Result<(Accepted, Vec<u8>), &'static str> {
    let mut intake = Intake::new(name).map_err(|refused| refused.reason())?;
    let mut out = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        intake.push(piece, &mut out).map_err(|refused| refused.reason())?;
    }
    let accepted = intake.finish(&mut out).map_err(|refused| refused.reason())?;
    assert_eq!(accepted.size, out.len() as u64);
    Ok((accepted, out))
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn segment(code: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u16 + 2).to_be_bytes();
    [&[0xff, code], &length[..], body].concat()
}

/// A picture with these segments before its frame.
fn jpeg(segments: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    for (code, body) in segments {
        file.extend(segment(*code, body));
    }
    file.extend(segment(0xdb, &[1; 65]));
    file.extend(segment(0xc0, &[8, 0, 8, 0, 8, 1, 1, 0x11, 0]));
    file.extend(segment(0xda, &[1, 1, 0, 0, 0x3f, 0]));
    file.extend([0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56, 0xff, 0xd9]);
    file
}

fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], name, body, &[9; 4]].concat()
}

fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(chunk(b"IHDR", &[0; 13]));
    for (name, body) in chunks {
        file.extend(chunk(name, body));
    }
    file.extend(chunk(b"IDAT", &[7; 30]));
    file.extend(chunk(b"IEND", &[]));
    file
}

fn riff(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut body = b"WEBP".to_vec();
    for (name, bytes) in chunks {
        body.extend(*name);
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend(bytes);
        body.resize(body.len() + bytes.len() % 2, 0);
    }
    [b"RIFF", &(body.len() as u32).to_le_bytes()[..], &body].concat()
}

#[test]
fn a_photo_loses_its_position_and_stays_a_photo() {
    let (accepted, kept) = take("IMG_0001.JPG", GPS, 7).unwrap();
    assert_eq!((accepted.media, accepted.name.as_str()), (Media::Jpeg, "IMG_0001.JPG"));
    assert!(contains(GPS, b"Exif") && !contains(&kept, b"Exif"));
    assert_eq!(kept.len(), GPS.len() - 2 - 0x88);
    assert!(kept.starts_with(&[0xff, 0xd8, 0xff, 0xdb]) && kept.ends_with(&[0xff, 0xd9]));
}

#[test]
fn a_document_stays_as_it_is() {
    let (accepted, kept) = take("报告.pdf", PDF, 100).unwrap();
    assert_eq!((accepted.media, kept.as_slice()), (Media::Pdf, PDF));
}

#[test]
fn a_program_with_the_name_of_a_document_is_found_out() {
    assert_eq!(take("program.pdf", PROGRAM, 50).unwrap_err(), "type_mismatch");
    assert_eq!(take("program", PROGRAM, 50).unwrap_err(), "type_not_allowed");
    assert_eq!(take("program.exe", PROGRAM, 50).unwrap_err(), "type_not_allowed");
    assert_eq!(take("photo.png", GPS, 50).unwrap_err(), "type_mismatch");
    assert_eq!(take("note.pdf", b"only words", 50).unwrap_err(), "type_mismatch");
    assert_eq!(take("page.txt", b" <HTML><script>", 50).unwrap_err(), "type_mismatch");
    assert_eq!(take("run.txt", b"#!/bin/sh\nrm -rf /\n", 50).unwrap_err(), "type_mismatch");
}

#[test]
fn an_empty_file_and_one_that_breaks_off_are_refused() {
    assert_eq!(take("empty.pdf", b"", 1).unwrap_err(), "empty");
    for cut in 3..GPS.len() - 1 {
        let refused = take("cut.jpg", &GPS[..cut], 64).unwrap_err();
        assert!(matches!(refused, "file_broken" | "type_mismatch"), "cut at {cut}: {refused}");
    }
    let png = png(&[]);
    assert_eq!(take("cut.png", &png[..png.len() - 1], 64).unwrap_err(), "file_broken");
}

#[test]
fn a_file_may_have_twenty_megabytes_and_not_a_byte_more() {
    let piece = vec![b'a'; 1 << 20];
    let mut intake = Intake::new("long.txt").unwrap();
    let mut out = Vec::new();
    for _ in 0..20 {
        intake.push(&piece, &mut out).unwrap();
        out.clear();
    }
    assert_eq!(intake.push(b"a", &mut out), Err(Refused::TooLarge));
    assert_eq!(Refused::TooLarge.reason(), "too_large");
}

#[test]
fn text_is_utf_8_without_controls() {
    assert_eq!(take("信.txt", "我需要帮助".as_bytes(), 2).unwrap().0.media, Media::Text);
    assert_eq!(take("note", b"short", 1).unwrap().0.media, Media::Text);
    let late = [b"a long beginning of text ".as_slice(), &[0]].concat();
    assert_eq!(take("a.txt", &late, 5).unwrap_err(), "type_mismatch");
    assert_eq!(take("a.txt", &[b'a', 0xe6, 0x88], 5).unwrap_err(), "file_broken");
}

#[test]
fn a_name_is_its_last_part_and_shows_itself() {
    assert_eq!(take("../../etc/a.txt", b"a", 1).unwrap().0.name, "a.txt");
    assert_eq!(take("C:\\photos\\a.txt", b"a", 1).unwrap().0.name, "a.txt");
    for bad in ["", "a\u{202e}gpj.txt", "a\0.txt", "folder/", &"字".repeat(121)] {
        assert!(Intake::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn whatever_is_not_needed_to_draw_falls_out() {
    let thumbnail = [b"JFIF\0\x01\x02\x01\x00\x48\x00\x48\x02\x02".as_slice(), SECRET].concat();
    let file = [
        jpeg(&[
            (0xe0, thumbnail),
            (0xe1, [b"Exif\0\0", SECRET].concat()),
            (0xe1, [b"http://ns.adobe.com/xap/1.0/\0", SECRET].concat()),
            (0xed, [b"Photoshop 3.0\0", SECRET].concat()),
            (0xe2, [b"MPF\0", SECRET].concat()),
            (0xe2, b"ICC_PROFILE\0\x01\x01profile".to_vec()),
            (0xfe, SECRET.to_vec()),
        ]),
        SECRET.to_vec(),
    ]
    .concat();
    let (_, kept) = take("a.jpg", &file, 11).unwrap();
    assert!(!contains(&kept, SECRET) && contains(&kept, b"profile") && contains(&kept, b"JFIF"));
    assert_eq!(take("a.jpg", &kept, 3).unwrap().1, kept);

    let texts: [&[u8; 4]; 6] = [b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME", b"prVt"];
    let chunks: Vec<_> = texts.map(|name| (name, SECRET.to_vec())).to_vec();
    let file = [png(&chunks), SECRET.to_vec()].concat();
    assert_eq!(take("a.png", &file, 11).unwrap().1, png(&[]));

    let flags = vec![0x2c, 0, 0, 0, 1, 0, 0, 1, 0, 0];
    let file = riff(&[
        (b"VP8X", flags),
        (b"VP8 ", vec![5; 9]),
        (b"EXIF", SECRET.to_vec()),
        (b"XMP ", SECRET.to_vec()),
    ]);
    let (accepted, kept) = take("a.webp", &[file.clone(), SECRET.to_vec()].concat(), 9).unwrap();
    assert_eq!((accepted.media, kept.len()), (Media::Webp, file.len()));
    assert!(!contains(&kept, SECRET) && !contains(&kept, b"EXIF"));
    assert_eq!(kept[20], 0x20);
}

#[test]
fn a_png_with_a_needed_chunk_that_nobody_knows_is_refused() {
    assert_eq!(take("a.png", &png(&[(b"CgBI", vec![0; 4])]), 9).unwrap_err(), "file_broken");
    assert_eq!(take("a.png", &png(&[(b"IHDR", vec![0; 13])]), 9).unwrap_err(), "file_broken");
}

/// Files that are nearly right: a good beginning, then anything.
fn near_miss() -> impl Strategy<Value = Vec<u8>> {
    let starts = prop::sample::select(vec![
        jpeg(&[]),
        jpeg(&[(0xe1, SECRET.to_vec()), (0xfe, vec![1; 300])]),
        png(&[(b"tEXt", SECRET.to_vec())]),
        riff(&[(b"VP8L", vec![1; 20]), (b"EXIF", SECRET.to_vec())]),
        b"plain words, \xe5\xad\x97".to_vec(),
        PDF.to_vec(),
    ]);
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (starts, prop::collection::vec(change, 0..6), prop::collection::vec(any::<u8>(), 0..40))
        .prop_map(|(mut file, changes, tail)| {
            for (at, byte) in changes {
                let at = at.index(file.len());
                file[at] = byte;
            }
            file.extend(tail);
            file
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_that_comes_makes_it_fall_over_or_grow(file in near_miss(), piece in 1usize..64) {
        if let Ok((_, kept)) = take("file", &file, piece) {
            prop_assert!(kept.len() <= file.len());
        }
    }

    #[test]
    fn how_a_file_is_cut_into_pieces_does_not_matter(file in near_miss(), piece in 1usize..64) {
        prop_assert_eq!(take("file", &file, piece), take("file", &file, usize::MAX));
    }

    #[test]
    fn what_is_left_is_taken_again_unchanged(file in near_miss()) {
        if let Ok((first, kept)) = take("file", &file, 1_000) {
            prop_assert_eq!(take("file", &kept, 1_000), Ok((first, kept)));
        }
    }

    #[test]
    fn bytes_without_meaning_are_no_trouble(file in prop::collection::vec(any::<u8>(), 0..400)) {
        for name in ["a.jpg", "a.png", "a.webp", "a.pdf", "a.txt", "a"] {
            let _ = take(name, &file, 13);
        }
    }
}
