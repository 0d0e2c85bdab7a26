//! Finds the server programs of PostgreSQL, or installs Debian's packages of them.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// Where Debian's packages and others put versions side by side.
const VERSIONED: [&str; 2] = ["/usr/lib/postgresql", "/usr/local/lib/postgresql"];
/// Tells Debian's packages not to start a cluster that nobody asked for.
const NO_CLUSTER: (&str, &str) =
    ("/etc/postgresql-common/createcluster.d/yizhan-tests.conf", "create_main_cluster = false\n");

/// The directory that holds `initdb` and `postgres`, installed now if need be.
pub(super) fn find_or_install() -> Result<PathBuf> {
    if let Some(programs) = find() {
        return Ok(programs);
    }
    let lock = File::create(env::temp_dir().join("yizhan-tests-install.lock"))?;
    lock.lock()?;
    // Another test process may have installed it while we waited.
    if let Some(programs) = find() {
        return Ok(programs);
    }
    install()?;
    find().context("PostgreSQL was installed, and yet initdb is not found")
}

/// Newest versioned directory first: programs on the path may be wrappers of something else.
fn find() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = Vec::new();
    for entry in VERSIONED.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten()
    {
        if let Some(version) = entry.file_name().to_str().and_then(|name| name.parse().ok()) {
            versions.push((version, entry.path().join("bin")));
        }
    }
    versions.sort();
    let versioned = versions.into_iter().rev().map(|(_, programs)| programs);
    let configured = bindir_of_pg_config();
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
    versioned.chain(configured).chain(on_path).find(|programs| is_server(programs))
}

fn bindir_of_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    let directory = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(directory.trim())).filter(|directory| directory.is_absolute())
}

fn is_server(programs: &Path) -> bool {
    programs.join("initdb").is_file() && programs.join("postgres").is_file()
}

fn install() -> Result<()> {
    ensure!(super::keeper::is_root()?, "no server programs found, and only root can install them");
    let (file, setting) = NO_CLUSTER;
    let folder = Path::new(file).parent().context("a file in a folder")?;
    eprintln!("installing PostgreSQL with apt-get, for the tests");
    apt_get(["update"])?;
    // First the package that reads the setting, then the one that would start a cluster.
    apt_get(["install", "--yes", "--no-install-recommends", "postgresql-common"])?;
    fs::create_dir_all(folder)?;
    fs::write(file, setting)?;
    apt_get(["install", "--yes", "--no-install-recommends", "postgresql"])
}

fn apt_get<const N: usize>(arguments: [&str; N]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // Another installation on this machine may be running: wait for it, but not for ever.
    command.args(["-o", "DPkg::Lock::Timeout=300"]);
    let output = command.output().context("running apt-get")?;
    if !output.status.success() {
        let line = arguments.join(" ");
        bail!("apt-get {line}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
