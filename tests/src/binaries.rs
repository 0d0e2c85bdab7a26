//! Where the programs under test are: beside the tests, built from the same tree.
//!
//! `cargo test` builds a package's programs only for that package's own tests, so they are built
//! here, once per test process. The whole workspace is named, so that cargo settles on the very
//! features it has built the tests with and only links; concurrent processes wait for cargo's lock.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Names a directory with programs that are ready, such as those of a package. Nothing is built then.
pub const DIRECTORY_VARIABLE: &str = "YIZHAN_BIN_DIR";

/// The node.
pub fn yizhand() -> PathBuf {
    directory().join("yizhand")
}

/// The client.
pub fn yizhan() -> PathBuf {
    directory().join("yizhan")
}

fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| match env::var_os(DIRECTORY_VARIABLE) {
        Some(directory) => directory.into(),
        None => build(),
    })
}

fn build() -> PathBuf {
    let this = env::current_exe().expect("the path of this test");
    // <target>/<profile>/deps/<test>
    let directory = this.ancestors().nth(2).expect("a test lies in <profile>/deps").to_owned();
    let target = directory.parent().expect("a profile lies in the target directory");
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace).args(["build", "--quiet", "--workspace", "--bins"]);
    cargo.args(["--profile", profile]).arg("--target-dir").arg(target);
    let built = cargo.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the programs under test do not build:\n{said}");
    directory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_programs_lie_beside_the_tests() {
        assert!(yizhand().is_file() && yizhan().is_file());
    }
}
