//! Records of a CSV file (RFC 4180), as its bytes arrive.
//!
//! Written here and not taken from the `csv` crate, because that one reads on over a quote that is
//! not closed and swallows the good rows behind it. Here such a row is one bad row, and reading
//! goes on with the next line.

/// Longest record, in bytes.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;
/// Most lines of one record, so that a quote left open costs little.
pub const RECORD_LINES_MAX: usize = 100;
/// Most cells of a record.
const CELLS_MAX: usize = 256;

/// Cells of the record that was read last. Kept from record to record, so that reading allocates
/// nothing.
#[derive(Default)]
pub struct Cells {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Cells {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// All cells in one text and where each ends, if it is UTF-8.
    pub fn as_text(&self) -> Option<(&str, &[usize])> {
        std::str::from_utf8(&self.text).ok().map(|text| (text, &*self.ends))
    }

    /// The cells one by one, unless they are too much for what is `left`.
    pub fn copied(&self, left: &mut usize) -> Vec<String> {
        if self.text.len() > *left {
            return Vec::new();
        }
        *left -= self.text.len();
        let starts = std::iter::once(&0).chain(&self.ends);
        let cells = starts.zip(&self.ends).map(|(start, end)| &self.text[*start..*end]);
        cells.map(|cell| String::from_utf8_lossy(cell).into_owned()).collect()
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    fn end_cell(&mut self) {
        self.ends.push(self.text.len());
    }
}

/// What reading came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// `Cells` hold a record.
    Record,
    /// A record that cannot be read; the next call goes on behind its first line.
    Bad(&'static str),
    /// More bytes are needed, or none are left.
    Wanting,
}

/// Splits bytes into records.
#[derive(Default)]
pub struct Records {
    buffer: Vec<u8>,
    /// First byte that is not read yet.
    start: usize,
    ended: bool,
    began: bool,
}

impl Records {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// No more bytes follow. True: and none are left unread.
    pub fn end(&mut self) -> bool {
        self.ended = true;
        self.buffer[self.start..].iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// Reads the next record. `cells_wanted`: number of cells of a good record, if it is known; a
    /// record over several lines with another number has a quote that was not closed.
    pub fn next(&mut self, cells: &mut Cells, cells_wanted: Option<usize>) -> Next {
        if !self.began && !self.skip_mark() {
            return Next::Wanting;
        }
        while let Some(b'\n' | b'\r') = self.buffer.get(self.start) {
            self.start += 1;
        }
        let rest = &self.buffer[self.start..];
        if rest.is_empty() {
            return Next::Wanting;
        }
        match parse(rest, self.ended, cells) {
            Parsed::Record { read, lines } => {
                let record = &rest[..read];
                if lines > 1 && cells_wanted.is_some_and(|wanted| is_torn(record, cells, wanted)) {
                    return self.bad("quote_not_closed");
                }
                self.start += read;
                Next::Record
            }
            Parsed::Wanting => Next::Wanting,
            Parsed::Bad(reason) => self.bad(reason),
        }
    }

    fn bad(&mut self, reason: &'static str) -> Next {
        let rest = &self.buffer[self.start..];
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => self.start += at + 1,
            None => self.start = self.buffer.len(),
        }
        Next::Bad(reason)
    }

