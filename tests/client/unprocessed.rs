//! HTTP/2 streams that the other side says it never touched are sent again, and no others (RFC 9113, 6.8 and 8.7).

use clicklog::dispatcher::class::{Answer, class_of};
use clicklog::event::delivery::OutcomeClass;

use super::frames::{Act, Frames};
use super::*;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What a server says that goes, before it says with which stream (RFC 9113, 6.8).
const LAST_UNKNOWN: u32 = 0x7fff_ffff;

/// The first, and three more.
const TRIES_MAX: usize = 4;

/// A server that does this about each stream, by the number of its connection and its own, and who sends to it.
async fn set_up(
    script: impl Fn(usize, u32) -> Vec<Act> + Send + Sync + 'static,
) -> (Frames, Arc<Clients>, Arc<Route>) {
    let authority = Authority::new();
    let server = Frames::start(authority.issue("ads.example", Flaw::None).server(), script).await;
    let options = Options { roots: vec![authority.der], ..Options::default() };
    let route = Arc::new(Route { http2: true, ..allowing(&["127.0.0.0/8"]) });
    (server, Arc::new(clients_of(&["127.0.0.1"], options)), route)
}

fn post(server: &Frames, body: &str) -> Request<Bytes> {
    let url = format!("{}?secret=hidden", server.url_at("ads.example", "/"));
    Request::post(url).body(Bytes::from(body.to_owned())).unwrap()
}

/// What one request comes to at a server that does this, and how many it takes for one.
fn fate(
    script: impl Fn(usize, u32) -> Vec<Act> + Send + Sync + 'static,
    timeout: Duration,
) -> (Result<u16, Fault>, usize) {
    block_on(async {
        let (server, clients, route) = set_up(script).await;
        let outcome = send_within(&clients, &route, post(&server, "a"), timeout).await;
        (outcome.map(|received| received.status).map_err(|failed| failed.fault), server.streams())
    })
}

fn is_safe(fault: Fault) -> bool {
    class_of(Answer::Fault(fault)) == OutcomeClass::Safe
}

#[test]
fn what_a_server_that_goes_did_not_take_goes_over_the_next_connection() {
    const REQUESTS: usize = 30;
    block_on(async {
        // The tenth of a connection is the last.
        let (server, clients, route) = set_up(|_, stream| match stream {
            ..19 => vec![Act::Answer],
            19 => vec![Act::Answer, Act::GoAway(19, NO_ERROR)],
            _ => vec![],
        })
        .await;
        let names: Vec<String> = (0..REQUESTS).map(|n| format!("request {n:02}")).collect();
        // The others find this one's connection.
        send_within(&clients, &route, post(&server, &names[0]), PATIENCE).await.unwrap();
        let mut senders = tokio::task::JoinSet::new();
        for name in &names[1..] {
            let (clients, route, request) = (Arc::clone(&clients), Arc::clone(&route), post(&server, name));
            senders.spawn(async move {
                send_within(&clients, &route, request, PATIENCE).await.map(|answer| answer.status)
            });
        }
        let statuses = senders.join_all().await;
        assert_eq!(statuses, [const { Ok(200) }; REQUESTS - 1]);
        assert_eq!(server.answered(), names, "each was taken once");
        assert!(server.streams() > REQUESTS, "{} came: none was left aside", server.streams());
    });
}

#[test]
fn a_stream_that_is_refused_is_sent_again_at_once() {
    let once = |_, stream| if stream == 1 { vec![Act::Reset(REFUSED_STREAM)] } else { vec![Act::Answer] };
    assert_eq!(fate(once, PATIENCE), (Ok(200), 2));
    let gone =
        |number, _| if number == 0 { vec![Act::GoAway(0, NO_ERROR), Act::End] } else { vec![Act::Answer] };
    assert_eq!(fate(gone, PATIENCE), (Ok(200), 2));
}

#[test]
fn who_refuses_for_ever_is_left_alone_after_a_few_tries() {
    let (outcome, streams) = fate(|_, _| vec![Act::Reset(REFUSED_STREAM)], PATIENCE);
    assert!(is_safe(outcome.unwrap_err()), "{outcome:?}");
    assert_eq!(streams, TRIES_MAX);
    let (outcome, streams) = fate(|_, _| vec![Act::GoAway(0, NO_ERROR), Act::End], PATIENCE);
    assert!(is_safe(outcome.unwrap_err()), "{outcome:?}");
    assert_eq!(streams, TRIES_MAX);
}

#[test]
fn who_asks_for_calm_gets_it() {
    let calm = |_, _| vec![Act::GoAway(0, ENHANCE_YOUR_CALM), Act::End];
    let (outcome, streams) = fate(calm, PATIENCE);
    assert!(is_safe(outcome.unwrap_err()), "{outcome:?}");
    assert_eq!(streams, 1);
}

#[test]
fn what_may_have_been_processed_is_not_sent_again() {
    for acts in [
        vec![Act::GoAway(1, NO_ERROR), Act::End],
        vec![Act::GoAway(1, NO_ERROR), Act::Break],
        vec![Act::GoAway(1, INTERNAL_ERROR), Act::End],
        vec![Act::GoAway(LAST_UNKNOWN, NO_ERROR), Act::End],
        vec![Act::GoAway(LAST_UNKNOWN, NO_ERROR), Act::GoAway(1, NO_ERROR), Act::Break],
        vec![Act::GoAway(1, REFUSED_STREAM), Act::End],
        vec![Act::Reset(CANCEL)],
        vec![Act::Reset(INTERNAL_ERROR)],
        vec![Act::Reset(NO_ERROR)],
        vec![Act::End],
        vec![Act::Break],
    ] {
        let done = acts.clone();
        let found = fate(move |_, _| done.clone(), PATIENCE);
        assert_eq!(found, (Err(Fault::SentNoAnswer), 1), "{acts:?}");
    }
}

#[test]
fn all_tries_share_one_deadline_and_the_last_one_says_how_far_it_got() {
    let silent = |_, stream| if stream == 1 { vec![Act::Reset(REFUSED_STREAM)] } else { vec![] };
    assert_eq!(fate(silent, SHORT), (Err(Fault::SentNoAnswer), 2));
}
