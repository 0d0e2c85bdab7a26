//! In front of the public routes: misuse is slowed without anybody being watched, and whoever asks for
//! help is let in when the rest is busy.
//!
//! A caller is known by a keyed hash of the network it comes from. The key is drawn at start, lives in
//! memory alone and is drawn anew every day, with all counts; nothing is stored and nothing logged.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
};
use tokio::{sync::Semaphore, time::Instant};
use tonic::{Code, Status};

use crate::{
    app::error::Error,
    domain::bucket::{Buckets, Rate, Who},
    listen::Source,
    outside::Outside,
};

/// Routes that anybody may use without an account.
const HELP: &str = "/yizhan.v1.HelpRequestService/";
/// Those of them that need no secret.
const OPEN: [&str; 3] = ["SubmitHelpRequest", "ListHelpCategories", "UploadAttachment"];
/// What takes something in. Looking categories up costs nothing.
const TAKING: [&str; 2] = ["SubmitHelpRequest", "UploadAttachment"];

/// Wrong secrets of one network: as many at once as somebody mistypes, then one in half a minute.
const WRONG_SECRETS: Rate = Rate { burst: 20, interval_us: 30_000_000 };
/// Submissions and files of one network: a shared flat, a school, a mobile operator.
const SUBMISSIONS: Rate = Rate { burst: 120, interval_us: 1_000_000 };
/// Networks that are remembered of a day.
const NETWORKS_MAX: usize = 65_536;
const DAY_US: i64 = 24 * 60 * 60 * 1_000_000;
/// An answer that something is not there comes at a multiple of this, whatever was looked at.
const STEP: Duration = Duration::from_millis(25);

/// Calls at once that are not for help. Help has room beyond that.
const OTHERS_MAX: usize = 192;
/// How long such a call waits for its turn.
const TURN: Duration = Duration::from_secs(10);

/// Counts of this day.
pub struct Shelter {
    outside: Outside,
    counts: Mutex<Counts>,
    others: Semaphore,
}

struct Counts {
    key: [u8; 32],
    day: i64,
    wrong: Buckets,
    submitted: Buckets,
}

#[derive(Clone, Copy)]
enum Count {
    Wrong,
    Submitted,
}

impl Shelter {
    pub fn new(outside: Outside) -> Arc<Shelter> {
        let counts = Counts {
            key: outside.random(),
            day: outside.now().0.div_euclid(DAY_US),
            wrong: Buckets::new(WRONG_SECRETS, NETWORKS_MAX),
            submitted: Buckets::new(SUBMISSIONS, NETWORKS_MAX),
        };
        Arc::new(Shelter {
            outside,
            counts: Mutex::new(counts),
            others: Semaphore::new(OTHERS_MAX),
        })
    }

    fn take(&self, source: Source, count: Count) -> Result<(), Error> {
        self.ask(source, count, Buckets::take)
    }

    fn look(&self, source: Source, count: Count) -> Result<(), Error> {
        self.ask(source, count, Buckets::look)
    }

    fn ask(
        &self,
        source: Source,
        count: Count,
        ask: fn(&mut Buckets, Who, i64) -> Result<(), i64>,
    ) -> Result<(), Error> {
        let now = self.outside.now().0;
        let mut counts = self.counts(now);
        let Some(who) = counts.who(source, count) else { return Ok(()) };
        ask(counts.of(count), who, now).map_err(|wait_us| Error::SlowDown {
            retry_after_ms: u64::try_from(wait_us / 1_000 + 1).unwrap_or(1),
        })
    }

    /// Today's counts: yesterday's key is gone, and with it whoever it stood for.
    fn counts(&self, now: i64) -> std::sync::MutexGuard<'_, Counts> {
        let mut counts = self.counts.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let day = now.div_euclid(DAY_US);
        if counts.day != day {
            counts.day = day;
            counts.key = self.outside.random();
            counts.wrong.clear();
            counts.submitted.clear();
        }
        counts
    }
}

