//! Who this user is to which server, kept between commands.
//!
//! One file, readable by its owner only: `$XDG_CONFIG_HOME/yizhan/profiles.toml`, else
//! `~/.config/yizhan/profiles.toml`. A session is kept per profile and server, so that a token is
//! only ever sent to the server that gave it.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The profile used without `--profile`.
pub const DEFAULT: &str = "default";

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

/// One profile.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The server signed in to last: used without `--server`.
    #[serde(default)]
    pub server: String,
    /// From which codes of help requests are derived, in hex: a submission that is repeated under
    /// its key gets the same code. Empty until it is needed.
    #[serde(default)]
    pub help_secret: String,
    /// By server.
    #[serde(default)]
    pub sessions: BTreeMap<String, Session>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Profile({}, {:?})", self.server, self.sessions)
    }
}

/// What is known of one server.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// PEM of the network's authority.
    pub ca: String,
    pub user: String,
    pub token: String,
    /// RFC 3339.
    pub expires_at: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.user)
    }
}

/// The file of profiles.
pub struct Profiles {
    folder: PathBuf,
}

impl Profiles {
    /// Where the environment says that settings of programs lie.
    pub fn of_user(environment: impl Fn(&str) -> Option<String>) -> Result<Profiles> {
        let set = |name| environment(name).filter(|value: &String| !value.is_empty());
        let base = match (set("XDG_CONFIG_HOME"), set("HOME")) {
            (Some(config), _) => PathBuf::from(config),
            (None, Some(home)) => Path::new(&home).join(".config"),
            (None, None) => {
                return Err(Error::failed("NO_HOME", "neither XDG_CONFIG_HOME nor HOME is set"));
            }
        };
        Ok(Profiles { folder: base.join("yizhan") })
    }

    /// A profile; one that was never written is empty.
    pub fn get(&self, name: &str) -> Result<Profile> {
        Ok(self.read()?.profiles.remove(name).unwrap_or_default())
    }

    /// Changes a profile, alone among all programs that do.
    pub fn update(&self, name: &str, change: impl FnOnce(&mut Profile)) -> Result<()> {
        let broken = |error: io::Error| self.broken(error);
        fs::create_dir_all(&self.folder).map_err(broken)?;
        let lock = File::create(self.folder.join("profiles.lock")).map_err(broken)?;
        lock.lock().map_err(broken)?;

        let mut stored = self.read()?;
        change(stored.profiles.entry(name.to_owned()).or_default());
        let text = toml::to_string(&stored).expect("BUG: profiles are strings only");
        self.write(&text).map_err(broken)
    }

    fn path(&self) -> PathBuf {
        self.folder.join("profiles.toml")
    }

    fn read(&self) -> Result<Stored> {
        match fs::read_to_string(self.path()) {
            Ok(text) => toml::from_str(&text).map_err(|error| self.broken(error.message())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Stored::default()),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Replaces the file as a whole; it is never readable by others, not even for a moment.
    fn write(&self, text: &str) -> io::Result<()> {
        let new = self.folder.join("profiles.toml.new");
        if let Err(error) = fs::remove_file(&new)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.path())
    }

    fn broken(&self, what: impl std::fmt::Display) -> Error {
        let path = self.path();
        Error::failed("PROFILE_BROKEN", format!("{} cannot be used: {what}", path.display()))
            .advice("repair or remove it")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn in_dir(dir: &Path) -> Profiles {
        let dir = dir.to_str().unwrap().to_owned();
        Profiles::of_user(move |name| (name == "XDG_CONFIG_HOME").then(|| dir.clone())).unwrap()
    }

    #[test]
    fn a_session_is_kept_per_profile_and_server_for_the_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let profiles = in_dir(dir.path());
        assert_eq!(profiles.get(DEFAULT).unwrap(), Profile::default());
        for server in ["https://a:1", "https://b:1"] {
            let session = Session { token: server.to_uppercase(), ..Session::default() };
            let insert = |profile: &mut Profile| {
                profile.sessions.insert(server.to_owned(), session);
            };
            profiles.update(DEFAULT, insert).unwrap();
        }
        let profile = profiles.get(DEFAULT).unwrap();
        assert_eq!(profile.sessions["https://a:1"].token, "HTTPS://A:1");
        assert_eq!(profiles.get("other").unwrap(), Profile::default());
        let mode = fs::metadata(profiles.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_broken_file_is_said_to_be_broken() {
        let dir = tempfile::tempdir().unwrap();
        let profiles = in_dir(dir.path());
        profiles.update(DEFAULT, |_| ()).unwrap();
        fs::write(profiles.path(), "profiles = 7").unwrap();
        assert_eq!(profiles.get(DEFAULT).unwrap_err().reason, "PROFILE_BROKEN");
    }

    #[test]
    fn programs_at_once_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for n in 0..8 {
                let profiles = in_dir(dir.path());
                scope.spawn(move || profiles.update(&n.to_string(), |_| ()).unwrap());
            }
        });
        assert_eq!(in_dir(dir.path()).read().unwrap().profiles.len(), 8);
    }
}
