//! Ephemeral parcels: a question and its answer under one deadline, stored nowhere.
//!
//! The asker's own timer decides; the moment inside a parcel only lets others drop what is long past.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex},
};

use futures::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use yizhan_proto::v1::{
    EnrolmentAnswer, EnrolmentForward, HeadsAnswer, HeadsQuestion, HelpFigures, HelpLookup,
    HelpLookupAnswer, Letter, ReleasesAnswer, ReleasesQuestion, letter::Kind,
};

use crate::domain::{id::PointCode, time::Time};

/// Questions of ours that wait for an answer.
const ASKED_MAX: usize = 1_024;
/// Questions of others that are being answered.
const ANSWERING_MAX: usize = 32;
/// Questions remembered, so that one that comes twice is answered once.
const SEEN_MAX: usize = 4_096;
/// How far clocks may be apart before a question in time looks past.
const SKEW_MS: i64 = 10 * 60 * 1_000;

/// Answers a child's enrolment or renewal; the code is of the point that passes it on and vouches.
pub type EnrolmentHandler =
    Box<dyn Fn(PointCode, EnrolmentForward) -> BoxFuture<'static, EnrolmentAnswer> + Send + Sync>;

/// Counts this node's desks for the point that asks.
pub type FiguresHandler = Box<dyn Fn(PointCode) -> BoxFuture<'static, HelpFigures> + Send + Sync>;

/// Answers a client's question that another node passes on. Who passes it on does not matter: the
/// code does.
pub type LookupHandler =
    Box<dyn Fn(HelpLookup) -> BoxFuture<'static, HelpLookupAnswer> + Send + Sync>;

/// Names the newest seals of this node's homes to the point that asks.
pub type HeadsHandler =
    Box<dyn Fn(PointCode, HeadsQuestion) -> BoxFuture<'static, HeadsAnswer> + Send + Sync>;

/// Says which releases of members of this node's homes have ended.
pub type ReleasesHandler =
    Box<dyn Fn(ReleasesQuestion) -> BoxFuture<'static, ReleasesAnswer> + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("no answer came in time")]
    Late,
    #[error("too many questions are open")]
    Busy,
    #[error("the point cannot be asked: the roster names no way or no key")]
    NoWay,
    #[error("the question is too large for a parcel")]
    TooLarge,
    #[error("the answer is of another kind than the question")]
    OtherKind,
}

#[derive(Default)]
struct Seen {
    known: HashSet<[u8; 16]>,
    order: VecDeque<[u8; 16]>,
}

type Waiting = HashMap<[u8; 16], (PointCode, oneshot::Sender<Letter>)>;

pub(super) struct Questions {
    waiting: Mutex<Waiting>,
    seen: Mutex<Seen>,
    answering: Arc<Semaphore>,
    enrolment: Mutex<Option<Arc<EnrolmentHandler>>>,
    figures: Mutex<Option<Arc<FiguresHandler>>>,
    lookup: Mutex<Option<Arc<LookupHandler>>>,
    heads: Mutex<Option<Arc<HeadsHandler>>>,
    releases: Mutex<Option<Arc<ReleasesHandler>>>,
}

impl Default for Questions {
    fn default() -> Questions {
        Questions {
            waiting: Mutex::default(),
            seen: Mutex::default(),
            answering: Arc::new(Semaphore::new(ANSWERING_MAX)),
            enrolment: Mutex::default(),
            figures: Mutex::default(),
            lookup: Mutex::default(),
            heads: Mutex::default(),
            releases: Mutex::default(),
        }
    }
}

/// Takes the question back when nobody waits any more.
pub(super) struct Asked<'a> {
    questions: &'a Questions,
    correlation: [u8; 16],
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.questions.with_waiting(|waiting| waiting.remove(&self.correlation));
    }
}

impl Questions {
    pub fn set_enrolment(&self, handler: EnrolmentHandler) -> bool {
        let mut enrolment = self.enrolment.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_first = enrolment.is_none();
        if is_first {
            *enrolment = Some(Arc::new(handler));
        }
        is_first
    }

    /// The handler holds the node's parts, and the node holds this: one of them has to let go.
    pub fn forget_handlers(&self) {
        self.enrolment.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        self.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        self.lookup.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        self.heads.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
        self.releases.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    }

    pub fn set_releases(&self, handler: ReleasesHandler) -> bool {
        let mut releases = self.releases.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_first = releases.is_none();
        if is_first {
            *releases = Some(Arc::new(handler));
        }
        is_first
    }

    pub fn set_heads(&self, handler: HeadsHandler) -> bool {
        let mut heads = self.heads.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_first = heads.is_none();
        if is_first {
            *heads = Some(Arc::new(handler));
        }
        is_first
    }

    pub fn set_lookup(&self, handler: LookupHandler) -> bool {
        let mut lookup = self.lookup.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_first = lookup.is_none();
        if is_first {
            *lookup = Some(Arc::new(handler));
        }
        is_first
    }

    pub fn set_figures(&self, handler: FiguresHandler) -> bool {
        let mut figures = self.figures.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_first = figures.is_none();
        if is_first {
            *figures = Some(Arc::new(handler));
        }
        is_first
    }

    /// Notes a question to `to`. Only `to` can answer it.
    pub fn ask(
        &self,
        to: &PointCode,
        correlation: [u8; 16],
    ) -> Result<(Asked<'_>, oneshot::Receiver<Letter>), AskError> {
        let (answer, answered) = oneshot::channel();
        self.with_waiting(|waiting| {
            if waiting.len() >= ASKED_MAX {
                return Err(AskError::Busy);
            }
            waiting.insert(correlation, (to.clone(), answer));
            Ok(())
        })?;
        Ok((Asked { questions: self, correlation }, answered))
    }

