//! Bodies of requests that take their time. A request takes the room of those that are worked on only
//! once its first message is here, so that whoever sends it byte by byte keeps nobody out; and no
//! body may stand still for long.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// Bytes after which a request is worked on though its first message is longer.
const ENOUGH: usize = 8 * 1_024;
/// A gRPC message begins with a flag and its length.
const PREFIX: usize = 5;

/// Requests whose first message is on its way. When there are too many, the oldest gives way: it had
/// the longest to come.
pub(super) struct Arriving {
    max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    waiting: BTreeMap<u64, CancellationToken>,
}

/// Why a request is not worked on.
#[derive(Debug)]
pub(super) enum Late {
    /// It had its time.
    TooSlow,
    /// It had to give way.
    GaveWay,
    /// The other end is gone.
    Broken,
}

impl Arriving {
    pub fn new(max: usize) -> Arriving {
        Arriving { max, state: Mutex::default() }
    }

    /// Waits until the first message of a body is here, but no longer than `patience`.
    pub async fn first(&self, body: Incoming, patience: Duration) -> Result<Begun, Late> {
        let begun = Begun { first: VecDeque::new(), rest: body, idle: None, patience };
        if begun.rest.is_end_stream() {
            return Ok(begun);
        }
        let place = self.enter();
        tokio::select! {
            biased;
            begun = begun.fill() => begun.map_err(|_| Late::Broken),
            () = place.give_way.cancelled() => Err(Late::GaveWay),
            () = sleep(patience) => Err(Late::TooSlow),
        }
    }

    fn enter(&self) -> Place<'_> {
        let mut state = self.state();
        if state.waiting.len() >= self.max
            && let Some((_, oldest)) = state.waiting.pop_first()
        {
            oldest.cancel();
        }
        let id = state.next;
        state.next += 1;
        let give_way = CancellationToken::new();
        state.waiting.insert(id, give_way.clone());
        Place { arriving: self, id, give_way }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that runs under the lock can leave it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place<'a> {
    arriving: &'a Arriving,
    id: u64,
    give_way: CancellationToken,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.arriving.state().waiting.remove(&self.id);
    }
}

/// A body whose first message is here, and what follows.
pub(super) struct Begun {
    first: VecDeque<Frame<Bytes>>,
    rest: Incoming,
    /// Runs while the next part is waited for.
    idle: Option<Pin<Box<Sleep>>>,
    patience: Duration,
}

impl Begun {
    async fn fill(mut self) -> Result<Begun, hyper::Error> {
        let mut read: Vec<u8> = Vec::new();
        let mut len = 0;
        while len < wanted(&read) && !self.rest.is_end_stream() {
            let Some(frame) = self.rest.frame().await else { break };
            let frame = frame?;
            if let Some(data) = frame.data_ref() {
                len += data.len();
                read.extend(data.iter().take(PREFIX - read.len().min(PREFIX)));
            }
            self.first.push_back(frame);
        }
        Ok(self)
    }
}

/// Bytes that have to be here, as far as that is known. What is no plain gRPC is read to its end, or
/// until it is enough.
fn wanted(prefix: &[u8]) -> usize {
    match prefix {
        [_, a, b, c, d] => {
            let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            len.saturating_add(PREFIX).min(ENOUGH)
        }
        _ => PREFIX,
    }
}

/// The other end has stopped in the middle of a body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    #[error("nothing more came")]
    Idle,
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

impl Body for Begun {
    type Data = Bytes;
    type Error = Stopped;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Stopped>>> {
        if let Some(frame) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Poll::Ready(frame) = Pin::new(&mut self.rest).poll_frame(context) {
            self.idle = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Stopped::Broken)));
        }
        let patience = self.patience;
        let idle = self.idle.get_or_insert_with(|| {
            // Far away where the listener knows no end.
            let until = Instant::now().checked_add(patience);
            Box::pin(match until {
                Some(until) => tokio::time::sleep_until(until),
                None => sleep(Duration::MAX),
            })
        });
        ready!(idle.as_mut().poll(context));
        Poll::Ready(Some(Err(Stopped::Idle)))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_here_when_all_that_its_length_says_is() {
        assert_eq!(wanted(&[]), 5);
        assert_eq!(wanted(&[0, 0, 0, 0]), 5);
        assert_eq!(wanted(&[0, 0, 0, 0, 0]), 5);
        assert_eq!(wanted(&[0, 0, 0, 1, 0]), 5 + 256);
        assert_eq!(wanted(&[0, 255, 255, 255, 255]), ENOUGH);
        // The beginning of an empty message in base64.
        assert_eq!(wanted(b"AAAAA"), ENOUGH);
    }

    #[test]
    fn the_oldest_gives_way() {
        let arriving = Arriving::new(2);
        let (one, two) = (arriving.enter(), arriving.enter());
        let three = arriving.enter();
        let gone = [&one, &two, &three].map(|place| place.give_way.is_cancelled());
        assert_eq!(gone, [true, false, false]);
        drop((one, two, three));
        assert!(arriving.state().waiting.is_empty());
    }
}
