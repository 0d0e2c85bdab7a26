//! Delivers notices from the outbox. An attempt is counted before it is made, so that a crash costs
//! one attempt and no notice.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use tracing::{debug, warn};

use super::runner::Job;
use crate::{
    app::notices::{Notices, forgotten_before},
    domain::{
        language::Language,
        notice::{self, Channel, Fact},
        time::Time,
    },
    notify::{Failure, Message, Way, target::Target},
    store::{
        StoreError,
        notices::{self, Waiting},
    },
};

/// How often it is looked.
pub const EVERY: Duration = Duration::from_secs(2);
/// Notices of one look.
const AT_ONCE: u32 = 64;
/// Deliveries under way.
const UNDER_WAY: usize = 4;

pub struct Delivering {
    pub notices: Arc<Notices>,
}

impl Job for Delivering {
    const NAME: &'static str = "notices";
    type Error = StoreError;

    async fn run_once(&self) -> Result<(), StoreError> {
        let now = self.notices.outside.now();
        let due = {
            let mut db = self.notices.db.reader().await?;
            notices::list_due(&mut db, now, AT_ONCE).await?
        };
        let mut done = stream::iter(due)
            .map(|waiting| async move { self.deliver(&waiting, now).await })
            .buffer_unordered(UNDER_WAY);
        while let Some(one) = done.next().await {
            one?;
        }
        let mut db = self.notices.db.local().await?;
        notices::sweep(&mut db, forgotten_before(now)).await?;
        Ok(())
    }
}

impl Delivering {
    async fn deliver(&self, waiting: &Waiting, now: Time) -> Result<(), StoreError> {
        let all = &self.notices;
        let Some(letter) = self.letter(waiting) else {
            // Written under another key, or by a newer version.
            return self.end(waiting, true, now).await;
        };
        if let Some(until) = letter.quiet_until(now) {
            let mut db = all.db.local().await?;
            return notices::put_off(&mut db, &waiting.id, until).await;
        }
        let attempts = u32::try_from(waiting.attempts + 1).unwrap_or(u32::MAX);
        let [chance] = all.outside.random::<1>();
        // The last attempt too is followed by a look: at an ended notice.
        let next = notice::next_attempt(now, attempts, chance);
        let after = next.unwrap_or(Time(now.0 + i64::from(u32::MAX)));
        {
            let mut db = all.db.local().await?;
            if !notices::begin(&mut db, waiting, after).await? {
                return Ok(());
            }
        }
        let (subject, body) =
            notice::text(letter.fact, &letter.language, &waiting.reference, &waiting.label);
        let message = Message {
            id: &waiting.id,
            address: letter.address(),
            subject: &subject,
            body: &body,
            now: all.outside.now(),
        };
        match (all.ways.tell(letter.way(), &message).await, next) {
            (Ok(()), _) => self.end(waiting, false, now).await,
            (Err(Failure::Passing(what)), Some(_)) => {
                debug!(attempts, what, "notice not delivered, will be tried again");
                Ok(())
            }
            (Err(failure), _) => {
                warn!(attempts, %failure, "notice given up");
                self.end(waiting, true, now).await
            }
        }
    }

    async fn end(&self, waiting: &Waiting, failed: bool, now: Time) -> Result<(), StoreError> {
        let mut db = self.notices.db.local().await?;
        notices::end(&mut db, &waiting.id, failed, now).await
    }

    fn letter(&self, waiting: &Waiting) -> Option<Letter> {
        let number = |number: i64| i32::try_from(number).unwrap_or(0);
        let channel = Channel::from_number(number(waiting.channel), "channel").ok()?;
        let fact = Fact::from_number(number(waiting.fact), "fact").ok()?;
        let language = Language::parse(&waiting.address.language, "language").ok()?;
        if channel == Channel::Webhook && waiting.address.target.is_empty() {
            return Some(Letter { fact, language, target: None, quiet: None });
        }
        let reader = self.notices.reader(&waiting.id, &waiting.address)?;
        Some(Letter { fact, language, target: Some(reader.target), quiet: reader.quiet })
    }
}

/// A notice, opened.
struct Letter {
    fact: Fact,
    language: Language,
    /// None: the point's own robot.
    target: Option<Target>,
    quiet: Option<notice::Quiet>,
}

impl Letter {
    fn way(&self) -> Way<'_> {
        match &self.target {
            None => Way::Desk,
            Some(Target::Email(email)) => Way::Mail(email),
            Some(Target::Webhook(webhook)) => Way::Robot(webhook),
        }
    }

    fn address(&self) -> &str {
        match &self.target {
            Some(Target::Email(email)) => email.as_str(),
            Some(Target::Webhook(_)) | None => "",
        }
    }

    fn quiet_until(&self, now: Time) -> Option<Time> {
        self.quiet.as_ref()?.until(now)
    }
}
