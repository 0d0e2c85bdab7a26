//! What went over a line, byte by byte, if somebody wants to know. A tape for each direction of each
//! connection, so that nothing is torn apart.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

/// Bytes that are kept of one line.
const BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Default)]
pub(super) struct Tapes {
    recording: AtomicBool,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tapes: Vec<Vec<u8>>,
    bytes: usize,
    is_full: bool,
}

impl Tapes {
    pub fn record(&self) {
        self.recording.store(true, Ordering::SeqCst);
    }

    /// Adds to the tape of one direction of a connection; its first bytes begin it.
    pub fn keep(&self, tape: &mut Option<usize>, bytes: &[u8]) {
        if !self.recording.load(Ordering::SeqCst) {
            return;
        }
        let mut kept = self.kept();
        if kept.bytes + bytes.len() > BYTES_MAX {
            kept.is_full = true;
            return;
        }
        kept.bytes += bytes.len();
        let at = *tape.get_or_insert_with(|| {
            kept.tapes.push(Vec::new());
            kept.tapes.len() - 1
        });
        kept.tapes[at].extend_from_slice(bytes);
    }

    #[track_caller]
    pub fn all(&self) -> Vec<Vec<u8>> {
        let kept = self.kept();
        assert!(!kept.is_full, "more went over the line than a tape holds");
        kept.tapes.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
