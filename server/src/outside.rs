//! What a simulator replaces: the clock and randomness. Sockets are replaced where they are opened.

use std::sync::Arc;

use crate::domain::{id::RecordId, time::Time};

/// The world outside the program. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    now: Arc<dyn Fn() -> Time + Send + Sync>,
    fill: Arc<Fill>,
}

/// Fills a buffer with what nobody can foresee.
type Fill = dyn Fn(&mut [u8]) + Send + Sync;

impl Outside {
    /// The machine's clock and the system's randomness.
    pub fn real() -> Outside {
        Outside {
            now: Arc::new(|| Time(jiff::Timestamp::now().as_microsecond())),
            fill: Arc::new(|bytes| rand::fill(bytes)),
        }
    }

    pub fn new(
        now: impl Fn() -> Time + Send + Sync + 'static,
        fill: impl Fn(&mut [u8]) + Send + Sync + 'static,
    ) -> Outside {
        Outside { now: Arc::new(now), fill: Arc::new(fill) }
    }

    pub fn now(&self) -> Time {
        (self.now)()
    }

    pub fn random<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.fill)(&mut bytes);
        bytes
    }

    /// A new record's id: UUIDv7 (RFC 9562).
    pub fn record_id(&self) -> RecordId {
        let ms = self.now().millis().max(0) as u64;
        let id = uuid::Builder::from_unix_timestamp_millis(ms, &self.random());
        RecordId(id.into_uuid().into_bytes())
    }
}
