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
