//! The inside of a backup file: named entries, compressed, then encrypted as a whole with age.
//!
//! Layout within age and zstd: a first line; per entry its name's length (2 bytes, little-endian),
//! name, length (8 bytes), bytes; two zero bytes at the end. age authenticates every 64 KiB and the
//! end of the file, so a file that was cut or changed is noticed before its last byte is believed.

use std::io::{self, BufReader, BufWriter, Read, Write};

use crate::identity::keys::BackupKey;

const FIRST_LINE: &[u8] = b"yizhan backup 1\n";
/// Longest name of an entry, in bytes.
const NAME_MAX: usize = 64;
/// Bytes that are moved at once.
const PIECE: usize = 256 * 1024;
/// zstd's own default: tables shrink to a third, faster than a disk writes.
const LEVEL: i32 = 3;

pub struct ArchiveWriter<W: Write> {
    inner: zstd::Encoder<'static, age::stream::StreamWriter<BufWriter<W>>>,
}

impl<W: Write> ArchiveWriter<W> {
    pub fn new(to: W, recipient: &age::x25519::Recipient) -> io::Result<ArchiveWriter<W>> {
        let encryptor = age::Encryptor::with_recipients(std::iter::once(recipient as _))
            .map_err(io::Error::other)?;
        let encrypted = encryptor.wrap_output(BufWriter::with_capacity(PIECE, to))?;
        let mut inner = zstd::Encoder::new(encrypted, LEVEL)?;
        inner.write_all(FIRST_LINE)?;
        Ok(ArchiveWriter { inner })
    }

    /// Adds `length` bytes; `moved` is told after every piece how many bytes that was.
    pub fn add(
        &mut self,
        name: &str,
        length: u64,
        from: impl Read,
        moved: impl FnMut(u64),
    ) -> io::Result<()> {
        assert!(!name.is_empty() && name.len() <= NAME_MAX, "BUG: {name} names no entry");
        self.inner.write_all(&(name.len() as u16).to_le_bytes())?;
        self.inner.write_all(name.as_bytes())?;
        self.inner.write_all(&length.to_le_bytes())?;
        copy_exactly(from, &mut self.inner, length, moved)
    }

    /// Without this the file has no end and is refused.
    pub fn finish(mut self) -> io::Result<W> {
        self.inner.write_all(&0u16.to_le_bytes())?;
        let written = self.inner.finish()?.finish()?;
        written.into_inner().map_err(|error| error.into_error())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the file is not a backup of a node")]
    NotABackup,
    #[error("the file was encrypted to another backup key")]
    OtherKey,
    #[error("the file cannot be read")]
    Read(#[source] io::Error),
}

pub struct ArchiveReader<R: Read> {
    inner: zstd::Decoder<'static, BufReader<age::stream::StreamReader<BufReader<R>>>>,
}

/// What comes next in an archive.
pub struct Entry {
    pub name: String,
    pub length: u64,
}

impl<R: Read> ArchiveReader<R> {
    pub fn open(from: R, key: &BackupKey) -> Result<ArchiveReader<R>, OpenError> {
        use age::DecryptError;
        let buffered = BufReader::with_capacity(PIECE, from);
        let opened = age::Decryptor::new_buffered(buffered)
            .and_then(|decryptor| decryptor.decrypt(std::iter::once(key as _)));
        let decrypted = opened.map_err(|error| match error {
            DecryptError::NoMatchingKeys | DecryptError::DecryptionFailed => OpenError::OtherKey,
            DecryptError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
                OpenError::Read(error)
            }
            _ => OpenError::NotABackup,
        })?;
        let mut inner = zstd::Decoder::new(decrypted).map_err(OpenError::Read)?;
        let mut line = [0; FIRST_LINE.len()];
        inner.read_exact(&mut line).map_err(OpenError::Read)?;
        if line != FIRST_LINE {
            return Err(OpenError::NotABackup);
        }
        Ok(ArchiveReader { inner })
    }

    /// The next entry, whose bytes must be taken with `copy_to`; none at the authenticated end.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut length = [0; 2];
        self.inner.read_exact(&mut length)?;
        let length = usize::from(u16::from_le_bytes(length));
        if length == 0 {
            // The end counts only once age has seen its own.
            let beyond = io::copy(&mut self.inner, &mut io::sink())?;
            return if beyond == 0 { Ok(None) } else { Err(malformed()) };
        }
        if length > NAME_MAX {
            return Err(malformed());
        }
        let mut name = vec![0; length];
        self.inner.read_exact(&mut name)?;
        let name = String::from_utf8(name).map_err(|_| malformed())?;
        let mut length = [0; 8];
        self.inner.read_exact(&mut length)?;
        Ok(Some(Entry { name, length: u64::from_le_bytes(length) }))
    }

    pub fn copy_to(
        &mut self,
        entry: &Entry,
        to: impl Write,
        moved: impl FnMut(u64),
    ) -> io::Result<()> {
        copy_exactly(&mut self.inner, to, entry.length, moved)
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "entries are malformed")
}

fn copy_exactly(
    mut from: impl Read,
    mut to: impl Write,
    length: u64,
    mut moved: impl FnMut(u64),
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    let mut left = length;
    while left > 0 {
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = from.read(&mut piece[..wanted])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_all(&piece[..read])?;
        left -= read as u64;
        moved(read as u64);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Larger than several of age's chunks, and nothing that compresses.
    fn noise() -> Vec<u8> {
        let mut bytes = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut bytes);
        bytes
    }

    fn archive(key: &BackupKey) -> Vec<u8> {
        let mut writer = ArchiveWriter::new(Vec::new(), &key.to_public()).unwrap();
        writer.add("empty", 0, io::empty(), |_| {}).unwrap();
        writer.add("noise", 300_000, &noise()[..], |_| {}).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8], key: &BackupKey) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut reader = ArchiveReader::open(bytes, key).map_err(io::Error::other)?;
        let mut entries = Vec::new();
        while let Some(entry) = reader.next()? {
            let mut content = Vec::new();
            reader.copy_to(&entry, &mut content, |_| {})?;
            entries.push((entry.name, content));
        }
        Ok(entries)
    }

    #[test]
    fn entries_come_back_as_they_were_added() {
        let key = BackupKey::generate();
        let entries = read(&archive(&key), &key).unwrap();
        assert_eq!(entries, [("empty".to_owned(), vec![]), ("noise".to_owned(), noise())]);
    }

    #[test]
    fn a_file_cut_anywhere_is_refused() {
        let key = BackupKey::generate();
        let bytes = archive(&key);
        for cut in (0..bytes.len()).step_by(9_973).chain([bytes.len() - 1]) {
            assert!(read(&bytes[..cut], &key).is_err(), "cut after {cut} bytes");
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let key = BackupKey::generate();
        let bytes = archive(&key);
        for at in (0..bytes.len()).step_by(9_973) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(read(&changed, &key).is_err(), "byte {at}");
        }
    }

    #[test]
    fn another_key_and_another_file_are_told_apart() {
        let (key, other) = (BackupKey::generate(), BackupKey::generate());
        let bytes = archive(&key);
        let opened = ArchiveReader::open(&bytes[..], &other);
        assert!(matches!(opened, Err(OpenError::OtherKey)));
        let opened = ArchiveReader::open(&b"something else entirely"[..], &key);
        assert!(matches!(opened, Err(OpenError::NotABackup)));
        let opened = ArchiveReader::open(&b""[..], &key);
        assert!(matches!(opened, Err(OpenError::NotABackup)));
    }
}
