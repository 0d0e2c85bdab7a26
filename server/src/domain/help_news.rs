//! What there is to tell of a help request, from what is stored of it alone. Derived again it is the
//! same news under the same name, so that nobody is told twice.

use super::{
    help_request::HelpRequest, help_state::HelpState, id::RecordId, notice::Fact, time::Time,
};

/// What happened longer ago is no news: nobody is told of it after a restore, or when mail is set up
/// at last.
pub const NEWS_US: i64 = 2 * 24 * 60 * 60 * 1_000_000;

/// Whom it is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum To {
    /// Whoever works at the desk.
    Desk,
    /// Whoever handles the request; the desk if nobody does.
    Handler,
    /// Whoever answers for the point.
    Supervisors,
    Client,
}

/// Who wrote a message, as far as somebody else is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writer {
    Client,
    Desk,
    System,
}

/// Something to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HelpNews {
    pub fact: Fact,
    pub to: To,
    /// Tells it from other news of the same fact.
    pub occasion: String,
    pub at: Time,
}

impl HelpNews {
    pub fn is_new(&self, now: Time) -> bool {
        now.0.saturating_sub(self.at.0) < NEWS_US
    }
}

/// News in a request as it stands. What was imported is none.
pub fn of_request(id: RecordId, request: &HelpRequest) -> Vec<HelpNews> {
    if !request.source.is_empty() {
        return Vec::new();
    }
    let owner = request.owner_number;
    let mut news = Vec::new();
    let mut add = |fact, to, occasion: String, at| {
        if to == To::Client && was_told_elsewhere(request, at) {
            return;
        }
        news.push(HelpNews { fact, to, occasion: format!("{id} {occasion}"), at });
    };
    // For an owner that it was passed to it is new when it comes, however far it has come elsewhere.
    if let Some(at) = request.passed.filter(|_| request.state.is_open()) {
        add(Fact::NewRequest, To::Desk, owner.to_string(), at);
    }
    match request.state {
        HelpState::Received | HelpState::Triaged if request.passed.is_none() => {
            let at = if owner == 0 { request.received } else { request.updated };
            add(Fact::NewRequest, To::Desk, owner.to_string(), at);
        }
        HelpState::WaitingClient => {
            let since = request.waiting.unwrap_or(request.updated);
            add(Fact::Waiting, To::Client, since.0.to_string(), since);
        }
        HelpState::Resolved => {
            let since = request.resolved.unwrap_or(request.updated);
            add(Fact::Done, To::Client, since.0.to_string(), since);
        }
        HelpState::Redirected => {
            let since = request.closed.unwrap_or(request.updated);
            add(Fact::NotOurs, To::Client, String::new(), since);
        }
        HelpState::Received
        | HelpState::Triaged
        | HelpState::Assigned
        | HelpState::InProgress
        | HelpState::Closed
        | HelpState::Duplicate
        | HelpState::Withdrawn => {}
    }
    if request.escalation > 0 && request.state.is_open() {
        for clock in request.clocks.0.iter().filter(|clock| clock.running_since.is_some()) {
            // Each promise by itself; one that goes on after a pause is the same.
            let Some(since) = clock.breached else { continue };
            let (reopened, kind) = (request.reopened, clock.kind.name());
            let occasion = format!("{owner} {reopened} {kind} {}", since.0);
            // For another owner it is new when it comes.
            let at = request.taken_over.map_or(since, |taken_over| taken_over.max(since));
            add(Fact::Escalated, To::Supervisors, occasion, at);
        }
    }
    if owner > 0 && request.state.is_open() {
        // It comes with each new owner, whatever the desk has done since.
        let occasion = format!("{id} {owner}");
        let (fact, at) = (Fact::PassedOn, request.updated);
        news.push(HelpNews { fact, to: To::Client, occasion, at });
    }
    news
}

/// Did it happen at an owner before? That one has told the client.
fn was_told_elsewhere(request: &HelpRequest, at: Time) -> bool {
    request.taken_over.is_some_and(|taken_over| at <= taken_over)
}

