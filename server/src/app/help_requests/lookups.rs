//! Codes that are looked up at the same time share a question to the database, as changes share a
//! commit: a statement costs far more than what it finds.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::{
    app::error::{Error, Result},
    store::{
        StoreError,
        database::Database,
        help_requests::{self, Lookup},
        records::Stored,
    },
};

/// Look-ups of one question.
const TOGETHER: usize = 64;

/// Look-ups that wait for the next question. Whoever asks waits, so calls under way bound them.
#[derive(Default)]
pub struct Lookups(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lookups: Vec<Asked>,
    /// Somebody asks the database, and will ask for those who come meanwhile.
    is_asked: bool,
}

struct Asked {
    lookup: Lookup,
    reply: oneshot::Sender<Result<Vec<Stored>, StoreError>>,
}

impl Lookups {
    /// What a look-up id leads to, with the newest messages.
    pub async fn find(self: &Arc<Lookups>, db: &Database, lookup: Lookup) -> Result<Vec<Stored>> {
        let (reply, found) = oneshot::channel();
        let is_asked = self.with(|waiting| {
            waiting.lookups.push(Asked { lookup, reply });
            std::mem::replace(&mut waiting.is_asked, true)
        });
        if !is_asked {
            // In a task of its own: who hangs up does not take the others' answers along.
            tokio::spawn(self.clone().answer(db.clone()));
        }
        Ok(found.await.map_err(|_| Error::Busy)??)
    }

    /// Asks until nobody waits.
    async fn answer(self: Arc<Lookups>, db: Database) {
        loop {
            // Answers to one group of changes bring the next calls all at once: they go together.
            tokio::task::yield_now().await;
            let asked = self.with(|waiting| {
                let count = waiting.lookups.len().min(TOGETHER);
                waiting.is_asked = count > 0;
                waiting.lookups.drain(..count).collect::<Vec<_>>()
            });
            if asked.is_empty() {
                return;
            }
            let lookups: Vec<Lookup> = asked.iter().map(|asked| asked.lookup).collect();
            match read(&db, &lookups).await {
                Ok(found) => {
                    for (asked, found) in asked.into_iter().zip(found) {
                        // Who has hung up does not want to know.
                        let _ = asked.reply.send(Ok(found));
                    }
                }
                // One damaged record is nobody else's failure.
                Err(_) => {
                    for asked in asked {
                        let found = read(&db, &[asked.lookup]).await;
                        let found = found.map(|mut found| found.pop().unwrap_or_default());
                        let _ = asked.reply.send(found);
                    }
                }
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Waiting) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn read(db: &Database, lookups: &[Lookup]) -> Result<Vec<Vec<Stored>>, StoreError> {
    help_requests::find_by_lookups(&mut *db.reader().await?, db.dialect, lookups).await
}
