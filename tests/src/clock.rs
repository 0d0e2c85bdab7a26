//! A node whose clock is wrong: what the system says the time is, moved by hours, for one process alone.
//!
//! Days of working time pass in no test. A library that is loaded before the system's answers for the
//! wall clock; time that is measured (timeouts, pauses) stays as it is.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Says by how many seconds a clock is ahead.
const AHEAD_VARIABLE: &str = "YIZHAN_TEST_CLOCK_AHEAD_S";

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long ahead(void) {
    const char *text = getenv("YIZHAN_TEST_CLOCK_AHEAD_S");
    return text ? atol(text) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int done = real(clock, at);
    if (done == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += ahead();
    return done;
}

int gettimeofday(struct timeval *at, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int done = real(at, zone);
    if (done == 0) at->tv_sec += ahead();
    return done;
}
"#;

/// Settings under which a program's clock is ahead by so many hours. The library is built into
/// `directory`.
pub fn ahead(directory: &Path, hours: u32) -> [(&'static str, String); 2] {
    let library = build(directory).to_str().expect("a path in UTF-8").to_owned();
    [("LD_PRELOAD", library), (AHEAD_VARIABLE, (u64::from(hours) * 3_600).to_string())]
}

fn build(directory: &Path) -> PathBuf {
    let (source, library) = (directory.join("clock.c"), directory.join("clock.so"));
    if !library.exists() {
        std::fs::write(&source, LIBRARY).expect("a source file");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let built = cc.output().expect("a C compiler");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    }
    library
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_program_is_told_another_time() {
        let directory = tempfile::tempdir().unwrap();
        let mut date = Command::new("date");
        let said = date.arg("+%s").envs(ahead(directory.path(), 5)).output().unwrap();
        let said: u64 = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((5 * 3_600 - 60..5 * 3_600 + 60).contains(&(said - now)), "{said}, not {now}");
    }
}
