//! Starts a server in a directory of its own and ends it with this process, whatever ends this one.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// A port that was free may be taken a moment later: other ones are tried.
const ATTEMPTS: usize = 5;
/// Accounts that a server may run under, PostgreSQL refusing root. The first that exists is taken.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The keeper's script. Arguments: programs, port. It says `ready DIRECTORY`, or what went wrong;
/// then it waits for the end of its stdin. Every path out of it removes the directory.
const SCRIPT: &str = r#"
set -eu
programs=$1 port=$2 server=
directory=$(mktemp -d "${TMPDIR:-/tmp}/yizhan-postgres-XXXXXX")
finish() {
    trap - EXIT INT TERM
    # Immediate: nobody wants the data any more.
    if [ -n "$server" ]; then kill -QUIT "$server" 2>/dev/null || true; wait "$server" || true; fi
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 1' INT TERM
"$programs/initdb" --pgdata="$directory/data" --username=yizhan --auth=trust --encoding=UTF8 \
    --locale=C --no-sync >"$directory/log" 2>&1 || { cat "$directory/log"; exit 1; }
"$programs/postgres" -D "$directory/data" -p "$port" -c listen_addresses=127.0.0.1 \
    -c unix_socket_directories= -c fsync=on -c synchronous_commit=on -c max_connections=200 \
    -c shared_buffers=32MB >>"$directory/log" 2>&1 </dev/null &
server=$!
tries=0
until grep -q 'ready to accept connections' "$directory/log"; do
    tries=$((tries + 1))
    # 30 s; a server that has ended is seen at once.
    if [ "$tries" -gt 300 ] || ! kill -0 "$server" 2>/dev/null; then
        cat "$directory/log"
        exit 1
    fi
    sleep 0.1
done
echo "ready $directory"
# Returns when the test process ends, however it does.
read -r _ || true
"#;

/// A running server. Dropped, it is stopped and its files are removed before `drop` returns.
pub(super) struct Keeper {
    child: Child,
    /// Never written to: that it is open keeps the server alive.
    stdin: Option<ChildStdin>,
    port: u16,
    directory: PathBuf,
}

impl Keeper {
    pub(super) fn start(programs: &Path) -> Result<Keeper> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Keeper::attempt(programs) {
                Err(error) if format!("{error:#}").contains("Address already in use") => {
                    last = Some(error);
                }
                other => return other,
            }
        }
        Err(last.context("no attempt was made")?.context("no free port was found"))
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://yizhan@127.0.0.1:{}/postgres", self.port)
    }

    #[cfg(test)]
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    fn attempt(programs: &Path) -> Result<Keeper> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "keeper"]).arg(programs).arg(port.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        // A group of its own: Ctrl-C reaches us, and by our end the keeper.
        command.current_dir("/").env("LC_ALL", "C").process_group(0);
        if is_root()? {
            let (uid, gid) = account()?;
            command.uid(uid).gid(gid);
        }
        let mut child = command.spawn().context("starting a server")?;
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut said = String::new();
        stdout.read_line(&mut said)?;
        if let Some(directory) = said.trim_end().strip_prefix("ready ") {
            return Ok(Keeper { child, stdin, port, directory: directory.into() });
        }
        stdout.read_to_string(&mut said)?;
        child.wait()?;
        bail!("the server of {} did not start:\n{said}", programs.display())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Fails only where somebody else has waited for the child.
        let _ = self.child.wait();
    }
}

pub(super) fn is_root() -> Result<bool> {
    let output = Command::new("id").arg("-u").output().context("running id")?;
    ensure!(output.status.success(), "id -u fails");
    Ok(output.stdout.trim_ascii() == b"0")
}

/// User and group number of the first account there is.
fn account() -> Result<(u32, u32)> {
    let all = fs::read_to_string("/etc/passwd")?;
    for name in ACCOUNTS {
        for line in all.lines() {
            // name:password:user:group:...
            let fields: Vec<&str> = line.split(':').collect();
            if let [found, _, user, group, ..] = fields[..]
                && found == name
            {
                return Ok((user.parse()?, group.parse()?));
            }
        }
    }
    bail!("PostgreSQL does not run as root, and there is no account of {ACCOUNTS:?}")
}
