//! Starts a server in a directory of its own and ends it with this process, whatever ends this one.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

/// A port that was free may be taken a moment later: other ones are tried.
const ATTEMPTS: usize = 5;
/// Accounts that a server may run under, PostgreSQL refusing root. The first that exists is taken.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// The keeper's script. Arguments: programs, port. It says `ready`, or what went wrong; then it waits
/// for the end of its stdin. Every path out of it removes the directory, also the one on which
/// nobody listens any more (PIPE).
const SCRIPT: &str = r#"
set -eu
programs=$1 port=$2 server=
directory=$(mktemp -d "$TMPDIR/yizhan-postgres-XXXXXX")
finish() {
    trap - EXIT INT TERM PIPE
    # Immediate: nobody wants the data any more.
    if [ -n "$server" ]; then kill -QUIT "$server" 2>/dev/null || true; wait "$server" || true; fi
    rm -rf "$directory"
}
trap finish EXIT
trap 'exit 1' INT TERM PIPE
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
echo ready
# Returns when the test process ends, however it does.
read -r _ || true
"#;

/// A running server. Dropped, it is stopped and its files are removed before `drop` returns.
pub(super) struct Keeper {
    child: Child,
    /// Never written to: that it is open keeps the server alive.
    stdin: Option<ChildStdin>,
    port: u16,
}

impl Keeper {
    /// Starts a server of these programs in a new directory under `scratch`.
    pub(super) fn start(programs: &Path, scratch: &Path) -> Result<Keeper> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            match Keeper::attempt(programs, scratch) {
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

    fn attempt(programs: &Path, scratch: &Path) -> Result<Keeper> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut child = command(programs, scratch, port)?.spawn().context("starting a server")?;
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().context("stdout is piped")?);
        let mut said = String::new();
        stdout.read_line(&mut said)?;
        if said.trim_end() == "ready" {
            return Ok(Keeper { child, stdin, port });
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

fn command(programs: &Path, scratch: &Path, port: u16) -> Result<Command> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "keeper"]).arg(programs).arg(port.to_string());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command.current_dir("/").env("LC_ALL", "C").env("TMPDIR", scratch);
    // A group of its own: Ctrl-C reaches us, and by our end the keeper.
    command.process_group(0);
    if is_root()? {
        let (uid, gid) = account()?;
        command.uid(uid).gid(gid);
    }
    Ok(command)
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::install, *};

    /// A directory that the server's account may write to.
    fn scratch() -> tempfile::TempDir {
        let scratch = tempfile::tempdir().unwrap();
        fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o777)).unwrap();
        scratch
    }

    fn is_empty(directory: &Path) -> bool {
        fs::read_dir(directory).unwrap().next().is_none()
    }

    #[test]
    fn a_server_and_its_files_go_with_the_test() {
        let scratch = scratch();
        let programs = install::find_or_install().unwrap();
        let keeper = Keeper::start(&programs, scratch.path()).unwrap();
        assert!(!is_empty(scratch.path()));
        drop(keeper);
        assert!(is_empty(scratch.path()));
    }

    #[test]
    fn a_test_that_dies_before_the_server_is_ready_leaves_nothing() {
        let scratch = scratch();
        let programs = install::find_or_install().unwrap();
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut child = command(&programs, scratch.path(), port).unwrap().spawn().unwrap();
        // What the end of this process would do to the pipes.
        drop((child.stdin.take(), child.stdout.take()));
        child.wait().unwrap();
        assert!(is_empty(scratch.path()));
    }
}