impl Counts {
    fn of(&mut self, count: Count) -> &mut Buckets {
        match count {
            Count::Wrong => &mut self.wrong,
            Count::Submitted => &mut self.submitted,
        }
    }

    /// None: not counted. Submissions from this machine come through the operator's own gateway,
    /// which stands for everybody behind it; wrong secrets are counted all the same.
    fn who(&self, source: Source, count: Count) -> Option<Who> {
        let network = match (source, count) {
            (Source::Local, _) => return None,
            (Source::Network(address), Count::Submitted) if address.is_loopback() => return None,
            (Source::Network(address), _) => network(address),
        };
        let hash = blake3::keyed_hash(&self.key, &network);
        hash.as_bytes().first_chunk().copied()
    }
}

/// The /24 or /56 that an address lies in: a household has a whole one, and a guesser with many
/// addresses mostly has them there.
fn network(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3].to_vec(),
        IpAddr::V6(v6) => v6.octets()[..7].to_vec(),
    }
}

/// Puts the shelter in front of a listener's services.
pub fn shelter(services: Router, shelter: Arc<Shelter>) -> Router {
    services.layer(from_fn_with_state(shelter, pass))
}

async fn pass(State(shelter): State<Arc<Shelter>>, request: Request, next: Next) -> Response {
    let Some(rpc) = request.uri().path().strip_prefix(HELP).map(str::to_owned) else {
        return other(&shelter, request, next).await;
    };
    let source = request.extensions().get::<Source>().copied().unwrap_or(Source::Local);
    if TAKING.contains(&rpc.as_str()) {
        return match shelter.take(source, Count::Submitted) {
            Ok(()) => next.run(request).await,
            Err(error) => refusal(error),
        };
    }
    if OPEN.contains(&rpc.as_str()) {
        return next.run(request).await;
    }
    if let Err(error) = shelter.look(source, Count::Wrong) {
        return refusal(error);
    }
    let began = Instant::now();
    let mut response = next.run(request).await;
    if is_not_found(&response) {
        // Counted now and not before: many right look-ups at once are no misuse, and of many
        // guesses at once no more are answered than one after the other.
        if let Err(error) = shelter.take(source, Count::Wrong) {
            response = refusal(error);
        }
        let steps = began.elapsed().as_millis() / STEP.as_millis() + 1;
        let until = began + STEP * u32::try_from(steps).unwrap_or(u32::MAX);
        tokio::time::sleep_until(until).await;
    }
    response
}

/// Waits for a turn, so that staff at work cannot keep a call for help out.
async fn other(shelter: &Shelter, request: Request, next: Next) -> Response {
    match tokio::time::timeout(TURN, shelter.others.acquire()).await {
        Ok(Ok(_turn)) => next.run(request).await,
        Ok(Err(_)) | Err(_) => refusal(Error::Busy),
    }
}

fn is_not_found(response: &Response) -> bool {
    let status = response.headers().get("grpc-status");
    status.is_some_and(|status| status.as_bytes() == (Code::NotFound as i32).to_string().as_bytes())
}