/// News in a message. The word with which a client is asked, or a request resolved, is told as that.
pub fn of_message(
    id: RecordId,
    writer: Writer,
    at: Time,
    request: &HelpRequest,
) -> Option<HelpNews> {
    if was_told_elsewhere(request, at) {
        return None;
    }
    let (fact, to) = match writer {
        Writer::Client => (Fact::ClientWrote, To::Handler),
        Writer::System => (Fact::Opened, To::Client),
        Writer::Desk if request.waiting == Some(at) || request.resolved == Some(at) => return None,
        Writer::Desk => (Fact::Answered, To::Client),
    };
    Some(HelpNews { fact, to, occasion: id.to_string(), at })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        help_request::samples::{always, request},
        help_state::HelpMove,
    };

    #[test]
    fn each_step_is_told_once_and_to_whom_it_concerns() {
        let hours = always();
        let id = RecordId([1; 16]);
        let mut one = request();
        let facts = |request: &HelpRequest| -> Vec<(Fact, To)> {
            of_request(id, request).into_iter().map(|news| (news.fact, news.to)).collect()
        };
        assert_eq!(facts(&one), [(Fact::NewRequest, To::Desk)]);
        let first = of_request(id, &one);
        one.step(HelpMove::Triage, Time(1), &hours).unwrap();
        assert_eq!(of_request(id, &one)[0].occasion, first[0].occasion, "the same news");
        one.owner_number = 1;
        assert_ne!(of_request(id, &one)[0].occasion, first[0].occasion, "news to another desk");
        let passed_on = (Fact::PassedOn, To::Client);
        assert_eq!(facts(&one), [(Fact::NewRequest, To::Desk), passed_on]);
        let told = of_request(id, &one)[1].occasion.clone();
        one.step(HelpMove::Reply, Time(2), &hours).unwrap();
        assert_eq!(facts(&one), [passed_on]);
        assert_eq!(of_request(id, &one)[0].occasion, told, "the same news");
        one.step(HelpMove::Wait, Time(3), &hours).unwrap();
        assert_eq!(facts(&one), [(Fact::Waiting, To::Client), passed_on]);
        let asked = of_message(RecordId([2; 16]), Writer::Desk, Time(3), &one);
        assert_eq!(asked, None, "told as a question");
        let answered = of_message(RecordId([2; 16]), Writer::Desk, Time(2), &one).unwrap();
        assert_eq!((answered.fact, answered.to), (Fact::Answered, To::Client));
        one.step(HelpMove::Answer, Time(4), &hours).unwrap();
        one.step(HelpMove::Resolve, Time(5), &hours).unwrap();
        assert_eq!(facts(&one), [(Fact::Done, To::Client)]);
        one.source = "requests.csv:1".into();
        assert_eq!(facts(&one), [], "imported");
    }

    #[test]
    fn each_promise_that_was_broken_is_news_and_one_that_goes_on_is_the_same() {
        let hours = always();
        let id = RecordId([1; 16]);
        let mut one = request();
        one.step(HelpMove::Assign, Time(1), &hours).unwrap();
        let escalated = |request: &HelpRequest| -> Vec<String> {
            let news = of_request(id, request).into_iter();
            let news = news.filter(|news| news.fact == Fact::Escalated);
            news.map(|news| news.occasion).collect()
        };
        // Eight hours for a first answer, then a day for the next word.
        let hour = |n: i64| Time(n * 60 * 60 * 1_000_000);
        let looked = |one: &mut HelpRequest, at: Time| {
            one.clocks.note_breaches(at);
            one.escalation = one.escalation.max(one.overdue(at, &hours));
        };
        looked(&mut one, hour(9));
        let first = escalated(&one);
        assert_eq!(first.len(), 1);
        one.step(HelpMove::Wait, hour(10), &hours).unwrap();
        assert_eq!((one.escalation, escalated(&one)), (0, vec![]), "the client is asked");
        one.step(HelpMove::Answer, hour(11), &hours).unwrap();
        looked(&mut one, hour(12));
        assert_eq!(escalated(&one), first, "the same promise");
        one.step(HelpMove::Reply, hour(13), &hours).unwrap();
        assert_eq!((one.escalation, escalated(&one)), (0, vec![]), "it is done");
        looked(&mut one, hour(40));
        let second = escalated(&one);
        assert_eq!(second.len(), 1);
        assert_ne!(second, first);
    }

    #[test]
    fn what_an_owner_before_has_told_its_client_is_no_news() {
        let hours = always();
        let mut one = request();
        one.step(HelpMove::Assign, Time(1), &hours).unwrap();
        one.step(HelpMove::Wait, Time(3), &hours).unwrap();
        let told = |one: &HelpRequest| -> Vec<Fact> {
            of_request(RecordId([1; 16]), one).into_iter().map(|news| news.fact).collect()
        };
        assert_eq!(told(&one), [Fact::Waiting]);
        (one.owner_number, one.taken_over, one.passed) = (1, Some(Time(9)), Some(Time(9)));
        assert_eq!(told(&one), [Fact::NewRequest, Fact::PassedOn]);
        let message = |at| of_message(RecordId([2; 16]), Writer::Desk, at, &one);
        assert_eq!(message(Time(9)), None);
        assert!(message(Time(10)).is_some());
    }

    #[test]
    fn what_is_old_is_no_news() {
        let news = of_request(RecordId([1; 16]), &request()).remove(0);
        assert!(news.is_new(Time(news.at.0 + NEWS_US - 1)));
        assert!(!news.is_new(Time(news.at.0 + NEWS_US)));
    }
}
