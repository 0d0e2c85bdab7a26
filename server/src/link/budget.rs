//! How much a neighbour may send before we have stored what it sent: what the line has been seen to
//! carry in some round trips, and what is being stored meanwhile; never more than it carries in two
//! seconds. A fast line is kept full whatever its delay, a thin one is not clogged, and little that
//! has arrived is lost with a node that is killed.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Credit before anything has been measured.
pub const WINDOW_FIRST: u64 = 128 * 1024;
pub const WINDOW_MIN: u64 = 16 * 1024;
pub const WINDOW_MAX: u64 = 8 * 1024 * 1024;
/// Credit of all links of a node together.
pub const TOTAL_MAX: u64 = 256 * 1024 * 1024;
/// Seconds of measured throughput that may be under way.
const SECONDS: f64 = 2.0;
/// Round trips of it: throughput is a mean, and lags behind while it rises.
const ROUND_TRIPS: f64 = 8.0;
/// Compressed bytes of pages that are being stored; further pages wait. Enough for the writer never
/// to wait for the next page, and less than the 256 KiB that a kill may cost.
pub const STORING_MAX: usize = 192 * 1024;
/// At first, what came in a burst says how fast the line is, without its delay. Later it may as well
/// be what a stall had held up.
const RAMP: Duration = Duration::from_secs(2);
/// What may be under way grows to so many times of what has arrived: a far line is full after the
/// second round trip, and a first burst that was luckier than the line is does not clog it for long.
const GROWTH: u64 = 64;
/// How far back throughput is measured.
const MEMORY: Duration = Duration::from_secs(1);
/// Shorter than this, a measurement says nothing.
const LEAST: Duration = Duration::from_millis(5);

/// Credit handed out by all links of a node.
#[derive(Clone, Default)]
pub struct Total(Arc<AtomicU64>);

/// The receiver's side of one link's credit, in compressed page bytes.
pub struct Window {
    total: Total,
    /// Granted and not yet arrived and stored.
    outstanding: u64,
    /// Arrived beyond what was granted: the neighbour's next credit would only pay it off.
    overdrawn: u64,
    arrived: VecDeque<(Instant, u64)>,
    /// The shortest that was seen. Before there is one, the line gets no more than at first.
    round_trip: Option<Duration>,
    /// Since when there has been something to wait for without a pause, and what came since.
    busy_since: Option<Instant>,
    arrived_since: u64,
}

impl Window {
    pub fn new(total: Total) -> Window {
        Window {
            total,
            outstanding: 0,
            overdrawn: 0,
            arrived: VecDeque::new(),
            round_trip: None,
            busy_since: None,
            arrived_since: 0,
        }
    }

    /// Notes how long the neighbour took to answer.
    pub fn answered(&mut self, after: Duration) {
        self.round_trip = Some(self.round_trip.map_or(after, |known| known.min(after)));
    }

    /// Notes that a page has been stored, or is not wanted any more.
    pub fn stored(&mut self, bytes: u64) {
        let settled = bytes.min(self.outstanding);
        self.outstanding -= settled;
        self.overdrawn += bytes - settled;
        self.total.0.fetch_sub(settled, Ordering::Relaxed);
    }

    /// What may have arrived and not be stored yet, by what was granted.
    pub fn outstanding(&self) -> u64 {
        self.outstanding
    }

    /// Notes that a page has arrived.
    pub fn arrived(&mut self, bytes: u64, now: Instant) {
        self.arrived_since += bytes;
        self.arrived.push_back((now, bytes));
        while self.arrived.front().is_some_and(|(at, _)| now.duration_since(*at) > MEMORY) {
            self.arrived.pop_front();
        }
    }

    /// What may be granted on top of what is outstanding, and of what was overdrawn; noted as granted.
    pub fn grant(&mut self, now: Instant) -> u64 {
        let room = self.size(now).saturating_sub(self.outstanding);
        // Small grants cost a frame each and move nothing.
        if room < self.size(now) / 8 {
            return 0;
        }
        let left = TOTAL_MAX.saturating_sub(self.total.0.load(Ordering::Relaxed));
        let room =
            if self.outstanding == 0 { room.min(left.max(WINDOW_MIN)) } else { room.min(left) };
        if self.outstanding == 0 && self.arrived.back().is_none_or(|(at, _)| now - *at > MEMORY) {
            self.busy_since = Some(now);
            self.arrived_since = 0;
        }
        self.outstanding += room;
        self.total.0.fetch_add(room, Ordering::Relaxed);
        room + std::mem::take(&mut self.overdrawn)
    }