    /// Skips a byte order mark, which spreadsheets write. False: cannot tell yet.
    fn skip_mark(&mut self) -> bool {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        if self.buffer.len() < MARK.len() && !self.ended && MARK.starts_with(&self.buffer) {
            return false;
        }
        if self.buffer.starts_with(MARK) {
            self.start = MARK.len();
        }
        self.began = true;
        true
    }
}

enum Parsed {
    Record { read: usize, lines: usize },
    Bad(&'static str),
    Wanting,
}

fn parse(bytes: &[u8], ended: bool, cells: &mut Cells) -> Parsed {
    cells.clear();
    let mut at = 0;
    let mut lines = 1;
    loop {
        // At the start of a cell.
        if bytes.get(at) == Some(&b'"') {
            at += 1;
            loop {
                let run = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\n'));
                let Some(run) = run else {
                    return unfinished(bytes, ended, "quote_not_closed");
                };
                cells.text.extend_from_slice(&bytes[at..at + run]);
                at += run + 1;
                if at > RECORD_BYTES_MAX {
                    return Parsed::Bad("row_too_long");
                }
                if bytes[at - 1] == b'\n' {
                    cells.text.push(b'\n');
                    lines += 1;
                    if lines > RECORD_LINES_MAX {
                        return Parsed::Bad("quote_not_closed");
                    }
                } else if bytes.get(at) == Some(&b'"') {
                    cells.text.push(b'"');
                    at += 1;
                } else if at == bytes.len() && !ended {
                    return unfinished(bytes, ended, "quote_not_closed");
                } else {
                    break;
                }
            }
        } else {
            let run = bytes[at..].iter().position(|byte| matches!(byte, b',' | b'\n' | b'"'));
            let Some(run) = run.or(ended.then(|| bytes.len() - at)) else {
                return unfinished(bytes, ended, "row_too_long");
            };
            let cell = &bytes[at..at + run];
            at += run;
            if bytes.get(at) == Some(&b'"') {
                return Parsed::Bad("quote_malformed");
            }
            let last = bytes.get(at) != Some(&b',');
            let cell = if last { cell.strip_suffix(b"\r").unwrap_or(cell) } else { cell };
            cells.text.extend_from_slice(cell);
        }
        cells.end_cell();
        if at > RECORD_BYTES_MAX || cells.len() > CELLS_MAX {
            return Parsed::Bad("row_too_long");
        }
        // Behind a cell.
        match bytes.get(at) {
            Some(b',') => at += 1,
            Some(b'\n') => return Parsed::Record { read: at + 1, lines },
            Some(b'\r') if bytes.get(at + 1) == Some(&b'\n') => {
                return Parsed::Record { read: at + 2, lines };
            }
            Some(b'\r') if at + 1 == bytes.len() => {
                if !ended {
                    return Parsed::Wanting;
                }
                return Parsed::Record { read: at + 1, lines };
            }
            Some(_) => return Parsed::Bad("quote_malformed"),
            None if ended => return Parsed::Record { read: at, lines },
            None => return Parsed::Wanting,
        }
    }
}

/// Did a quote that was not closed swallow rows behind it? So it is if the number of cells is wrong,
/// or if a later line would be a good row of its own.
fn is_torn(record: &[u8], cells: &Cells, wanted: usize) -> bool {
    let mut alone = Cells::default();
    let mut is_row = |line: &[u8]| {
        matches!(parse(line, true, &mut alone), Parsed::Record { .. }) && alone.len() == wanted
    };
    cells.len() != wanted
        || record.split(|byte| *byte == b'\n').skip(1).any(|line| wanted > 1 && is_row(line))
}

/// The bytes end inside a cell.
fn unfinished(bytes: &[u8], ended: bool, reason: &'static str) -> Parsed {
    if bytes.len() > RECORD_BYTES_MAX {
        Parsed::Bad("row_too_long")
    } else if ended {
        Parsed::Bad(reason)
    } else {
        Parsed::Wanting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a file that arrives in pieces of `piece` bytes.
    fn read(file: &[u8], piece: usize) -> Vec<Result<Vec<String>, &'static str>> {
        let mut records = Records::default();
        let mut cells = Cells::default();
        let mut rows = Vec::new();
        let mut wanted = None;
        let mut drain = |records: &mut Records| loop {
            match records.next(&mut cells, wanted) {
                Next::Record => {
                    wanted = wanted.or(Some(cells.len()));
                    let (text, ends) = cells.as_text().unwrap();
                    let starts = std::iter::once(&0).chain(ends);
                    rows.push(Ok(starts.zip(ends).map(|(a, b)| text[*a..*b].to_owned()).collect()));
                }
                Next::Bad(reason) => rows.push(Err(reason)),
                Next::Wanting => return,
            }
        };
        for bytes in file.chunks(piece) {
            records.push(bytes);
            drain(&mut records);
        }
        records.end();
        drain(&mut records);
        rows
    }

    fn row(cells: &[&str]) -> Result<Vec<String>, &'static str> {
        Ok(cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn records_do_not_depend_on_how_the_bytes_arrive() {
        let file =
            "\u{feff}a,b\r\n1,\"x, \"\"y\"\"\"\r\n,\r\n\"two\r\nlines\",广州\n\n3,".as_bytes();
        let expected = [
            row(&["a", "b"]),
            row(&["1", "x, \"y\""]),
            row(&["", ""]),
            row(&["two\r\nlines", "广州"]),
            row(&["3", ""]),
        ];
        for piece in 1..file.len() {
            assert_eq!(read(file, piece), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_one_row() {
        let file = b"a,b\n1,\"open\n2,x\n3,\"y\"\n4,z\n5,\"open again\n6,z";
        let rows = read(file, 7);
        assert_eq!(rows[1], Err("quote_malformed"));
        assert_eq!(rows[2..5], [row(&["2", "x"]), row(&["3", "y"]), row(&["4", "z"])]);
        assert_eq!(rows[5..], [Err("quote_not_closed"), row(&["6", "z"])]);
    }

    #[test]
    fn a_quote_that_closes_rows_later_costs_one_row() {
        let rows = read(b"a,b\n1,\"open\n2,x\n3,\"\n4,z\n", 5);
        assert_eq!(rows[1], Err("quote_not_closed"));
        assert_eq!(rows[2], row(&["2", "x"]));
        assert_eq!(rows.last(), Some(&row(&["4", "z"])));
    }

    #[test]
    fn a_row_without_end_is_bounded() {
        let mut file = b"a,b\n".to_vec();
        file.extend(std::iter::repeat_n(b'x', 3 * RECORD_BYTES_MAX));
        file.extend(b"\n1,2\n");
        let rows = read(&file, 50_000);
        assert_eq!(rows.last(), Some(&row(&["1", "2"])));
        assert!(rows[1..rows.len() - 1].iter().all(|row| *row == Err("row_too_long")));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(file in proptest::collection::vec(
            proptest::sample::select(b"ab,\"\r\n\xff".to_vec()), 0..200), piece in 1usize..50)
        {
            let mut records = Records::default();
            let mut cells = Cells::default();
            for bytes in file.chunks(piece) {
                records.push(bytes);
                while records.next(&mut cells, Some(2)) != Next::Wanting {}
            }
            records.end();
            while records.next(&mut cells, Some(2)) != Next::Wanting {}
        }
    }
}
