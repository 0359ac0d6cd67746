//! What is kept of names, with a clock and a resolver that the test owns.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::clock::{ManualClock, Timestamp};

/// A resolver that answers from a list that a test changes, and counts.
#[derive(Clone, Default)]
struct Zone {
    answer: Arc<Mutex<Option<Vec<IpAddr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Zone {
    fn set(&self, addresses: Option<&[&str]>) {
        let parsed = addresses.map(|all| all.iter().map(|address| address.parse().unwrap()).collect());
        *self.answer.lock().unwrap() = parsed;
    }

    fn names(&self) -> (Arc<Names>, ManualClock) {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
        let zone = self.clone();
        let resolver = Resolver::Function(Arc::new(move |_| {
            zone.asked.fetch_add(1, Ordering::SeqCst);
            zone.answer.lock().unwrap().clone().ok_or_else(|| io::Error::other("no such name"))
        }));
        (Arc::new(Names::new(resolver, Clock::Manual(clock.clone()), Arc::default())), clock)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

async fn texts(names: &Arc<Names>, name: &str) -> Result<Vec<String>, String> {
    let found = names.addresses(name).await;
    found.map(|all| all.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
}

#[test]
fn an_answer_holds_for_a_while_and_then_the_name_is_looked_up_again() {
    let zone = Zone::default();
    let (names, clock) = zone.names();
    runtime().block_on(async {
        zone.set(Some(&["1.1.1.1"]));
        assert_eq!(texts(&names, "a.example").await.unwrap(), ["1.1.1.1"]);
        zone.set(Some(&["2.2.2.2"]));
        clock.advance(Duration::from_secs(29));
        assert_eq!(texts(&names, "a.example").await.unwrap(), ["1.1.1.1"]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(texts(&names, "a.example").await.unwrap(), ["2.2.2.2"]);
    });
    assert_eq!(zone.asked(), 2);
}

#[test]
fn a_name_that_leads_nowhere_is_asked_for_seldom_and_an_old_answer_helps_out() {
    let zone = Zone::default();
    let (names, clock) = zone.names();
    runtime().block_on(async {
        for _ in 0..3 {
            let error = texts(&names, "a.example").await.unwrap_err();
            assert_eq!(error, "a.example leads nowhere: no such name");
        }
        assert_eq!(zone.asked(), 1);
        clock.advance(Duration::from_secs(5));
        zone.set(Some(&["1.1.1.1"]));
        texts(&names, "a.example").await.unwrap();
        zone.set(None);
        clock.advance(Duration::from_secs(600));
        for asked in [3, 3] {
            assert_eq!(texts(&names, "a.example").await.unwrap(), ["1.1.1.1"]);
            assert_eq!(zone.asked(), asked);
        }
        clock.advance(Duration::from_secs(5));
        assert!(texts(&names, "a.example").await.is_err(), "it is older than ten minutes");
        zone.set(Some(&[]));
        clock.advance(Duration::from_secs(5));
        let error = texts(&names, "a.example").await.unwrap_err();
        assert_eq!(error, "a.example leads nowhere: it has no address");
    });
}

#[test]
fn one_look_up_serves_all_who_ask_and_outlives_who_asked_first() {
    let zone = Zone::default();
    zone.set(Some(&["1.1.1.1"]));
    let (names, _) = zone.names();
    runtime().block_on(async {
        let mut first = Box::pin(names.addresses("a.example"));
        std::future::poll_fn(|context| {
            assert!(first.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        drop(first);
        let (a, b) = tokio::join!(names.addresses("a.example"), names.addresses("a.example"));
        assert_eq!(a.unwrap(), b.unwrap());
    });
    assert_eq!(zone.asked(), 1);
}

#[test]
fn no_more_names_are_kept_than_there_is_room_for() {
    let now = Duration::from_secs(10_000);
    let known = |at, asked| Known { said: Some((Err("x".into()), at)), led_to: None, asked };
    let mut all: HashMap<Box<str>, Known> =
        (0..NAMES_MAX).map(|n| (n.to_string().into(), known(now, None))).collect();
    assert!(has_room(&mut all, now));
    assert_eq!(all.len(), NAMES_MAX - 1, "any one goes");
    all.insert("a".into(), known(now, None));
    assert!(has_room(&mut all, now + STALE_MAX + FRESH));
    assert!(all.is_empty(), "none of them helps anybody");
    let (_asking, asked) = watch::channel(None);
    all.extend((0..NAMES_MAX).map(|n| (n.to_string().into(), known(now, Some(asked.clone())))));
    assert!(!has_room(&mut all, now));
}
