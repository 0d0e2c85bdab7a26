//! What this side sends, in order of urgency: control and the roster first, then parcels, then feeds,
//! also while a long transfer is under way.

use tokio::sync::mpsc;
use yizhan_proto::v1::Frame;

/// Control frames that wait. A peer that lets more pile up is not reading.
const CONTROL: usize = 512;
const PARCELS: usize = 16;
/// Pages that wait: one to send, one to have ready.
const PAGES: usize = 2;

/// The senders' side. Cheap to clone.
#[derive(Clone)]
pub struct Outgoing {
    control: mpsc::Sender<Frame>,
    pub roster_pages: mpsc::Sender<Frame>,
    pub parcels: mpsc::Sender<Frame>,
    pub pages: mpsc::Sender<Frame>,
}

/// The peer does not take what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReading;

impl Outgoing {
    /// Starts to pass frames on to `wire`, most urgent first, until either end is gone.
    pub fn start(wire: mpsc::Sender<Frame>) -> Outgoing {
        let (control, mut controls) = mpsc::channel(CONTROL);
        let (roster_pages, mut roster) = mpsc::channel(PAGES);
        let (parcels, mut letters) = mpsc::channel(PARCELS);
        let (pages, mut feeds) = mpsc::channel(PAGES);
        tokio::spawn(async move {
            loop {
                let frame = tokio::select! {
                    biased;
                    Some(frame) = controls.recv() => frame,
                    Some(frame) = roster.recv() => frame,
                    Some(frame) = letters.recv() => frame,
                    Some(frame) = feeds.recv() => frame,
                    else => return,
                };
                if wire.send(frame).await.is_err() {
                    return;
                }
            }
        });
        Outgoing { control, roster_pages, parcels, pages }
    }

    /// Never waits: a session that waited for its peer to read could not read what the peer waits for
    /// it to read.
    pub fn control(&self, frame: Frame) -> Result<(), NotReading> {
        self.control.try_send(frame).map_err(|_| NotReading)
    }

    /// Room for announcements, which can wait and be merged.
    pub fn has_room(&self) -> bool {
        self.control.capacity() > CONTROL / 2
    }
}

#[cfg(test)]
mod tests {
    use yizhan_proto::v1::{self, frame::Kind};

    use super::*;
    use crate::link::frame::frame;

    fn page(pull: u64) -> Frame {
        frame(Kind::Page(v1::Page { pull, ..Default::default() }))
    }

    async fn names(wire: &mut mpsc::Receiver<Frame>, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(match wire.recv().await.unwrap().kind {
                Some(Kind::Ping(_)) => "control".to_owned(),
                Some(Kind::Parcels(_)) => "parcels".to_owned(),
                Some(Kind::Page(page)) => format!("page {}", page.pull),
                other => panic!("{other:?}"),
            });
        }
        names
    }

    #[tokio::test]
    async fn the_roster_goes_before_parcels_and_these_before_feeds() {
        let (wire, mut sent) = mpsc::channel(1);
        let out = Outgoing::start(wire);
        let parcels = || frame(Kind::Parcels(v1::Parcels::default()));
        let ping = || frame(Kind::Ping(v1::Ping::default()));
        out.pages.try_send(page(1)).unwrap();
        out.parcels.try_send(parcels()).unwrap();
        out.roster_pages.try_send(page(100)).unwrap();
        out.control(ping()).unwrap();
        assert_eq!(names(&mut sent, 4).await, ["control", "page 100", "parcels", "page 1"]);

        // Also while a long transfer is under way: what has been begun is finished, no more.
        out.pages.send(page(2)).await.unwrap();
        out.pages.send(page(3)).await.unwrap();
        tokio::task::yield_now().await;
        out.pages.send(page(4)).await.unwrap();
        out.pages.send(page(5)).await.unwrap();
        out.parcels.send(parcels()).await.unwrap();
        out.roster_pages.send(page(101)).await.unwrap();
        let rest = ["page 2", "page 3", "page 101", "parcels", "page 4", "page 5"];
        assert_eq!(names(&mut sent, 6).await, rest);
    }
}
