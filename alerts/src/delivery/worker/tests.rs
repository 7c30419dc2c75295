//! What a loop does where threads meet.

use super::super::examples::firing;
use super::super::http::UreqClient;
use super::super::{Acting, DestinationConfig};
use super::*;

/// A chain.
struct Commits(Vec<Committed>);

impl CatchUp for Commits {
    fn since(&self, sequence: u64) -> Result<Vec<Committed>, ReadError> {
        Ok(self.0.iter().filter(|commit| commit.sequence >= sequence).cloned().collect())
    }

    fn last(&self, _: &[String]) -> Result<Vec<Arc<Alert>>, ReadError> {
        Ok(Vec::new())
    }
}

fn idle(keys: &str, acting: Acting) -> (DestinationLoop, Feed) {
    let keys = format!(r#"{{"name":"a","type":"webhook","url":"http://localhost:1/"{keys}}}"#);
    let config: DestinationConfig = serde_json::from_str(&keys).unwrap();
    let destination = config.open().unwrap();
    DestinationLoop::new(Wiring {
        http: Box::new(UreqClient::new(&destination)),
        destination,
        catch_up: Box::new(Commits(Vec::new())),
        cursor: 0,
        open: Vec::new(),
        save_cursor: Box::new(|_| ()),
        standing: Standing::default(),
        save_standing: Box::new(|_| Taken::Yes),
        notify: Box::new(|_| Taken::Yes),
        acting: Box::new(move || acting),
        may_send: Box::new(|| true),
        clock: Box::new(|| Now { wall: schemas::Timestamp(0), elapsed: Duration::ZERO }),
        random: Box::new(|| 0),
        backoff: Backoff::default(),
        queued_max: 10,
    })
}

#[test]
fn what_was_offered_between_the_last_look_and_a_stop_is_brought_out() {
    let (mut idle, feed) = idle("", Acting::Allowed);
    let step = idle.refreshed();
    assert_eq!(step, Step::Wait(None));
    let alerts = vec![Arc::new(firing("kb0"))];
    feed.offer(Committed { alerts, ..Committed::default() });
    feed.shared.stop.store(true, Ordering::Release);
    assert!(matches!(idle.advance(step), Some(Step::Send(_))));
}

#[test]
fn a_stop_does_not_wait_for_a_pause_to_end() {
    let (mut paused, feed) = idle(",\"acts\":true", Acting::Paused);
    let alerts = vec![Arc::new(firing("kb0"))];
    feed.offer(Committed { alerts, ..Committed::default() });
    let step = paused.refreshed();
    assert!(matches!(step, Step::Wait(Some(_))), "until it is too late to act");
    feed.shared.stop.store(true, Ordering::Release);
    assert_eq!(paused.advance(step), None);
}

#[test]
fn what_stood_open_is_taken_up_as_quiet_as_the_chain_has_it_by_then_and_before_an_end() {
    let (mut idle, _feed) = idle(",\"repeat_interval\":\"1h\"", Acting::Allowed);
    let alert = Arc::new(firing("kb0"));
    let muted = Committed { muted: vec![alert.id.clone()], ..Committed::default() };
    idle.wiring.catch_up = Box::new(Commits(vec![muted]));
    idle.wiring.open = vec![OpenAlert { alert, muted: false }];
    idle.refreshed();
    assert!(idle.wiring.open[0].muted);
    assert!(!idle.nothing_left());
    idle.refreshed();
    assert!(idle.nothing_left());
}