    fn size(&self, now: Instant) -> u64 {
        let Some((first, first_bytes)) = self.arrived.front() else { return WINDOW_FIRST };
        let bytes: u64 = self.arrived.iter().map(|(_, bytes)| bytes).sum();
        let rate = |bytes: u64, since: Duration| bytes as f64 / since.max(LEAST).as_secs_f64();
        // From when it was asked for, which counts the line's delay too; and from the first arrival
        // on, which does not, but takes two arrivals.
        let asked = self.busy_since.map_or(RAMP, |since| now.duration_since(since));
        let flowing = match asked < RAMP {
            true => rate(bytes - first_bytes, now.duration_since(*first)),
            false => 0.0,
        };
        let rate = rate(bytes, asked.min(MEMORY)).max(flowing);
        let near = match self.round_trip {
            Some(round_trip) => {
                let under_way = rate * ROUND_TRIPS * round_trip.as_secs_f64();
                STORING_MAX as u64 + under_way as u64
            }
            None => WINDOW_FIRST,
        };
        let size = near.min((rate * SECONDS) as u64);
        size.min(self.arrived_since.saturating_mul(GROWTH)).clamp(WINDOW_MIN, WINDOW_MAX)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.total.0.fetch_sub(self.outstanding, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Duration = Duration::from_millis(250);

    #[test]
    fn on_a_near_line_no_more_is_under_way_than_is_being_stored() {
        let mut window = Window::new(Total::default());
        let start = Instant::now();
        window.answered(Duration::from_micros(200));
        let mut under_way = window.grant(start);
        // Sixteen million bytes a second.
        for trip in 1..=2_000 {
            let now = start + Duration::from_millis(4 * trip);
            let page = under_way.min(64 * 1024);
            window.arrived(page, now);
            window.stored(page);
            under_way = under_way - page + window.grant(now);
            assert!(under_way <= 256 * 1024, "{under_way}");
        }
        assert!(under_way > STORING_MAX as u64 / 2, "{under_way}");
    }

    #[test]
    fn a_burst_of_pages_fills_a_far_line_in_two_round_trips() {
        let mut window = Window::new(Total::default());
        window.answered(FAR);
        let start = Instant::now();
        let mut granted = window.grant(start);
        for trip in 1..=2 {
            let now = start + Duration::from_millis(250 * trip);
            for page in 0..8 {
                window.arrived(granted / 8, now + Duration::from_millis(page));
            }
            window.stored(granted);
            granted = window.grant(now + Duration::from_millis(8));
        }
        assert_eq!(granted, WINDOW_MAX);
    }

    #[test]
    fn what_a_stall_held_up_does_not_clog_a_thin_line() {
        let mut window = Window::new(Total::default());
        window.answered(FAR);
        let start = Instant::now();
        window.grant(start);
        window.arrived(8_000, start + Duration::from_secs(1));
        for page in 0..5 {
            window.arrived(8_000, start + Duration::from_millis(6_000 + page));
        }
        window.stored(48_000);
        window.grant(start + Duration::from_millis(6_010));
        assert!(window.outstanding <= WINDOW_FIRST, "{}", window.outstanding);
    }

    #[test]
    fn a_thin_line_gets_little() {
        let mut window = Window::new(Total::default());
        window.answered(FAR);
        let start = Instant::now();
        window.grant(start);
        // 8,000 bytes a second for twenty seconds.
        for second in 1..=20 {
            let now = start + Duration::from_secs(second);
            window.arrived(8_000, now);
            window.stored(8_000);
            window.grant(now);
        }
        assert!(window.outstanding <= 4 * 8_000, "{}", window.outstanding);
    }

    #[test]
    fn a_page_beyond_the_credit_does_not_use_up_the_credit_to_come() {
        let mut window = Window::new(Total::default());
        window.answered(Duration::from_micros(200));
        let start = Instant::now();
        let mut left = window.grant(start) as i64;
        for second in 1..=10 {
            let now = start + Duration::from_secs(second);
            left -= 1_000_000;
            window.arrived(1_000_000, now);
            window.stored(1_000_000);
            left += window.grant(now) as i64;
            assert!(left > 0, "{left} after {second} s");
        }
    }

    #[test]
    fn all_links_together_stay_below_the_total() {
        let total = Total::default();
        let now = Instant::now();
        let mut windows: Vec<Window> = (0..3_000).map(|_| Window::new(total.clone())).collect();
        let granted: u64 = windows.iter_mut().map(|window| window.grant(now)).sum();
        assert!(granted <= TOTAL_MAX + 3_000 * WINDOW_MIN);
        drop(windows);
        assert_eq!(total.0.load(Ordering::Relaxed), 0);
    }
}