fn refusal(error: Error) -> Response {
    Status::from(error).into_http::<Body>()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use axum::routing::any;
    use tower::ServiceExt;

    use super::*;
    use crate::domain::time::Time;

    /// A listener whose look-ups all fail, and whose submissions all succeed.
    fn services(now: &Arc<AtomicI64>) -> Router {
        let clock = now.clone();
        let outside = Outside::new(move || Time(clock.load(Ordering::SeqCst)), |b| rand::fill(b));
        let not_found =
            || async { Status::not_found("help request not found").into_http::<Body>() };
        let taken = || async { Response::new(Body::empty()) };
        let routes = Router::new()
            .route(&format!("{HELP}TrackHelpRequest"), any(not_found))
            .route(&format!("{HELP}SubmitHelpRequest"), any(taken));
        shelter(routes, Shelter::new(outside))
    }

    async fn call(services: &Router, rpc: &str, from: &str) -> (i32, bool) {
        let mut request = Request::post(format!("{HELP}{rpc}")).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Source::of(from.parse().unwrap()));
        let response = services.clone().oneshot(request).await.unwrap();
        let status = response.headers().get("grpc-status");
        let code = status.map_or(0, |code| code.to_str().unwrap().parse().unwrap());
        (code, response.headers().contains_key("grpc-status-details-bin"))
    }

    #[tokio::test]
    async fn twenty_wrong_secrets_of_one_network_are_enough_for_a_while() {
        let now = Arc::new(AtomicI64::new(1));
        let services = services(&now);
        for n in 0..20 {
            let from = format!("203.0.113.{n}");
            assert_eq!(call(&services, "TrackHelpRequest", &from).await.0, Code::NotFound as i32);
        }
        let refused = call(&services, "TrackHelpRequest", "203.0.113.99").await;
        assert_eq!(refused, (Code::ResourceExhausted as i32, true));
        assert_eq!(call(&services, "SubmitHelpRequest", "203.0.113.99").await.0, 0);
        let other = call(&services, "TrackHelpRequest", "198.51.100.1").await;
        assert_eq!(other.0, Code::NotFound as i32);
        now.fetch_add(30_000_000, Ordering::SeqCst);
        let later = call(&services, "TrackHelpRequest", "203.0.113.99").await;
        assert_eq!(later.0, Code::NotFound as i32);
    }

    #[tokio::test]
    async fn guesses_made_at_once_get_no_more_answers() {
        let services = services(&Arc::new(AtomicI64::new(1)));
        let guesses = (0..64).map(|_| call(&services, "TrackHelpRequest", "203.0.113.1"));
        let answers = futures::future::join_all(guesses).await;
        let answered = answers.iter().filter(|(code, _)| *code == Code::NotFound as i32).count();
        assert_eq!(answered as i64, WRONG_SECRETS.burst);
    }

    #[tokio::test]
    async fn right_secrets_used_at_once_are_all_answered() {
        let right = || async { Response::new(Body::empty()) };
        let route = Router::new().route(&format!("{HELP}TrackHelpRequest"), any(right));
        let services = shelter(route, Shelter::new(Outside::new(|| Time(1), |b| rand::fill(b))));
        let calls = (0..64).map(|_| call(&services, "TrackHelpRequest", "203.0.113.1"));
        let answers = futures::future::join_all(calls).await;
        assert!(answers.iter().all(|(code, _)| *code == 0));
    }

    #[tokio::test]
    async fn a_new_day_knows_nobody() {
        let now = Arc::new(AtomicI64::new(DAY_US - 1));
        let services = services(&now);
        for _ in 0..21 {
            call(&services, "TrackHelpRequest", "2001:db8:1:2::3").await;
        }
        let same = call(&services, "TrackHelpRequest", "2001:db8:1:2:9::3").await;
        assert_eq!(same.0, Code::ResourceExhausted as i32);
        now.fetch_add(1, Ordering::SeqCst);
        let next = call(&services, "TrackHelpRequest", "2001:db8:1:2::3").await;
        assert_eq!(next.0, Code::NotFound as i32);
    }

    #[tokio::test]
    async fn what_is_not_there_takes_whole_steps_of_time() {
        let services = services(&Arc::new(AtomicI64::new(1)));
        let began = Instant::now();
        call(&services, "TrackHelpRequest", "203.0.113.1").await;
        let took = began.elapsed();
        assert!(took >= STEP, "{took:?}");
    }

    #[tokio::test]
    async fn submissions_of_one_network_are_slowed_and_a_gateway_is_not() {
        let services = services(&Arc::new(AtomicI64::new(1)));
        let mut taken = 0;
        for _ in 0..200 {
            taken += i32::from(call(&services, "SubmitHelpRequest", "203.0.113.1").await.0 == 0);
            assert_eq!(call(&services, "SubmitHelpRequest", "127.0.0.1").await.0, 0);
        }
        assert_eq!(i64::from(taken), SUBMISSIONS.burst);
    }
}