    /// Is a question of ours to this point open under this correlation?
    pub fn awaits(&self, from: &PointCode, correlation: &[u8; 16]) -> bool {
        self.with_waiting(|waiting| waiting.get(correlation).is_some_and(|(to, _)| to == from))
    }

    pub fn answered(&self, from: &PointCode, correlation: &[u8; 16], letter: Letter) {
        if !self.awaits(from, correlation) {
            return;
        }
        if let Some((_, answer)) = self.with_waiting(|waiting| waiting.remove(correlation)) {
            let _ = answer.send(letter);
        }
    }

    /// May this question of somebody else be answered: in time, for the first time, and with room?
    pub fn admit(
        &self,
        correlation: [u8; 16],
        deadline_ms: i64,
        now: Time,
    ) -> Option<OwnedSemaphorePermit> {
        if now.millis() > deadline_ms.saturating_add(SKEW_MS) {
            return None;
        }
        let permit = self.answering.clone().try_acquire_owned().ok()?;
        let mut seen = self.seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !seen.known.insert(correlation) {
            return None;
        }
        seen.order.push_back(correlation);
        if seen.order.len() > SEEN_MAX
            && let Some(oldest) = seen.order.pop_front()
        {
            seen.known.remove(&oldest);
        }
        Some(permit)
    }

    /// None for what this node has no answer to.
    pub fn answer(&self, from: PointCode, question: Letter) -> Option<BoxFuture<'static, Letter>> {
        match question.kind {
            Some(Kind::EnrolmentForward(forward)) => {
                let handler = {
                    let enrolment = self.enrolment.lock();
                    enrolment.unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?
                };
                let answer = handler(from, forward);
                Some(Box::pin(
                    async move { Letter { kind: Some(Kind::EnrolmentAnswer(answer.await)) } },
                ))
            }
            Some(Kind::HelpFiguresQuestion(_)) => {
                let handler = {
                    let figures = self.figures.lock();
                    figures.unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?
                };
                let answer = handler(from);
                Some(Box::pin(
                    async move { Letter { kind: Some(Kind::HelpFigures(answer.await)) } },
                ))
            }
            Some(Kind::HelpLookup(lookup)) => {
                let handler = {
                    let known = self.lookup.lock();
                    known.unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?
                };
                let answer = handler(lookup);
                Some(Box::pin(async move {
                    Letter { kind: Some(Kind::HelpLookupAnswer(answer.await)) }
                }))
            }
            Some(Kind::HeadsQuestion(question)) => {
                let handler = {
                    let known = self.heads.lock();
                    known.unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?
                };
                let answer = handler(from, question);
                Some(Box::pin(
                    async move { Letter { kind: Some(Kind::HeadsAnswer(answer.await)) } },
                ))
            }
            Some(Kind::ReleasesQuestion(question)) => {
                let handler = {
                    let known = self.releases.lock();
                    known.unwrap_or_else(|poisoned| poisoned.into_inner()).clone()?
                };
                let answer = handler(question);
                Some(Box::pin(
                    async move { Letter { kind: Some(Kind::ReleasesAnswer(answer.await)) } },
                ))
            }
            Some(
                Kind::RemovalReceipt(_)
                | Kind::EnrolmentAnswer(_)
                | Kind::HomeHandOver(_)
                | Kind::HelpParcel(_)
                | Kind::HelpCopies(_)
                | Kind::HelpEscalation(_)
                | Kind::HelpFigures(_)
                | Kind::HandoffWord(_)
                | Kind::TransferWord(_)
                | Kind::MoveWord(_)
                | Kind::AreaWord(_)
                | Kind::HelpLookupAnswer(_)
                | Kind::HeadsAnswer(_)
                | Kind::ReleasesAnswer(_)
                | Kind::FeedFrozen(_)
                | Kind::Looks(_),
            )
            | None => None,
        }
    }

    fn with_waiting<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        act(&mut self.waiting.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(code: &str) -> PointCode {
        code.parse().unwrap()
    }

    #[tokio::test]
    async fn only_the_point_that_was_asked_can_answer() {
        let questions = Questions::default();
        let (asked, answered) = questions.ask(&point("GB-LON"), [1; 16]).unwrap();
        questions.answered(&point("HK"), &[1; 16], Letter::default());
        assert!(questions.awaits(&point("GB-LON"), &[1; 16]));
        questions.answered(&point("GB-LON"), &[1; 16], Letter::default());
        assert_eq!(answered.await, Ok(Letter::default()));
        drop(asked);
        assert!(questions.with_waiting(|waiting| waiting.is_empty()));
    }

    #[test]
    fn a_question_is_answered_once_in_time_and_with_room() {
        let questions = Questions::default();
        let now = Time::from_millis(1_000_000);
        assert!(questions.admit([1; 16], 1_000_000, now).is_some());
        assert!(questions.admit([1; 16], 1_000_000, now).is_none());
        assert!(questions.admit([2; 16], 1_000_000 - SKEW_MS - 1, now).is_none());
        let held: Vec<_> = (0..ANSWERING_MAX)
            .map(|n| questions.admit([n as u8 + 10; 16], 1_000_000, now).unwrap())
            .collect();
        assert!(questions.admit([9; 16], 1_000_000, now).is_none());
        drop(held);
        assert!(questions.admit([9; 16], 1_000_000, now).is_some());
    }
}
