//! Passwords on their way in: from a file, from a terminal without echo, or from a pipe; never from
//! the command line, where every user of the machine could read them.

use std::{
    fs,
    io::{self, BufRead, IsTerminal, Read},
    path::Path,
};

use crate::error::{Error, Result};

/// Largest password file, in bytes: anything longer is the wrong file.
const FILE_MAX: u64 = 4_096;

/// The first line of `file`, else of what the user types after `prompt`.
pub fn password(file: Option<&Path>, prompt: &str) -> Result<String> {
    let text = match file {
        Some(path) => read(path).map_err(|error| {
            Error::failed("PASSWORD_FILE", format!("cannot read {}: {error}", path.display()))
        })?,
        None if io::stdin().is_terminal() => ask(prompt)?,
        None => {
            let mut line = String::new();
            let read = io::stdin().lock().take(FILE_MAX).read_line(&mut line);
            read.map_err(|error| Error::failed("PASSWORD_INPUT", format!("cannot read: {error}")))?;
            line
        }
    };
    let line = text.lines().next().unwrap_or_default();
    match line {
        "" => Err(Error::usage("there is no password").advice("give --password-file FILE")),
        line => Ok(line.to_owned()),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn ask(prompt: &str) -> Result<String> {
    let terminal = console::Term::stderr();
    terminal
        .write_str(&format!("{prompt}: "))
        .and_then(|()| terminal.read_secure_line())
        .map_err(|error| Error::failed("PASSWORD_INPUT", format!("cannot read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_a_file_is_the_password() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("password");
        for text in ["geheim \nmore", "geheim \r\n", "geheim "] {
            fs::write(&file, text).unwrap();
            assert_eq!(password(Some(&file), "").unwrap(), "geheim ");
        }
        fs::write(&file, "\n").unwrap();
        assert!(password(Some(&file), "").is_err());
        assert!(password(Some(&dir.path().join("none")), "").is_err());
    }
}
